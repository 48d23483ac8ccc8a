"""The app: the JSON API under /v1 and the pages. Uploads are never stored and never logged."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from meanshape import __version__
from meanshape.apps.web import explain
from meanshape.apps.web.admission import Admission
from meanshape.apps.web.folder import Folder
from meanshape.apps.web.folder_routes import add_folder_routes
from meanshape.apps.web.guard import LOOPBACK, Guard
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.service import Service
from meanshape.apps.web.workers import FailedError, NoWorkerError, SlowError
from meanshape.core import registry, resources, weights
from meanshape.core.errors import ImageError, MeanshapeError, OutputError, UnknownName
from meanshape.core.markup import markup, markup_names
from meanshape.core.prediction import Prediction
from meanshape.formats.text import dump_json, escaped
from meanshape.inference import choice
from meanshape.inference.turns import Turns

STATIC = resources.beside(__file__, "static")
PAGES = {"/": "index.html", "/compare": "compare.html", "/correct": "correct.html"}
STATUS: list[tuple[type[MeanshapeError], int]] = [
    (FailedError, 500),
    (SlowError, 503),
    (NoWorkerError, 503),
    (UnknownName, 404),
    (OutputError, 507),
]
WRONG: dict[int | str, dict[str, Any]] = {
    code: {"description": text}
    for code, text in (
        (401, "no token"),
        (403, "a page of another site"),
        (404, "no such model, mark-up or photo"),
        (408, "an upload that came too slowly"),
        (411, "nobody says how long the upload is"),
        (413, "too many bytes"),
        (415, "pictures that do not come as a form"),
        (421, "not this server's name"),
        (422, "a picture or an option that cannot be used"),
        (429, "too many requests at a time"),
        (503, "took too long, or no process could be started for it"),
        (507, "not saved: the disk is full, or the folder cannot be written"),
    )
}

ASTRAY = {
    404: "there is nothing at this address; GET /v1/openapi.json lists what there is",
    405: "this address is not asked so; GET /v1/openapi.json says how",
}

Model = Annotated[str | None, Query(description=f"A shipped model; default {choice.MODEL}.")]
MarkUpName = Annotated[str | None, Query(alias="markup", description="Convert the points to this mark-up.")]
MinFace = Annotated[
    float | None, Query(ge=12, le=10_000, description="The smallest face to look for, pixels; default 40.")
]
MaxFaces = Annotated[int | None, Query(ge=1, le=1000)]
Turned = Annotated[
    Turns | None,
    Query(description="Search the picture as it stands, also in quarter turns, or (auto) as it needs."),
]
Stages = Annotated[
    int | None, Query(ge=1, le=100, description="The first stages alone, where there are such.")
]
Flag = Annotated[bool, Query()]
Picture = Annotated[UploadFile, File(description="A picture in any usual format.")]


def create_app(
    service: Service | None = None,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = LOOPBACK,
    folder: Folder | None = None,
) -> FastAPI:
    """Return the app.

    Parameters
    ----------
    service : runs the models
    token : what clients must know; None: nothing, for a server that only this machine reaches
    hosts : names under which it answers; empty: any
    folder : a folder of photos to correct; None: there is none
    """
    service = service or Service()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        ahead = None if folder is None else asyncio.create_task(service.place_ahead(folder))
        yield
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait([ahead])
        service.close()

    app = FastAPI(
        title="Meanshape",
        version=__version__,
        description="Faces and their landmarks. Uploads are never stored.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses=WRONG,
        dependencies=[Depends(_check_options)],
    )
    MultiPartParser.spool_max_size = 0  # none: uploads stay in memory
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it quotes bytes of broken forms
    app.add_middleware(Admission, service=service)
    app.add_middleware(Guard, hosts=hosts, token=token)
    app.add_exception_handler(MeanshapeError, _telling("" if folder is None else f"{folder.root}{os.sep}"))
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _astray)
    _add_detection(app, service)
    _add_batches(app, service)
    _add_explanations(app, service)
    _add_tables(app, service)
    add_folder_routes(app, service, folder)
    _add_pages(app)
    return app


def _telling(root: str) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """Return what answers one of our errors with its sentence, without saying where the folder lies."""

    async def told(request: Request, error: Exception) -> JSONResponse:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 422)
        text = str(error).replace(root, "") if root else str(error)
        headers = {"retry-after": "1"} if status == 503 else None
        return JSONResponse({"error": escaped(text)}, status, headers)

    return told


async def _unfit(request: Request, error: Exception) -> Response:
    """Answer a request that does not fit; what came is not said back: JSON may be unable to hold it."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": escaped("; ".join(map(_unfit_part, error.errors())))}, 422)


def _unfit_part(error: Mapping[str, Any]) -> str:
    """Return one thing that does not fit, in words; of a picture, how to send it."""
    place = [str(part) for part in error["loc"]]
    if place[0] == "body" and place[1:2] in (["image"], ["images"]):
        return f"send a picture as the field {place[1]!r} of a form, as curl -F {place[1]}=@photo.jpg does"
    return f"{'.'.join(place[1:]) or 'the request'}: {error['msg']}"


async def _check_options(request: Request) -> None:
    """Refuse options that an address does not have: one that is misspelt would do nothing, unseen."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.path.startswith("/v1/"):
        return
    known = {field.alias for field in route.dependant.query_params} | {"token"}
    for name in request.query_params:
        if name not in known:
            raise HTTPException(422, escaped(str(UnknownName.of("option", name, known - {"token"}))))


async def _astray(request: Request, error: Exception) -> Response:
    """Answer a request for what is not there, or not to be asked so."""
    assert isinstance(error, HTTPException)
    text = ASTRAY.get(error.status_code) if error.detail in ("Not Found", "Method Not Allowed") else None
    return JSONResponse({"error": text or str(error.detail)}, error.status_code, error.headers)


async def _bytes_of(upload: UploadFile, limits: Limits) -> bytes:
    """Return an upload's bytes, which are not kept elsewhere then."""
    data = await upload.read(limits.bytes + 1)
    await upload.close()
    if len(data) > limits.bytes:
        raise ImageError(f"the picture has more than {limits.bytes / 1e6:.0f} MB; make it smaller")
    return data


def _answer(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _add_detection(app: FastAPI, service: Service) -> None:
    """Add what finds faces."""

    @app.post("/v1/detect", response_model=dict[str, Any])
    async def detect(
        image: Picture,
        model: Model = None,
        markup: MarkUpName = None,
        min_face: MinFace = None,
        max_faces: MaxFaces = None,
        turns: Turned = None,
        emotion: Flag = False,
        attributes: Flag = False,
        stages: Stages = None,
        session: Annotated[str | None, Query(max_length=64)] = None,
        time: Annotated[float | None, Query(ge=0, le=1e9)] = None,
    ) -> Response:
        """Find the faces in one picture and their points.

        With `session` and `time` the picture is a frame of a video: faces are followed and smoothed.
        """
        options = {
            "model": model, "markup": markup, "min_face": min_face, "max_faces": max_faces,
            "turns": turns, "emotion": emotion, "attributes": attributes, "stages": stages,
        }  # fmt: skip
        video = session if time is not None else None
        return _answer(
            await service.workers.ask(
                "detect", await _bytes_of(image, service.limits), session=video,
                name=image.filename, options=options, video=video, at=time,
            )
        )  # fmt: skip


def _add_batches(app: FastAPI, service: Service) -> None:
    """Add what takes several pictures at a time."""

    @app.post("/v1/detect/batch", response_model=dict[str, list[dict[str, Any]]])
    async def detect_batch(
        images: Annotated[list[UploadFile], File(description="Pictures.")],
        model: Model = None,
        markup: MarkUpName = None,
        min_face: MinFace = None,
        max_faces: MaxFaces = None,
        turns: Turned = None,
    ) -> Response:
        """Find the faces in several pictures; one that cannot be read is an entry with an error."""
        if len(images) > service.limits.batch:
            raise ImageError(f"a batch may have {service.limits.batch} pictures, not {len(images)}")
        options: dict[str, Any] = {
            "model": model, "markup": markup, "min_face": min_face, "max_faces": max_faces, "turns": turns,
        }  # fmt: skip
        name = await service.workers.ask("name", **options)
        found = []
        for image in images:
            try:
                data = await _bytes_of(image, service.limits)
                found.append(await service.workers.ask("detect", data, name=image.filename, options=options))
            except ImageError as error:
                broken = Prediction((), (0, 0), image.filename, name, error=str(error))
                found.append(dump_json(broken.to_dict()).encode())
        return _answer(b'{"results": [' + b", ".join(found) + b"]}")


def _add_explanations(app: FastAPI, service: Service) -> None:
    """Add what shows how a model works."""

    @app.post("/v1/steps", response_model=dict[str, Any])
    async def steps(
        image: Picture, model: Model = None, face: Annotated[int, Query(ge=0, le=1000)] = 0
    ) -> Response:
        """Show what a model does to one face, step by step: shapes, and pictures as PNG data URLs."""
        data = await _bytes_of(image, service.limits)
        return _answer(await service.workers.ask("steps", data, model=model, face=face))

    @app.get("/v1/modes/{model}", response_model=dict[str, Any])
    async def modes(
        model: str,
        weights: Annotated[str, Query(max_length=400, pattern=r"^[-+.,eE0-9]*$")] = "",
        kind: Literal["shape", "appearance"] = "shape",
    ) -> Response:
        """Show the shape (and the picture) of a model's modes, their weights in standard deviations."""
        return _answer(await service.workers.ask("modes", model=model, weights=weights, kind=kind))


def _add_tables(app: FastAPI, service: Service) -> None:
    """Add what there is to choose from."""

    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        """Tell that the server is there, and how busy."""
        return {"status": "ok", "version": __version__, "waiting": service.waiting}

    @app.get("/v1/models")
    async def models() -> list[dict[str, Any]]:
        """List the models that came with the package."""
        cards = [weights.shipped_card(name) for name in weights.names()]
        return [
            {
                "name": card.name,
                "method": card.method,
                "title": registry.card("methods", card.method).get("title", card.method),
                "markup": card.markup,
                "licence": card.licence,
                "commercial_use": card.commercial_use,
                "shows": explain.shows(card.method),
                "stages": explain.stages(card.method, weights.folder(card.name)),
                "default": card.name == choice.MODEL,
            }
            for card in cards
        ]

    @app.get("/v1/markups")
    async def markups() -> list[str]:
        """List the mark-ups."""
        return list(registry.names("markups"))

    @app.get("/v1/markups/{name}")
    async def one_markup(name: str) -> dict[str, Any]:
        """Return the names, groups, edges and mirror images of a mark-up's points."""
        if name.endswith(".toml"):  # elsewhere a file
            raise UnknownName.of("mark-up", name, markup_names())
        kind = markup(name)
        return {
            "name": kind.name,
            "points": list(kind.points),
            "groups": {group: list(indices) for group, indices in kind.groups.items()},
            "edges": [list(edge) for edge in kind.edges],
            "mirror": list(kind.mirror),
            "conversions": sorted(kind.conversions),
        }


def _add_pages(app: FastAPI) -> None:
    """Add the pages."""
    for path, file in PAGES.items():

        def page(file: str = file) -> FileResponse:
            return FileResponse(STATIC / file, headers={"cache-control": "no-cache"})

        app.add_api_route(path, page, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

"""The app: the JSON API under /v1 and the pages. Uploads are never stored and never logged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser

from meanshape import __version__
from meanshape.apps.web import explain
from meanshape.apps.web.folder import Folder
from meanshape.apps.web.folder_routes import add_folder_routes
from meanshape.apps.web.guard import LOOPBACK, Guard
from meanshape.apps.web.service import BusyError, Limits, Service, SlowError
from meanshape.core import registry, weights
from meanshape.core.errors import ImageError, MeanshapeError, UnknownName
from meanshape.core.image import Pixels, read_image
from meanshape.core.markup import markup, markup_names
from meanshape.core.types import Prediction

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/compare": "compare.html", "/correct": "correct.html"}
STATUS: list[tuple[type[MeanshapeError], int]] = [(BusyError, 429), (SlowError, 503), (UnknownName, 404)]
WRONG: dict[int | str, dict[str, Any]] = {
    code: {"description": text}
    for code, text in (
        (401, "no token"),
        (403, "a page of another site"),
        (404, "no such model, mark-up or photo"),
        (413, "too many bytes"),
        (421, "not this server's name"),
        (422, "a picture or an option that cannot be used"),
        (429, "too many requests at a time"),
        (503, "took too long"),
    )
}

Model = Annotated[str | None, Query(description="A shipped model; default dan.")]
MarkUpName = Annotated[str | None, Query(alias="markup", description="Convert the points to this mark-up.")]
MinFace = Annotated[float, Query(ge=12, le=10_000, description="The smallest face to look for, pixels.")]
MaxFaces = Annotated[int | None, Query(ge=1, le=1000)]
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
    limits = service.limits

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()
        if folder is not None:
            folder.close()

    app = FastAPI(
        title="Meanshape",
        version=__version__,
        description="Faces and their landmarks. Uploads are never stored.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses=WRONG,
    )
    MultiPartParser.spool_max_size = limits.bytes + 1  # uploads stay in memory
    app.add_middleware(Guard, hosts=hosts, token=token, limit=limits.bytes * 4)
    app.add_exception_handler(MeanshapeError, _told)
    app.add_exception_handler(RequestValidationError, _unfit)
    _add_detection(app, service)
    _add_batches(app, service)
    _add_explanations(app, service)
    _add_tables(app, service)
    add_folder_routes(app, service, folder)
    _add_pages(app)
    return app


async def _told(request: Request, error: Exception) -> JSONResponse:
    """Answer one of our errors with its sentence."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 422)
    headers = {"retry-after": "1"} if status in (429, 503) else None
    return JSONResponse({"error": str(error)}, status, headers=headers)


async def _unfit(request: Request, error: Exception) -> Response:
    """Answer a request that does not fit; what came is not said back: JSON may be unable to hold it."""
    assert isinstance(error, RequestValidationError)
    told = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
    return Response(json.dumps({"detail": told}), 422, media_type="application/json")


async def pixels_of(upload: UploadFile, limits: Limits) -> Callable[[], Pixels]:
    """Return what decodes an upload: in a worker, not here."""
    data = await upload.read(limits.bytes + 1)
    if len(data) > limits.bytes:
        raise ImageError(f"the picture has more than {limits.bytes / 1e6:.0f} MB; make it smaller")
    return lambda: read_image(data, max_pixels=limits.pixels)


def _add_detection(app: FastAPI, service: Service) -> None:
    """Add what finds faces."""

    @app.post("/v1/detect")
    async def detect(
        image: Picture,
        model: Model = None,
        markup: MarkUpName = None,
        min_face: MinFace = 40,
        max_faces: MaxFaces = None,
        emotion: Flag = False,
        attributes: Flag = False,
        stages: Stages = None,
        session: Annotated[str | None, Query(max_length=64)] = None,
        time: Annotated[float | None, Query(ge=0, le=1e9)] = None,
    ) -> dict[str, Any]:
        """Find the faces in one picture and their points.

        With `session` and `time` the picture is a frame of a video: faces are followed and smoothed.
        """
        decode = await pixels_of(image, service.limits)
        options = {
            "model": model, "markup": markup, "min_face": min_face, "max_faces": max_faces,
            "emotion": emotion, "attributes": attributes, "stages": stages,
        }  # fmt: skip
        name = image.filename

        def work() -> Prediction:
            if session is None or time is None:
                return service.pipeline(**options)(decode(), source=name)
            tracker, lock = service.tracker(session, **options)
            with lock:
                return tracker(decode(), time, source=name)

        return (await service.run(work)).to_dict()


def _add_batches(app: FastAPI, service: Service) -> None:
    """Add what takes several pictures at a time."""

    @app.post("/v1/detect/batch")
    async def detect_batch(
        images: Annotated[list[UploadFile], File(description="Pictures.")],
        model: Model = None,
        markup: MarkUpName = None,
        min_face: MinFace = 40,
        max_faces: MaxFaces = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Find the faces in several pictures; one that cannot be read is an entry with an error."""
        if len(images) > service.limits.batch:
            raise ImageError(f"a batch may have {service.limits.batch} pictures, not {len(images)}")
        options = {"model": model, "markup": markup, "min_face": min_face, "max_faces": max_faces}
        pipeline = await service.run(lambda: service.pipeline(**options))
        found = []
        for image in images:
            try:
                decode = await pixels_of(image, service.limits)
                name = image.filename

                def work(
                    decode: Callable[[], Pixels] = decode, name: str | None = name
                ) -> Prediction:  # bound now, run later
                    return pipeline(decode(), source=name)

                found.append((await service.run(work)).to_dict())
            except ImageError as error:
                broken = Prediction((), (0, 0), image.filename, pipeline.name, error=str(error))
                found.append(broken.to_dict())
        return {"results": found}


def _add_explanations(app: FastAPI, service: Service) -> None:
    """Add what shows how a model works."""

    @app.post("/v1/steps")
    async def steps(
        image: Picture, model: Model = None, face: Annotated[int, Query(ge=0, le=1000)] = 0
    ) -> dict[str, Any]:
        """Show what a model does to one face, step by step: shapes, and pictures as PNG data URLs."""
        decode = await pixels_of(image, service.limits)
        return await service.run(lambda: explain.steps(service.pipeline(model=model), decode(), face))

    @app.get("/v1/modes/{model}")
    async def modes(
        model: str,
        weights: Annotated[str, Query(max_length=400, pattern=r"^[-+.,eE0-9]*$")] = "",
        kind: Literal["shape", "appearance"] = "shape",
    ) -> dict[str, Any]:
        """Show the shape (and the picture) of a model's modes, their weights in standard deviations."""
        return await service.run(lambda: explain.modes(service.pipeline(model=model).model, weights, kind))


def _add_tables(app: FastAPI, service: Service) -> None:
    """Add what there is to choose from."""

    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        """Tell that the server is there, and how busy."""
        return {"status": "ok", "version": __version__, "waiting": service.waiting}

    @app.get("/v1/models")
    async def models() -> list[dict[str, Any]]:
        """List the models that came with the package."""
        cards = [weights.read_card(weights.folder(name)) for name in weights.names()]
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

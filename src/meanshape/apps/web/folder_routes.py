"""The part of the API that the page for corrections uses; no request reaches a file outside the folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from meanshape.apps.web.folder import ConflictError, Folder, Label
from meanshape.apps.web.photo_jobs import Photo
from meanshape.apps.web.service import Service
from meanshape.core.box import Box
from meanshape.core.errors import UnknownName
from meanshape.core.face import face_to_dict
from meanshape.formats.text import dump_json, escaped, unescaped

SHOWN = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""What browsers show themselves; other pictures go to them as PNG."""

Name = Annotated[str, Query(max_length=4096), AfterValidator(unescaped)]
"""A photo's name, as the list gives it: no page can ask for one that is not UTF-8, but for its escapes."""

PART = 1 << 18
"""Bytes of a photo that are read at a time."""


class Sent(BaseModel):
    """What a page saves: the version it started from, and each face's points (null: none) and visibility."""

    version: str = Field(max_length=64)
    faces: list[dict[str, Any]] = Field(max_length=1000)


def add_folder_routes(app: FastAPI, service: Service, folder: Folder | None) -> None:
    """Add the routes; without a folder they answer 404."""

    def there() -> Folder:
        if folder is None:
            raise UnknownName("this server has no folder to correct; start meanshape annotate FOLDER")
        return folder

    @app.get("/v1/folder")
    async def overview() -> dict[str, Any]:
        """List the photos, the least certain first, and the mark-up."""
        rows = await service.run(lambda ask: there().overview())
        rows = [{**row, "name": escaped(row["name"])} for row in rows]
        return {
            "name": escaped(there().root.name),
            "markup": there().kind.name,
            "labels": there().labels,
            "photos": rows,
        }

    @app.get("/v1/folder/photo", response_class=Response)
    async def photo(name: Name) -> Response:
        """Return a photo, upright."""
        here, suffix = there(), PurePosixPath(name).suffix.lower()
        if suffix in SHOWN:
            found = here.photo(name)
            await service.run(lambda ask: found.check())
            return StreamingResponse(_parts(found), media_type=SHOWN[suffix])
        return Response(await service.run(lambda ask: here.png(name, ask)), media_type="image/png")

    @app.get("/v1/folder/label", response_model=dict[str, Any])
    async def label(name: Name) -> Response:
        """Return a photo's faces: as saved, else as the model places them."""
        return _json(_label(await service.run(lambda ask: there().label(name, ask))))

    @app.put("/v1/folder/label")
    async def save(name: Name, labels: Sent) -> Any:
        """Save a photo's faces; 409 with what is on the disk, if somebody else saved meanwhile."""
        try:
            version = await service.run(lambda ask: there().save(name, labels.version, labels.faces))
        except ConflictError as error:
            now = _label(await service.run(lambda ask: there().label(name, ask)))
            return _json({"error": escaped(str(error)), "label": now}, 409)
        return {"version": version}

    @app.post("/v1/folder/place")
    async def place(name: Name, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
        """Return where the points of a face in a box would be."""
        box = Box(left, top, right, bottom)
        shape = await service.run(lambda ask: there().place(name, box, ask))
        return {"points": shape.points.round(3).tolist()}


def _parts(found: Photo) -> Iterator[bytes]:
    """Yield what is in a photo's file, which is open only while somebody reads."""
    with found.open() as file:
        while part := file.read(PART):
            yield part


def _json(data: dict[str, Any], status: int = 200) -> Response:
    """Answer with labels, which may hold any text that JSON can spell."""
    return Response(dump_json(_finite(data)).encode(), status, media_type="application/json")


def _finite(value: Any) -> Any:
    """Return a value with null for numbers that JSON does not have; labels may hold them as attributes."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _label(label: Label) -> dict[str, Any]:
    faces = [face_to_dict(face) for face in label.faces]
    return {"version": label.version, "confidence": label.confidence, "faces": faces}

"""What is done with the pixels of a folder's photo: it is decoded, shown, and its first points are placed.

A worker does it, where it can be stopped: a decoder that a hostile photo keeps busy looks at no clock.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from meanshape.apps.web.first import FirstPoints, Mean
from meanshape.core.box import Box
from meanshape.core.errors import ImageError, UnknownName
from meanshape.core.face import Face
from meanshape.core.files import open_below
from meanshape.core.image import Pixels, decode, size_of
from meanshape.core.markup import MarkUp
from meanshape.core.shape import Shape
from meanshape.inference.pipeline import Pipeline

Ask = Callable[..., Any]
"""Has a method of `PhotoJobs` called, by its name and with what it takes, and returns its answer."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of a folder: where it lies below the root, no link in between, and what it is called."""

    root: Path
    place: str
    name: str

    def open(self) -> BinaryIO:
        """Open its file, following no link."""
        try:
            return open_below(self.root, self.place)
        except FileNotFoundError:
            raise UnknownName(f"{self.name}: this photo is gone") from None
        except OSError as error:
            raise ImageError(f"{self.name}: cannot be read ({error.strerror or error})") from error

    def check(self) -> None:
        """Raise what is in the way of opening it."""
        self.open().close()

    def size(self) -> tuple[int, int]:
        """Return its (width, height), which its first bytes say."""
        with self.open() as file:
            return size_of(file, self.name)

    def pixels(self) -> Pixels:
        """Decode it, upright: (H, W, 3)."""
        with self.open() as file:
            return decode(file, self.name)


class PhotoJobs:
    """Each method is a kind of work; `model` says whether a model finds faces and places points.

    Parameters
    ----------
    pipeline : returns the model, when it is needed
    """

    def __init__(self, pipeline: Callable[[], Pipeline]) -> None:
        self._pipeline = pipeline

    def png(self, photo: Photo) -> bytes:
        """Return a photo as browsers show it."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(photo.pixels()).save(file, "PNG")
        return file.getvalue()

    def faces(
        self, photo: Photo, kind: MarkUp, mean: Mean | None, model: bool
    ) -> tuple[tuple[Face, ...], float]:
        """Return the faces of a photo with their points, and how certain the least certain is."""
        return self._first(kind, model).faces(self._seen(photo, model), mean)

    def points(self, photo: Photo, kind: MarkUp, mean: Mean | None, model: bool, box: Box) -> Shape:
        """Return where the points of a face in a box would be."""
        return self._first(kind, model).shape(self._seen(photo, model), box, mean)

    def _seen(self, photo: Photo, model: bool) -> Pixels:
        """Return a photo's pixels; none where no model looks at them, if it is a photo."""
        if model:
            return photo.pixels()
        photo.size()
        return np.empty((0, 0, 3), np.uint8)

    def _first(self, kind: MarkUp, model: bool) -> FirstPoints:
        return FirstPoints(kind, self._pipeline() if model else None)


__all__ = ["Ask", "Photo", "PhotoJobs"]

"""Overlays of a whole run: one picture for each photo, named after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meanshape.core.errors import ImageError, OutputError, writing
from meanshape.core.files import check_place, write_below
from meanshape.core.image import Pixels, encode
from meanshape.core.openers import SUFFIXES
from meanshape.core.prediction import Prediction
from meanshape.inference.outputs import writable
from meanshape.inference.overlay import Style, draw
from meanshape.inference.sources import short_names

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


class Overlays:
    """Draws predictions into a folder, or the only one into a file.

    Parameters
    ----------
    target : a folder; with a picture's suffix and a single photo, a file. A JPEG's overlay is a JPEG, any
        other photo's a PNG
    sources : all photos of the run, which name the pictures
    """

    def __init__(self, target: str | Path, sources: Sequence[str], style: Style | None = None) -> None:
        """Check that pictures can be written there, before any work."""
        self.style = style
        target = Path(target)
        if target.suffix.lower() in SUFFIXES and not target.is_dir():
            if len(sources) > 1:
                raise OutputError(f"{target}: one file cannot hold {len(sources)} overlays; name a folder")
            folder, self.names = target.parent, dict.fromkeys(sources, target.name)
        else:
            folder = target
            self.names = {
                source: f"{name}{'.jpg' if Path(source).suffix.lower() in JPEG else '.png'}"
                for source, name in short_names(sources).items()
            }
        writable(folder)
        self.folder, self.root = folder, folder.resolve()  # it may be a link; what lies in it may not
        for source, name in self.names.items():
            path = folder / name
            check_place(path)
            if path.exists() and os.path.exists(source) and path.samefile(source):  # noqa: PTH110
                raise OutputError(f"{path}: this overlay would replace its own photo; name another folder")

    def add(self, pixels: Pixels, prediction: Prediction) -> None:
        """Draw one prediction on its photo and write the picture."""
        name = self.names[str(prediction.source)]
        path = self.folder / name
        try:
            data = encode(path, draw(pixels, prediction, self.style))
        except ImageError as error:
            raise OutputError(str(error)) from error
        with writing(path):
            write_below(self.root, name, data)


def check_picture(path: Path, *sources: str) -> None:
    """Refuse a place that no picture can be written to, or that one of the photos themselves has."""
    encode(path, np.zeros((1, 1, 3), np.uint8))  # is it a format that can be written?
    writable(path.parent)
    check_place(path)
    if path.is_dir():
        raise OutputError(f"{path}: a folder; the output is one picture")
    if path.exists() and any(os.path.exists(one) and path.samefile(one) for one in sources):  # noqa: PTH110
        raise OutputError(f"{path}: this would replace the photo itself; choose another output")

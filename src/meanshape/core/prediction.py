"""The faces of one picture, in the one schema that files, the API and `Prediction.to_dict` share.

A point that is not annotated is `[null, null]`, for JSON has no NaN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import ref

from meanshape.core import checks
from meanshape.core.errors import FormatError, ResultError, in_words
from meanshape.core.face import Face, LandmarkFace, face_from_dict, face_to_dict

SCHEMA = 1
RESULTS = "meanshape.inference.results"
"""The module that has what is drawn and written of a prediction; imported by name when it is asked for."""


Made = TypeVar("Made", bound="Prediction")


class _Pictured:
    """Where a prediction's picture is: no field, so that no copy, comparison, pickle or JSON has it."""

    __slots__ = ("_picture",)


@dataclass(frozen=True, slots=True, repr=False)
class Prediction(_Pictured):
    """The faces of one picture, maybe none; `size` is (width, height), `seconds` what it took."""

    faces: tuple[Face, ...]
    size: tuple[int, int]
    source: str | None = None
    model: str | None = None
    seconds: float = 0.0
    error: str | None = None

    def __post_init__(self) -> None:
        """Keep a tuple of faces, two whole numbers and texts."""
        object.__setattr__(self, "faces", tuple(self.faces))
        for name in ("source", "model", "error"):
            object.__setattr__(self, name, _text(getattr(self, name), name))
        object.__setattr__(self, "seconds", checks.number(self.seconds, "seconds", ResultError))
        width, height = self.size
        object.__setattr__(self, "size", (int(width), int(height)))
        if min(self.size) < 0:
            raise ResultError(f"a size is width and height in pixels, not {width} x {height}")

    def __repr__(self) -> str:
        """Say in one line what was found where."""
        found = self.error or f"{len(self.faces)} face{'' if len(self.faces) == 1 else 's'}"
        told = [found, "{} x {}".format(*self.size)]
        told += [repr(self.source)] if self.source is not None else []
        told += [f"model {self.model}"] if self.model is not None else []
        return f"Prediction({', '.join(told)})"

    @property
    def picture(self) -> tuple[Any, Literal["rgb", "bgr"]]:
        """Return what the prediction was made of, as far as it is there, and the channel order of arrays.

        A path is kept; arrays, tensors and PIL images are only pointed at: None once nobody else has them,
        and for what was read, copied or unpickled.
        """
        unknown: tuple[Any, Literal["rgb", "bgr"]] = None, "rgb"
        kept, color = getattr(self, "_picture", unknown)
        return (kept() if isinstance(kept, ref) else kept), color

    def plot(
        self,
        image: Any = None,
        *,
        ax: Any = None,
        style: Any = None,
        color: Literal["rgb", "bgr"] | None = None,
    ) -> Any:
        """Draw the faces on the picture, in matplotlib's axes, and return these.

        Parameters
        ----------
        image : the picture, as `ms.detect` takes it; None: what the prediction was made of, or its `source`
        ax : matplotlib's axes; None: a new figure's
        style : a `ms.Style`
        color : the channel order of an array; None: as it was for the prediction
        """
        return _above("plot")(self, image, ax=ax, style=style, color=color)

    def save(
        self,
        path: str | os.PathLike[str],
        image: Any = None,
        *,
        style: Any = None,
        color: Literal["rgb", "bgr"] | None = None,
    ) -> None:
        """Write labels (.jsonl .csv .pts .json: COCO …) or the picture with the faces on it (.png .jpg …).

        The file appears whole or not at all; the photo itself is never replaced. `image`, `style` and `color`
        are those of `plot`.
        """
        _above("save")(self, path, image, style=style, color=color)

    def to_df(self, rows: Literal["points", "faces"] = "points") -> Any:
        """Return a pandas DataFrame with one row a point, or one a face (box, score, pose, labels)."""
        return _above("to_df")(self, rows)

    def to_supervision(self, kind: Literal["keypoints", "detections"] = "keypoints") -> Any:
        """Return supervision's KeyPoints, or its Detections: boxes, scores and tracks.

        Points that are not annotated lie at (0, 0) there.
        """
        return _above("to_supervision")(self, kind)

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows: the picture with the faces, while there is one."""
        shown: bytes | None = _above("png")(self)
        return shown

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction in the one JSON schema: plain lists, numbers and None."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "size": list(self.size),
            "model": self.model,
            "seconds": self.seconds,
            "faces": [face_to_dict(face) for face in self.faces],
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Prediction:
        """Return the prediction that `to_dict` wrote; a `FormatError` says what does not fit."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
            raise FormatError(f"wanted a prediction of schema {SCHEMA}, found {found!r}")
        try:
            width, height = data["size"]
            return cls(
                faces=tuple(face_from_dict(face) for face in data["faces"]),
                size=(width, height),
                source=data.get("source"),
                model=data.get("model"),
                seconds=data.get("seconds") or 0.0,
                error=data.get("error"),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FormatError(f"a prediction that does not fit schema {SCHEMA}: {in_words(error)}") from error


if TYPE_CHECKING:

    class LandmarkPrediction(Prediction):
        """A `Prediction` whose faces have points, as pipelines answer: what type checkers are told."""

        faces: tuple[LandmarkFace, ...]
else:
    LandmarkPrediction = Prediction


def keep_picture(prediction: Made, image: Any, color: Literal["rgb", "bgr"]) -> Made:
    """Let a new prediction know what it was made of; see `Prediction.picture`."""
    kept: Any = None
    if isinstance(image, (str, os.PathLike)):
        kept = str(Path(image).absolute())
    elif not hasattr(image, "read"):  # an open file has been read
        try:
            kept = ref(image)
        except TypeError:
            kept = None
    object.__setattr__(prediction, "_picture", (kept, color))
    return prediction


def _above(name: str) -> Any:
    """Return what a floor above does with predictions."""
    return getattr(import_module(RESULTS), name)


def _text(value: Any, what: str) -> str | None:
    """Return a text, a path as one, or None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return str(value)
    raise ResultError(f"a prediction's {what} is a text, not {value!r:.40}")

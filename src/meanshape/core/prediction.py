"""The faces of one picture, in the one schema that files, the API and `Prediction.to_dict` share.

A point that is not annotated is `[null, null]`, for JSON has no NaN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meanshape.core import checks
from meanshape.core.errors import FormatError, ResultError, in_words
from meanshape.core.face import Face, face_from_dict, face_to_dict

SCHEMA = 1


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
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


def _text(value: Any, what: str) -> str | None:
    """Return a text, a path as one, or None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return str(value)
    raise ResultError(f"a prediction's {what} is a text, not {value!r:.40}")

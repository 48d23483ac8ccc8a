"""Predictions on standard output, and what anything that takes predictions can do."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Mapping
from typing import Protocol

from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.formats import jsonl
from meanshape.formats.text import printable


class PredictionWriter(Protocol):
    """What takes predictions one after another; `written` says where they are in the end."""

    done: set[str]
    written: str
    resumable: bool

    def add(self, prediction: Prediction) -> None:
        """Keep one prediction."""

    def finish(self) -> None:
        """Make the output, when there is nothing more to come."""

    def close(self) -> None:
        """Stop in the middle: what there is stays, for `resume`."""

    def discard(self) -> None:
        """Leave nothing behind."""


class JsonLinesPrinter:
    """Predictions as JSON Lines on standard output."""

    resumable = False

    def __init__(self) -> None:
        """Start with nothing done."""
        self.done: set[str] = set()
        self.written = ""

    def add(self, prediction: Prediction) -> None:
        """Print one line."""
        encoding = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name
        print(jsonl.render(prediction, ascii_only=encoding != "utf-8"), flush=True)

    def finish(self) -> None:
        """Do nothing."""

    close = discard = finish


class SummaryPrinter(JsonLinesPrinter):
    """Predictions in a few words for a person: how many faces, and where."""

    def add(self, prediction: Prediction) -> None:
        """Print one line for the photo and one for each face."""
        if prediction.error is None:
            count = len(prediction.faces)
            print(printable(f"{prediction.source}: {count or 'no'} face{'s' if count != 1 else ''}"))
        for face in prediction.faces:
            left, top, right, bottom = (round(edge) for edge in face.box.as_list())
            score = "" if face.score is None else f", score {face.score:.2f}"
            shape = "" if face.shape is None else f", {len(face.shape)} points"
            print(f"  from ({left}, {top}) to ({right}, {bottom}){score}{shape}")
            if face.pose is not None:
                pitch, yaw, roll = (
                    round(angle) for angle in (face.pose.pitch, face.pose.yaw, face.pose.roll)
                )
                print(f"    pitch {pitch}, yaw {yaw}, roll {roll} degrees")
            if shown := seems(face):
                print(printable(f"    seems: {', '.join(shown)}"))


def seems(face: Face) -> list[str]:
    """Return in words what was asked for beside the points: emotion and attributes, the likeliest of each."""
    words = []
    answers = {} if face.emotion is None else {"emotion": face.emotion.probabilities or face.emotion.label}
    for shares in (answers | dict(face.attributes or {})).values():
        if isinstance(shares, Mapping) and shares:
            label = max(shares, key=lambda key: shares[key])
            words.append(f"{label} {shares[label]:.2f}")
        elif isinstance(shares, str):
            words.append(shares)
    return words


__all__ = ["JsonLinesPrinter", "PredictionWriter", "SummaryPrinter", "seems"]

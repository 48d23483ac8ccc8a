"""One face: its box, points, pose and expression, and the same as plain lists and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from meanshape.core import checks
from meanshape.core.box import Box, as_box
from meanshape.core.errors import ResultError
from meanshape.core.markup import named
from meanshape.core.shape import Shape


@dataclass(frozen=True, slots=True)
class Pose:
    """Which way a head turns, in degrees: +pitch up, +yaw and +roll toward the subject's right."""

    pitch: float
    yaw: float
    roll: float

    def __post_init__(self) -> None:
        """Check that the angles are numbers."""
        for name in ("pitch", "yaw", "roll"):
            object.__setattr__(
                self, name, checks.number(getattr(self, name), f"a pose's {name}", ResultError)
            )


@dataclass(frozen=True, slots=True)
class Emotion:
    """What a face seems to express: a label of appearance, with a probability for each label."""

    label: str
    probabilities: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the probabilities are some, and that the label is one of theirs."""
        shares = {
            k: checks.share(v, f"probability of {k}", ResultError) for k, v in self.probabilities.items()
        }
        object.__setattr__(self, "probabilities", shares)
        if shares and self.label not in shares:
            raise ResultError(f"emotion {self.label!r} has no probability among {sorted(shares)}")


@dataclass(frozen=True, slots=True, repr=False)
class Face:
    """One face: the detector's box, and what else was asked for."""

    box: Box
    shape: Shape | None = None
    score: float | None = None
    pose: Pose | None = None
    emotion: Emotion | None = None
    attributes: Mapping[str, Any] | None = None
    track: int | None = None

    def __post_init__(self) -> None:
        """Take the box's score where there is no other, and check what else is there."""
        object.__setattr__(self, "box", as_box(self.box))
        score = self.box.score if self.score is None else self.score
        object.__setattr__(self, "score", checks.share(score, "a face's score", ResultError))
        if self.track is not None:
            object.__setattr__(self, "track", checks.count(self.track, "a face's track", ResultError, 0))
        if not isinstance(self.attributes, Mapping | None):
            raise ResultError(f"a face's attributes are labels by name, not {self.attributes!r:.40}")

    def __repr__(self) -> str:
        """Say what is known of it in one line."""
        told = [f"box ({', '.join(f'{edge:.0f}' for edge in self.box.as_list())})"]
        told += [f"score {self.score:.2f}"] if self.score is not None else []
        told += [repr(self.shape)] if self.shape is not None else []
        if self.pose is not None:
            told.append(f"pitch {self.pose.pitch:.0f}, yaw {self.pose.yaw:.0f}, roll {self.pose.roll:.0f}")
        told += [self.emotion.label] if self.emotion is not None else []
        told += [f"track {self.track}"] if self.track is not None else []
        return f"Face({', '.join(told)})"


if TYPE_CHECKING:

    class LandmarkFace(Face):
        """A `Face` with points, as pipelines and trackers answer: what type checkers are told."""

        shape: Shape
else:
    LandmarkFace = Face


def face_to_dict(face: Face) -> dict[str, Any]:
    """Return one face as plain lists, numbers and None; what nobody asked for is None."""
    pose, emotion = face.pose, face.emotion
    return {
        "box": face.box.as_list(),
        "score": face.score,
        "track": face.track,
        "shape": None if face.shape is None else _shape_to_dict(face.shape),
        "pose": None if pose is None else {"pitch": pose.pitch, "yaw": pose.yaw, "roll": pose.roll},
        "emotion": None
        if emotion is None
        else {"label": emotion.label, "probabilities": dict(emotion.probabilities)},
        "attributes": None if face.attributes is None else dict(face.attributes),
    }


def _shape_to_dict(shape: Shape) -> dict[str, Any]:
    """Return one shape."""
    points = shape.points.astype(object)
    points[np.isnan(shape.points)] = None
    return {
        "markup": shape.markup.name,
        "points": points.tolist(),
        "visible": None if shape.visible is None else shape.visible.tolist(),
        "confidence": None if shape.confidence is None else shape.confidence.tolist(),
    }


def face_from_dict(data: Mapping[str, Any]) -> Face:
    """Return one face."""
    shape, pose, emotion = data.get("shape"), data.get("pose"), data.get("emotion")
    left, top, right, bottom = data["box"]
    return Face(
        box=Box(left, top, right, bottom, data.get("score")),
        shape=None
        if shape is None
        else Shape(shape["points"], named(shape["markup"]), shape.get("visible"), shape.get("confidence")),
        score=data.get("score"),
        pose=None if pose is None else Pose(**pose),
        emotion=None if emotion is None else Emotion(**emotion),
        attributes=data.get("attributes"),
        track=data.get("track"),
    )

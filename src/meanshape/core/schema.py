"""The one prediction schema, shared by files, the API and `Prediction.to_dict`.

A point that is not annotated is `[null, null]`, for JSON has no NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from meanshape.core.errors import FormatError, MeanshapeError
from meanshape.core.markup import named
from meanshape.core.types import SCHEMA, Box, Emotion, Face, Pose, Prediction, Shape


def prediction_to_dict(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain lists, numbers and None."""
    return {
        "schema": SCHEMA,
        "source": prediction.source,
        "size": list(prediction.size),
        "model": prediction.model,
        "seconds": prediction.seconds,
        "faces": [face_to_dict(face) for face in prediction.faces],
        "error": prediction.error,
    }


def prediction_from_dict(data: Mapping[str, Any]) -> Prediction:
    """Return the prediction that `prediction_to_dict` wrote."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise FormatError(f"wanted a prediction of schema {SCHEMA}, found {found!r}")
    try:
        width, height = data["size"]
        return Prediction(
            faces=tuple(face_from_dict(face) for face in data["faces"]),
            size=(width, height),
            source=data.get("source"),
            model=data.get("model"),
            seconds=data.get("seconds") or 0.0,
            error=data.get("error"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = str(error) if isinstance(error, MeanshapeError) else repr(error)
        raise FormatError(f"a prediction that does not fit schema {SCHEMA}: {said}") from error


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

"""Meanshape: facial landmarks from ASM to DAN behind one interface.

>>> import meanshape as ms                          # doctest: +SKIP
>>> face = ms.detect("photo.jpg").faces[0]          # doctest: +SKIP
>>> face.shape["left_eye"], face.shape.to("mtfl5")  # doctest: +SKIP

Everything is imported when it is first asked for, so that a program can take care of Ctrl-C before.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from meanshape.core.box import Box
    from meanshape.core.errors import (
        BoxError,
        ConfigError,
        DataSetError,
        FormatError,
        ImageError,
        MarkUpError,
        MeanshapeError,
        MeanshapeWarning,
        MissingExtra,
        NotFitted,
        OutputError,
        ResultError,
        ShapeError,
        UnknownName,
        WeightsError,
    )
    from meanshape.core.face import Emotion, Face, LandmarkFace, Pose
    from meanshape.core.markup import MarkUp, markup
    from meanshape.core.prediction import LandmarkPrediction, Prediction
    from meanshape.core.sample import Sample
    from meanshape.core.shape import Shape
    from meanshape.evaluation import Evaluation, evaluate
    from meanshape.inference import Pipeline, detect
    from meanshape.inference.align import align
    from meanshape.inference.blur import blur
    from meanshape.inference.following import follow
    from meanshape.inference.overlay import Style, draw
    from meanshape.inference.tracking import Tracker
    from meanshape.inference.video import video
    from meanshape.methods import load

__version__ = "0.1.0"

_LATER = {
    "Box": "meanshape.core.box",
    "BoxError": "meanshape.core.errors",
    "ConfigError": "meanshape.core.errors",
    "DataSetError": "meanshape.core.errors",
    "Emotion": "meanshape.core.face",
    "Evaluation": "meanshape.evaluation",
    "Face": "meanshape.core.face",
    "FormatError": "meanshape.core.errors",
    "ImageError": "meanshape.core.errors",
    "LandmarkFace": "meanshape.core.face",
    "LandmarkPrediction": "meanshape.core.prediction",
    "MarkUp": "meanshape.core.markup",
    "MarkUpError": "meanshape.core.errors",
    "MeanshapeError": "meanshape.core.errors",
    "MeanshapeWarning": "meanshape.core.errors",
    "MissingExtra": "meanshape.core.errors",
    "NotFitted": "meanshape.core.errors",
    "OutputError": "meanshape.core.errors",
    "Pipeline": "meanshape.inference",
    "Pose": "meanshape.core.face",
    "Prediction": "meanshape.core.prediction",
    "ResultError": "meanshape.core.errors",
    "Sample": "meanshape.core.sample",
    "Shape": "meanshape.core.shape",
    "ShapeError": "meanshape.core.errors",
    "Style": "meanshape.inference.overlay",
    "Tracker": "meanshape.inference.tracking",
    "UnknownName": "meanshape.core.errors",
    "WeightsError": "meanshape.core.errors",
    "align": "meanshape.inference.align",
    "blur": "meanshape.inference.blur",
    "detect": "meanshape.inference",
    "draw": "meanshape.inference.overlay",
    "evaluate": "meanshape.evaluation",
    "follow": "meanshape.inference.following",
    "load": "meanshape.methods",
    "markup": "meanshape.core.markup",
    "video": "meanshape.inference.video",
}
"""Public names and the package that has each; imported on first use."""

__all__ = [
    "Box",
    "BoxError",
    "ConfigError",
    "DataSetError",
    "Emotion",
    "Evaluation",
    "Face",
    "FormatError",
    "ImageError",
    "LandmarkFace",
    "LandmarkPrediction",
    "MarkUp",
    "MarkUpError",
    "MeanshapeError",
    "MeanshapeWarning",
    "MissingExtra",
    "NotFitted",
    "OutputError",
    "Pipeline",
    "Pose",
    "Prediction",
    "ResultError",
    "Sample",
    "Shape",
    "ShapeError",
    "Style",
    "Tracker",
    "UnknownName",
    "WeightsError",
    "align",
    "blur",
    "detect",
    "draw",
    "evaluate",
    "follow",
    "load",
    "markup",
    "video",
]


def __getattr__(name: str) -> Any:
    """Import what was not needed so far."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})

"""Which detector and which model: by name, by what it can take, and by its licence."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meanshape.core import registry, weights
from meanshape.core.errors import ConfigError, WeightsError, suggestion
from meanshape.core.markup import markup
from meanshape.detectors.base import FaceDetector
from meanshape.methods import load
from meanshape.methods.base import LandmarkModel

MODEL = "dan"
DETECTOR = "mtcnn"
LICENCES = ("any", "permissive")
ANSWERING = {"emotion": "emotional_dan", "attributes": "tcdcn"}
"""Who says what beside the points, where the model that places them does not."""


def model_name(model: str | Path | LandmarkModel | None, licence: str) -> str | Path | LandmarkModel:
    """Return the model to load: the one that is wanted, else the default that the licence allows."""
    if licence not in LICENCES:
        raise ConfigError(f"licence is {' or '.join(LICENCES)}, not {licence!r}")
    if licence == "any":
        return MODEL if model is None else model
    free = _free()
    if model is None:
        full = [name for name in free if weights.read_card(weights.folder(name)).markup == "ibug68"]
        if not full:
            raise ConfigError("no model of this package is free for commercial use: train your own")
        return _nearest(full, MODEL)
    if isinstance(model, str) and model in weights.names() and model not in free:
        terms = weights.read_card(weights.folder(model)).licence
        others = f"; these may be used: {', '.join(free)}" if free else ""
        raise ConfigError(f"the licence of {model} is not permissive but {terms}{others}")
    return model


def detector_name(detector: str | FaceDetector | None, licence: str) -> str | FaceDetector:
    """Return the detector to make: the one that is wanted, else the default that the licence allows."""
    free = [name for name in _free() if name in registry.names("detectors")] if licence != "any" else []
    if detector is None:
        detector = _nearest(free, DETECTOR) if free else DETECTOR
    name = detector if isinstance(detector, str) else detector.name
    if licence == "permissive" and name in weights.names() and name not in free:
        terms = weights.read_card(weights.folder(name)).licence
        others = f"take --detector {free[0]}, " if free else ""
        raise ConfigError(
            f"the licence of detector {name} is not permissive but {terms}; "
            f"{others}bring boxes of your own (--boxes FILE) or take --detector whole_image"
        )
    return detector


def _free() -> list[str]:
    """The names of the weights that may be used for anything."""
    return [name for name in weights.names() if weights.read_card(weights.folder(name)).commercial_use]


def _nearest(names: Sequence[str], wanted: str) -> str:
    """The first by name, those first that begin like the one that is wanted."""
    return min(names, key=lambda name: (not name.startswith(wanted), name))


def make_detector(detector: str | FaceDetector, **options: Any) -> FaceDetector:
    """Return a detector; a name is made with those options that it knows."""
    if not isinstance(detector, str):
        return detector
    made: FaceDetector = _make(registry.detector(detector), options)
    return made


def make_model(
    model: str | Path | LandmarkModel, threads: int, providers: Sequence[str] | None
) -> tuple[LandmarkModel, str]:
    """Return a ready model and what a prediction calls it."""
    if isinstance(model, LandmarkModel):
        return model, model.name
    check_providers(providers)
    return load(model, threads=threads, providers=providers), str(model)


def make_answering(
    what: str, model: LandmarkModel, threads: int, providers: Sequence[str] | None, licence: str
) -> LandmarkModel:
    """Return a model that says "emotion" or "attributes": the one that places the points if it can, else the
    one that is known for it.
    """
    if answers(model, what):
        return model
    name = ANSWERING[what]
    if name not in weights.names():
        raise WeightsError(
            f"{what}: the weights of {name} are not in this package; train it (meanshape train {name} …) and "
            "give its folder as the model"
        )
    return make_model(model_name(name, licence), threads, providers)[0]


def answers(model: LandmarkModel, what: str) -> bool:
    """Say whether a model answers "emotion" (it has `emotions`) or "attributes" (other ones)."""
    if what == "emotion":
        return hasattr(model, "emotions") and bool(getattr(model, "labels", ()))
    return hasattr(model, "attributes") and not hasattr(model, "emotions")


def check_providers(providers: Sequence[str] | None) -> None:
    """Say which execution providers this ONNX Runtime has, if another is wanted."""
    if providers is None:
        return
    import onnxruntime

    there = onnxruntime.get_available_providers()
    for name in providers:
        if name not in there:
            raise ConfigError(f"this ONNX Runtime has no provider {name!r}{suggestion(name, there)}")


def check_markup(model: LandmarkModel, to: str | None) -> None:
    """Say before any work that a model's points cannot become another mark-up's."""
    if to is not None and model.markup is not None:
        model.markup.conversion(markup(to))


def check_stages(model: LandmarkModel, stages: int | None) -> dict[str, Any]:
    """Return the options for `predict` that ask for the first stages of a cascade alone."""
    if stages is None:
        return {}
    there: int = getattr(model, "stage_count", 0)
    if not 1 <= stages <= there:
        raise ConfigError(
            f"{model.name} has {there} stages, asked for {stages}"
            if there
            else f"{model.name} has no stages that could be asked for one by one; dan does"
        )
    return {"stages": stages}


def _make(kind: Any, options: dict[str, Any]) -> Any:
    """Call a class with the options that its signature has."""
    known = inspect.signature(kind).parameters
    every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    return kind(**{name: value for name, value in options.items() if every or name in known})

"""Which detector and which model: by name, by what it can take, and by its licence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meanshape.core import checks, registry, weights
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.face_box import FULL
from meanshape.core.markup import markup, markup_names
from meanshape.core.origin import Origin
from meanshape.detectors.base import FaceDetector, accepts
from meanshape.methods import load
from meanshape.methods.base import LandmarkModel
from meanshape.methods.shared.abilities import TellsAttributes, TellsEmotion

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

MODEL = "integral"
DETECTOR = "both"
PARTS = ("mtcnn", "glance")
"""The weights that the default detector is made of."""
LICENCES = ("any", "permissive")
ANSWERING = {"emotion": "emotional_dan", "attributes": "tcdcn"}
"""Who says what beside the points, where the model that places them does not."""


def model_name(model: str | Path | LandmarkModel | None, licence: str) -> str | Path | LandmarkModel:
    """Return the model to load: the one that is wanted, else the default that the licence allows."""
    if licence not in LICENCES:
        raise ConfigError(f"licence is {' or '.join(LICENCES)}, not {licence!r}")
    if not isinstance(model, str | Path | LandmarkModel | None):
        raise ConfigError(
            f"a model is a name, a folder, a file or a LandmarkModel, not {type(model).__name__}"
        )
    if licence == "any":
        return MODEL if model is None else model
    free = [name for name in _free() if name in weights.names()]
    if model is None:
        full = [name for name in free if _has_68(weights.shipped_card(name).markup)]
        if not full:
            raise ConfigError("no model of this package is free for commercial use: train your own")
        return _nearest(full, MODEL)
    origin = _origin_of_model(model)
    if not origin.commercial_use:
        name = model.name if isinstance(model, LandmarkModel) else model
        others = f"; these may be used: {', '.join(free)}" if free else ""
        raise ConfigError(f"the licence of {name} is not permissive but {origin.licence}{others}")
    return model


def _origin_of_model(model: str | Path | LandmarkModel) -> Origin:
    """Return what a model says of its terms: nothing, unless a card or the metadata of a file do."""
    if isinstance(model, LandmarkModel):
        return model.origin
    if isinstance(model, str) and model in weights.names():
        return weights.shipped_card(model).origin
    return weights.read_card(model).origin if Path(model).is_dir() else load(model).origin


def _has_68(kind: str | None) -> bool:
    """Tell whether points of a mark-up hold the 68 of iBUG."""
    return kind is not None and kind in markup_names() and markup(kind).gives(FULL)


def detector_name(detector: str | FaceDetector | None, licence: str) -> str | FaceDetector:
    """Return the detector to make: the one that is wanted, else the default that the licence allows."""
    if not isinstance(detector, str | FaceDetector | None):
        raise ConfigError(f"a detector is a name or a FaceDetector, not {type(detector).__name__}")
    free = [name for name in _free() if name in registry.names("detectors")] if licence != "any" else []
    if detector is None:
        detector = _nearest(free, DETECTOR) if free else DETECTOR
    if licence == "any":
        return detector
    origin = _origin_of_detector(detector)
    if not origin.commercial_use:
        name = detector if isinstance(detector, str) else detector.name
        others = f"take --detector {free[0]}, " if free else ""
        raise ConfigError(
            f"the licence of detector {name} is not permissive but {origin.licence}; "
            f"{others}bring boxes of your own (--boxes FILE) or take --detector whole_image"
        )
    return detector


def _origin_of_detector(detector: str | FaceDetector) -> Origin:
    """Return what the weights of a detector, or its own card, say of its terms."""
    if not isinstance(detector, str):
        return detector.origin
    if detector in (*weights.names(), *weights.detector_names()):
        return weights.shipped_card(detector).origin
    return Origin.read(registry.card("detectors", detector))


def _free() -> list[str]:
    """The names of the weights that may be used for anything."""
    names = (*weights.names(), *weights.detector_names())
    return [name for name in names if weights.shipped_card(name).commercial_use]


def _nearest(names: Sequence[str], wanted: str) -> str:
    """The first by name, those first that begin like the one that is wanted."""
    return min(names, key=lambda name: (not name.startswith(wanted), name))


def providers_of(
    device: str | None, providers: Sequence[Provider] | None = None
) -> Sequence[Provider] | None:
    """Return the providers that were asked for, in either form; None: nobody asked."""
    if device is None and providers is None:
        return None
    from meanshape.core import runtime

    return runtime.chosen(device, providers)


def make_detector(
    detector: str | FaceDetector, threads: int = 1, providers: Sequence[Provider] | None = None
) -> FaceDetector:
    """Return a detector; threads and providers are for those that run networks."""
    if not isinstance(detector, str):
        if providers is not None and accepts(type(detector), "providers"):
            raise ConfigError(f"detector {detector.name} is made already: give it the device when it is made")
        return detector
    kind = registry.detector(detector)
    running = {"threads": threads, "providers": providers}
    made: FaceDetector = kind(**{name: value for name, value in running.items() if accepts(kind, name)})
    return made


def make_model(
    model: str | Path | LandmarkModel, threads: int, providers: Sequence[Provider] | None
) -> tuple[LandmarkModel, str]:
    """Return a ready model and what a prediction calls it."""
    if isinstance(model, LandmarkModel):
        if providers is not None:
            raise ConfigError(f"model {model.name} is loaded already: give its device to ms.load")
        return model, model.name
    return load(model, threads=threads, providers=providers), str(model)


def make_answering(
    what: str, model: LandmarkModel, threads: int, providers: Sequence[Provider] | None, licence: str
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
        return isinstance(model, TellsEmotion) and bool(model.labels)
    return isinstance(model, TellsAttributes) and not isinstance(model, TellsEmotion)


def check_markup(model: LandmarkModel, to: str | None) -> None:
    """Say before any work that a model's points cannot become another mark-up's."""
    if not isinstance(to, str | None):
        raise ConfigError(f"markup is a name or a .toml file, not {type(to).__name__}")
    if to is not None and model.markup is not None:
        model.markup.conversion(markup(to))


def check_stages(model: LandmarkModel, stages: int | None) -> dict[str, Any]:
    """Return the options for `predict` that ask for the first stages of a cascade alone."""
    if stages is None:
        return {}
    there = model.stage_count
    if not there:
        raise ConfigError(f"{model.name} has no stages that could be asked for one by one; dan does")
    if (count := checks.count(stages, "stages", ConfigError)) > there:
        raise ConfigError(f"{model.name} has {there} stages, asked for {stages}")
    return {"stages": count}

"""`detect`, and the pipelines that it keeps for the next call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack, overload

from meanshape.core.box import BoxesLike
from meanshape.core.image import ImageLike
from meanshape.core.prediction import LandmarkPrediction
from meanshape.core.weights import CARD
from meanshape.detectors.base import FaceDetector
from meanshape.inference.options import PipelineOptions
from meanshape.inference.pipeline import SETTINGS, Pipeline
from meanshape.methods.base import LandmarkModel


@overload
def detect(
    image: list[Any] | tuple[Any, ...],
    *,
    boxes: Sequence[BoxesLike | None] | None = None,
    **options: Unpack[PipelineOptions],
) -> list[LandmarkPrediction]: ...


@overload
def detect(
    image: ImageLike, *, boxes: BoxesLike | None = None, **options: Unpack[PipelineOptions]
) -> LandmarkPrediction: ...


def detect(image: Any, *, boxes: Any = None, **options: Unpack[PipelineOptions]) -> Any:
    """Return the faces of one photo, each with box, score and points; of several photos, a list.

    `image` and `boxes` are those of a call of `Pipeline`, `options` those of `Pipeline` itself; the networks
    of each set of options are kept for the next call, unless the model's folder or file was written anew.
    """
    return _shared(options)(image, boxes=boxes)


def _shared(options: Mapping[str, Any]) -> Pipeline:
    """Return a pipeline of these options, on networks that are kept for the next one."""
    settings = {name: options[name] for name in SETTINGS if name in options}
    networks = {name: _kept(value) for name, value in options.items() if name not in SETTINGS}
    return _pipeline(_written(options.get("model")), **networks).with_settings(**settings)


def _written(model: Any) -> tuple[int, ...] | None:
    """Return what tells weights on the disk from those that take their place: a training goes on meanwhile.

    None: they are not on the disk under this name.
    """
    if not isinstance(model, (str, os.PathLike)):
        return None
    path = Path(model)
    try:
        state = (path / CARD if path.is_dir() else path).stat()
    except (OSError, ValueError):  # its reader says what is wrong
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _kept(value: Any) -> Any:
    """Return an option's value as one that can be looked up: provider options are dictionaries."""
    if isinstance(value, Mapping):
        return _Frozen(value)
    return tuple(map(_kept, value)) if isinstance(value, (list, tuple)) else value


class _Frozen(dict[str, Any]):
    """A dictionary that can be looked up."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def again(kind: type[Pipeline], options: dict[str, Any]) -> Pipeline:
    """Return a pipeline of the options of another.

    A pool unpickles it for each task, so its networks are kept.
    """
    own = any(isinstance(value, (FaceDetector, LandmarkModel)) for value in options.values())
    return kind(**options) if own or kind is not Pipeline else _shared(options)


@lru_cache(maxsize=8)
def _pipeline(written: tuple[int, ...] | None, **options: Any) -> Pipeline:
    """Return a pipeline of these options, and of the weights that were written then."""
    return Pipeline(**options)

"""What a model does inside, for the page: stages, iterations, modes. Pictures go as PNG data URLs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core import config as configs
from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, ImageError
from meanshape.core.image import Pixels
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.turns import view
from meanshape.methods.base import CONFIG, LandmarkModel
from meanshape.methods.shared.abilities import HasAppearanceModes, HasIterations, HasShapeModes, HasSteps
from meanshape.methods.shared.steps import Step

SHOWN: dict[str, tuple[type, ...]] = {
    "steps": (HasSteps, HasIterations),
    "shape": (HasShapeModes,),
    "appearance": (HasAppearanceModes,),
}
"""What a method must be able to do for what it can show."""
LARGEST = 3.0
"""Standard deviations to which a mode may be moved."""
SIDE = 240
"""Pixels of the drawing of modes."""


def shows(method: str) -> list[str]:
    """Return what a method can show of itself: "steps", modes of "shape", of "appearance"."""
    kind = registry.method(method)
    return [what for what, abilities in SHOWN.items() if issubclass(kind, abilities)]


def stages(method: str, folder: Path) -> int:
    """Return how many stages of a model can be asked for one by one, 0 for none."""
    kind = registry.method(method)
    if kind.stage_count is LandmarkModel.stage_count:
        return 0
    count: int = kind(configs.load(kind.Config, weights.Checked(folder, only=(CONFIG,)) / CONFIG)).stage_count
    return count


def steps(pipeline: Pipeline, pixels: Pixels, face: int) -> dict[str, Any]:
    """Return what the pipeline's model does to one face of a picture.

    Raises
    ------
    ImageError : there is no such face
    ConfigError : the model shows no steps
    """
    found = pipeline.search(pixels)
    if face >= len(found):
        raise ImageError(f"face {face} is not there: {len(found)} faces were found")
    seen = view(pixels, found[face].box, found[face].roll)
    return {
        "model": pipeline.name,
        "box": found[face].box.as_list(),
        "steps": [
            {
                "name": step.name,
                "markup": step.shape.markup.name,
                "points": seen.placed(step.shape).points.round(3).tolist(),
                "pictures": {name: data_url(picture) for name, picture in step.pictures.items()},
            }
            for step in _steps(pipeline.model, seen.pixels, seen.box, pipeline.name)
        ],
    }


def _steps(model: Any, pixels: Pixels, box: Box, name: str) -> list[Step]:
    if isinstance(model, HasSteps):
        return model.steps(pixels, box)
    if isinstance(model, HasIterations):
        return [Step(f"iteration {n}", shape) for n, shape in enumerate(model.iterations(pixels, box))]
    raise ConfigError(f"model {name} shows no steps; dan, asm and aam do")


def modes(model: Any, weights: str, kind: str) -> dict[str, Any]:
    """Return the shape that a model's modes make; of "appearance", also the picture under it.

    `weights` are standard deviations, separated by commas; those that are not given are 0.
    """
    if model.markup is None or not issubclass(type(model), SHOWN[kind]):
        raise ConfigError(f"model {model.name} has no modes of {kind}; asm and aam have them, asm of shape")
    wanted = _weights(weights)
    count = len((model.portrait.appearance if kind == "appearance" else model.shape_model).variances)
    if len(wanted) > count:
        raise ConfigError(f"{model.name} has {count} modes of {kind}, asked for {len(wanted)}")
    answer: dict[str, Any] = {"markup": model.markup.name, "count": count, "size": [SIDE, SIDE]}
    if kind == "appearance":
        picture, points = model.portrait.render(np.asarray(wanted, np.float64))
        size = [picture.shape[1], picture.shape[0]]
        return {**answer, "size": size, "points": points.round(2).tolist(), "picture": data_url(picture)}
    points = np.asarray(model.shape_from(wanted))
    low, high = points.min(0), points.max(0)
    scale = 0.8 * SIDE / float((high - low).max())
    placed = (points - (low + high) / 2) * scale + SIDE / 2
    return {**answer, "points": placed.round(2).tolist()}


def _weights(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"weights are numbers with commas between, not {text!r}") from None
    return [float(np.clip(number, -LARGEST, LARGEST)) for number in numbers if np.isfinite(number)]


def data_url(pixels: Pixels) -> str:
    """Return a picture as a PNG data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


__all__ = ["modes", "shows", "stages", "steps"]

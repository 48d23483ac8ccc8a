"""One face, seen by every method that ships: what each answers, how long it takes, and a sheet of them all.

The methods stand in order of year. Nobody knows the error on a photo without labels; what can be said is how
far an answer lies from that of the default model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.geometry import Matrix, apply
from meanshape.core.image import Pixels, crop
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.inference import choice
from meanshape.inference.overlay import Style, draw
from meanshape.inference.turns import view

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider
    from meanshape.inference.pipeline import Pipeline
    from meanshape.inference.turns import Candidate

TILE, GAP, CAPTION = 300, 12, 74
"""Pixels of a tile's side, between tiles, and of the text under one."""
ROUNDS = 5
"""Calls that are timed; the quickest counts."""
ROOM = 1.55
"""Sides of a tile in sides of the canonical face box."""
PAPER, INK, GREY = (255, 255, 255), (24, 26, 32), (96, 102, 112)
EYES = "mtfl5"
"""The mark-up whose first two points are the centres of the eyes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one method says of the face.

    Attributes
    ----------
    name, year, family : the weights, and where their method stands in the lineage
    shape : the points, in pixels of the photo
    milliseconds : the time of one prediction, without the search for the face
    apart : the mean distance to the default model's points, percent of the distance between the centres of
        its eyes; None where the two share no mark-up, and of the default model itself
    """

    name: str
    year: int
    family: str
    shape: Shape
    milliseconds: float
    apart: float | None = None


def shipped(licence: str = "any") -> list[str]:
    """Return the weights that ship, one of each method, in order of year; `licence` as in `Pipeline`.

    Of several weights of a method those count that are named after it, or else the first that may be used.
    """
    if licence not in choice.LICENCES:
        raise ConfigError(f"licence is {' or '.join(choice.LICENCES)}, not {licence!r}")
    chosen: dict[str, str] = {}
    for name in sorted(weights.names(), key=lambda name: (name != weights.shipped_card(name).method, name)):
        card = weights.shipped_card(name)
        if licence == "any" or card.commercial_use:
            chosen.setdefault(card.method, name)
    year = {method: int(registry.card("methods", method)["year"]) for method in chosen}
    return [chosen[method] for method in sorted(chosen, key=lambda method: (year[method], method))]


def answers(
    pixels: Pixels,
    face: Candidate,
    pipeline: Pipeline,
    names: Sequence[str],
    threads: int = 1,
    providers: Sequence[Provider] | None = None,
) -> Iterator[Answer]:
    """Yield what each of these weights says of one face of a photo (H, W, 3).

    Parameters
    ----------
    face : where it is, as `pipeline.search` found it; all methods get this box
    pipeline : of the model that the others are compared with
    """
    seen = view(pixels, face.box, face.roll)
    default = seen.placed(pipeline.model.predict_batch([seen.pixels], [seen.box])[0])
    for name in names:
        model: Any = choice.make_model(name, threads, providers)[0]
        times = []
        for _ in range(1 + ROUNDS):
            start = time.perf_counter()
            found = model.predict_batch([seen.pixels], [seen.box])[0]
            times.append(time.perf_counter() - start)
        card = registry.card("methods", weights.shipped_card(name).method)
        shape = seen.placed(found)
        apart = None if name == pipeline.name else disagreement(shape, default)
        yield Answer(name, card["year"], card["family"], shape, 1000 * min(times[1:]), apart)


def disagreement(shape: Shape, other: Shape) -> float | None:
    """Return the mean distance of the points that both have, percent of the distance of the other's eyes."""
    kinds = (shape.markup.name, *shape.markup.conversions)
    shared = next((kind for kind in kinds if other.markup.gives(kind)), None)
    if shared is None or not other.markup.gives(EYES):
        return None
    ours, theirs = shape.markup.convert(shape.points, shared), other.markup.convert(other.points, shared)
    right, left = other.markup.convert(other.points, EYES)[:2]
    apart = np.hypot(*(ours - theirs).T)
    return float(100 * np.nanmean(apart) / math.hypot(*(left - right)))


def sheet(pixels: Pixels, face: Candidate, found: Sequence[Answer], timed: bool = True) -> Pixels:
    """Return a picture (H, W, 3): the face without points, then a tile for each answer, captions below.

    The captions tell the milliseconds if `timed`.
    """
    side = ROOM * max(face.box.width, face.box.height)
    x, y = face.box.center
    half = side / 2
    tile, matrix = crop(pixels, Box(x - half, y - 1.12 * half, x + half, y + 0.88 * half), TILE)
    columns = math.ceil(math.sqrt((len(found) + 1) * 4 / 3))
    rows = math.ceil((len(found) + 1) / columns)
    size = columns * (TILE + GAP) + GAP, rows * (TILE + CAPTION + GAP) + GAP
    canvas = np.full((size[1], size[0], 3), PAPER, np.uint8)
    texts = [("the photo", "the face that all methods are shown", "")]
    texts += [_caption(answer, timed) for answer in found]
    for number, lines in enumerate(texts):
        left = GAP + number % columns * (TILE + GAP)
        top = GAP + number // columns * (TILE + CAPTION + GAP)
        drawn = tile if number == 0 else _drawn(tile, found[number - 1], matrix)
        canvas[top : top + TILE, left : left + TILE] = drawn
        _write(canvas, lines, left, top + TILE + 6)
    return canvas


def _caption(answer: Answer, timed: bool) -> tuple[str, str, str]:
    """Return three lines: name and year, family, and what was measured."""
    apart = "the others are compared with it" if answer.apart is None else f"{answer.apart:.1f} % apart"
    measured = [f"{answer.milliseconds:.2f} ms"] if timed else []
    points = f"{answer.family}, {len(answer.shape)} points"
    return f"{answer.name}  {answer.year}", points, ", ".join([*measured, apart])


def _drawn(tile: Pixels, answer: Answer, matrix: Matrix) -> Pixels:
    """Return the tile with an answer's points."""
    shape = answer.shape.with_points(apply(matrix, answer.shape.points))
    height, width = tile.shape[:2]
    face = Face(Box.whole(width, height).scaled(0.6), shape)
    few = len(shape) < 30
    style = Style(box=False, score=False, dot=0.02 if few else 0.0095, rim=0.006 if few else 0.004)
    return draw(tile, Prediction((face,), (width, height)), style)


def _write(canvas: Pixels, lines: Sequence[str], left: int, top: int) -> None:
    """Write the lines of a caption: the first large, the others grey."""
    from PIL import Image, ImageDraw, ImageFont

    part = canvas[top : top + CAPTION - 6, left : left + TILE]
    picture = Image.fromarray(part)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        font = ImageFont.load_default(size=19 if number == 0 else 14.5)
        pen.text((2, (0, 25, 44)[number]), line, font=font, fill=GREY if number else INK)
    part[:] = np.asarray(picture)


__all__ = ["Answer", "answers", "disagreement", "sheet", "shipped"]

"""What is written on a picture: numbers and names at points, and on plates what is said of each face.

A plate never lies on a face, neither its own nor another's: it stands over the box, under it or beside it,
else where only the points are kept free; in several lines where one is too wide. Where nothing fits it is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.image import Pixels
from meanshape.inference.printing import seems

Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels, the last two not part of it."""

WHITE = (255, 255, 255)
INK = (24, 26, 32)
PAD, LINE = 0.4, 1.25
"""Room around the text of a plate, and from line to line, in heights of the text."""


def write_labels(canvas: Pixels, faces: Sequence[Face]) -> None:
    """Write score, track, emotion and attributes of each face on a small plate, in place."""
    height, width = canvas.shape[:2]
    boxes = [_pixels(face.box, 1) for face in faces]
    tight = [_pixels(_points_of(face), 1) for face in faces]
    taken: list[Rect] = []
    for face, box in zip(faces, boxes, strict=True):
        size = min(face.box.size, 2.0 * max(height, width))  # boxes of files may be of any size
        tall = float(np.clip(0.055 * size, 9, 64))
        for kept in (boxes, tight):
            place = _place(_texts(face), box, tall, (width, height), [*kept, *taken])
            if place is not None:
                text, rect = place
                write(canvas, text, (rect[0], rect[1]), tall, plate=True)
                taken.append(rect)
                break


def _texts(face: Face) -> Iterator[str]:
    """Yield what may be written of a face: in a line, in a line for each word, and at least the first."""
    words = [] if face.track is None else [f"#{face.track}"]
    words += [] if face.score is None else [f"{face.score:.2f}"]
    short, words = "  ".join(words), words + seems(face)
    if words:
        yield "  ".join(words)
        yield "\n".join([*([short] if short else []), *seems(face)])
    if short:
        yield short


def _place(
    texts: Iterator[str], box: Rect, tall: float, size: tuple[int, int], others: Sequence[Rect]
) -> tuple[str, Rect] | None:
    """Return a text and where it has room; None where none has."""
    width, height = size
    left, top, right, bottom = box
    for text in texts:
        wide, high = _plate(text, tall)
        gap = round(0.3 * tall)
        across = (left, right - wide, 0, width - wide)
        down = (top, bottom - high, 0, height - high)
        over = [(x, y) for y in (top - gap - high, bottom + gap) for x in across]
        beside = [(x, y) for x in (right + gap, left - gap - wide) for y in down]
        corners = [(x, y) for y in (height - high, 0) for x in (0, width - wide)]
        for x, y in (*over, *beside, *corners):
            x, y = int(np.clip(x, 0, max(0, width - wide))), int(np.clip(y, 0, max(0, height - high)))
            rect = (x, y, x + wide, y + high)
            if rect[2] <= width and rect[3] <= height and not any(_meet(rect, other) for other in others):
                return text, rect
    return None


def _meet(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _pixels(box: Box, room: int) -> Rect:
    """Return the pixels of a box, with some room; numbers of files may be of any size."""
    edges = np.clip(np.array(box.as_list()), -1e6, 1e6)
    left, top = (int(np.floor(edge)) - room for edge in edges[:2])
    right, bottom = (int(np.ceil(edge)) + room + 1 for edge in edges[2:])
    return left, top, right, bottom


def _points_of(face: Face) -> Box:
    """Return the box around a face's points; without any, the face's."""
    if face.shape is None or np.isfinite(face.shape.points).all(1).sum() < 3:
        return face.box
    points = face.shape.points
    spread = np.ptp(points[np.isfinite(points).all(1)], axis=0)
    return Box.around(points) if spread.min() > 0 else face.box


def _plate(text: str, tall: float) -> tuple[int, int]:
    """Return width and height of a plate for a text."""
    from PIL import ImageFont

    font = ImageFont.load_default(size=tall)
    lines = text.split("\n")
    wide = max(font.getbbox(line)[2] - font.getbbox(line)[0] for line in lines)
    return int(wide + 2 * PAD * tall) + 2, int((LINE * len(lines) + 2 * PAD) * tall)


def write(
    canvas: Pixels,
    text: str,
    place: tuple[float, float],
    height: float,
    *,
    ink: Colour = WHITE,
    anchor: str = "left",
    plate: bool = False,
) -> None:
    """Write text whose top corner (left or right) is at `place`; on a dark plate, or with a dark rim."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=height)
    rim = 0 if plate else max(1, round(height / 9))
    pad = PAD * height if plate else 0.0
    lines = text.split("\n")
    edges = [font.getbbox(line, stroke_width=rim) for line in lines]
    wide = int(max(edge[2] - edge[0] for edge in edges) + 2 * pad) + 2
    high = int((LINE * len(lines)) * height + 2 * pad) + 2 * rim
    x = place[0] - (wide if anchor == "right" else 0)
    x0 = int(np.clip(x, 0, max(0, canvas.shape[1] - wide)))
    y0 = int(np.clip(place[1], 0, max(0, canvas.shape[0] - high)))
    part = canvas[y0 : y0 + high, x0 : x0 + wide]
    picture = Image.fromarray(part).convert("RGBA")
    layer = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(layer)
    if plate:
        pen.rounded_rectangle((0, 0, wide - 1, high - 1), radius=0.35 * height, fill=(*INK, 190))
    for number, (line, edge) in enumerate(zip(lines, edges, strict=True)):
        start = (pad + rim - edge[0], pad + number * LINE * height)
        pen.text(start, line, font=font, fill=(*ink, 255), stroke_width=rim, stroke_fill=(*INK, 220))
    part[:] = np.asarray(Image.alpha_composite(picture, layer).convert("RGB"))


__all__ = ["INK", "WHITE", "Colour", "write", "write_labels"]

"""A contact sheet: many pictures in one, small, each with a line under it, for a person to look through."""

from __future__ import annotations

import heapq
import math

import numpy as np

from meanshape.core.box import Box
from meanshape.core.image import Pixels, crop

WIDE, HIGH, CAPTION, GAP = 480, 360, 24, 8
"""Pixels of a small picture, of the line under it, and between them."""
MOST = 240
"""Pictures on a sheet."""
PAPER, INK, ALARM = (255, 255, 255), (24, 26, 32), (200, 30, 30)


class Sheet:
    """Collects pictures; where there are too many, the most urgent are kept.

    Parameters
    ----------
    most : how many pictures there is room for
    """

    def __init__(self, most: int = MOST) -> None:
        self.most, self.count = most, 0
        self._kept: list[tuple[float, int, Pixels, str, bool]] = []

    def add(self, pixels: Pixels, text: str, urgency: float = 0.0, alarm: bool = False) -> None:
        """Add a picture (H, W, 3) with a line of text, red with `alarm`."""
        self.count += 1
        item = (urgency, -self.count, _small(pixels), text, alarm)
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, item)
        else:
            heapq.heappushpop(self._kept, item)

    def picture(self) -> Pixels:
        """Return the sheet (H, W, 3): the most urgent pictures first, else as they came."""
        items = sorted(self._kept, key=lambda item: (-item[0], -item[1]))
        columns = max(1, min(6, math.ceil(math.sqrt(len(items)))))
        rows = max(1, math.ceil(len(items) / columns))
        size = columns * (WIDE + GAP) + GAP, rows * (HIGH + CAPTION + GAP) + GAP
        canvas = np.full((size[1], size[0], 3), PAPER, np.uint8)
        for number, (_, _, small, text, alarm) in enumerate(items):
            left = GAP + number % columns * (WIDE + GAP)
            top = GAP + number // columns * (HIGH + CAPTION + GAP)
            canvas[top : top + HIGH, left : left + WIDE] = small
            _write(canvas[top + HIGH : top + HIGH + CAPTION, left : left + WIDE], text, alarm)
        return canvas


def _small(pixels: Pixels) -> Pixels:
    """Return the whole picture in a small one, on grey."""
    height, width = pixels.shape[:2]
    factor = min(WIDE / width, HIGH / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    out = np.full((HIGH, WIDE, 3), 235, np.uint8)
    left, top = (WIDE - size[0]) // 2, (HIGH - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = crop(pixels, Box.whole(width, height), size)[0]
    return out


def _write(part: Pixels, text: str, alarm: bool) -> None:
    """Write a line that fits; of one that is too long, the end."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=13)
    while len(text) > 4 and font.getlength(text) > WIDE - 4:
        text = f"…{text[2:]}"
    picture = Image.fromarray(part)
    ImageDraw.Draw(picture).text((2, 3), text, font=font, fill=ALARM if alarm else INK)
    part[:] = np.asarray(picture)


__all__ = ["MOST", "Sheet"]

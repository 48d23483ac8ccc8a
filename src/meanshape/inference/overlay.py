"""Predictions drawn on their photo: smooth lines and dots, sized to each face, with a light rim.

Everything of a face is drawn as masks, larger than the photo where the face is small, and blended in: lines
may be thinner than a pixel, and points lie where they are, not on the next pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core import checks
from meanshape.core.box import Box, Points
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.markup import MarkUp
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.inference.lettering import INK, WHITE, Colour, write, write_labels
from meanshape.inference.options import Color

Text = tuple[str, Points, Colour]

COLOURS: Mapping[str, Colour] = {
    "contour": (38, 198, 218),
    "brow": (255, 179, 0),
    "eye": (66, 133, 244),
    "nose": (67, 196, 99),
    "lip": (236, 64, 122),
    "mouth": (236, 64, 122),
}
"""Colours (RGB) by what a group's or a point's name contains."""

OTHER = (171, 71, 188)
LEAST_SCALE, MOST_SCALE = 0.1, 10.0
SHARP = 480
"""A face is drawn on a mask of at least so many pixels across."""

_SHIFT = 5


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn. Lengths are shares of the face's size (the side of a square of its box's area); the
    picture is `scale` times as large as the photo.
    """

    line: float = 0.0055
    dot: float = 0.0095
    rim: float = 0.004
    box: bool = True
    score: bool = True
    numbers: bool = False
    names: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the scale; `ConfigError` if it is out of range."""
        if not LEAST_SCALE <= checks.number(self.scale, "scale", ConfigError) <= MOST_SCALE:
            raise ConfigError(f"scale is {LEAST_SCALE} to {MOST_SCALE:.0f} times the photo, not {self.scale}")


def draw(
    image: ImageLike, prediction: Prediction, style: Style | None = None, *, color: Color = "rgb"
) -> Pixels:
    """Return the photo (H, W, 3) with the prediction on it, `style.scale` times as large as it was.

    What is written of a face (score, track, emotion, attributes) stands beside the faces, never on one; where
    there is no room for it, it is left out. `color` is the channel order of an array and of what is
    returned: "bgr" for OpenCV.
    """
    style = Style() if style is None else style
    canvas = read_image(image, color).copy()
    faces = prediction.faces
    if style.scale != 1:
        canvas, faces = _scaled_to(canvas, faces, style.scale)
    for face in reversed(faces):  # the best face last, on top
        _Drawing(canvas, face, style).draw()
    if style.score:
        write_labels(canvas, faces)
    return canvas if color == "rgb" else np.ascontiguousarray(canvas[:, :, ::-1])


def colour(markup: MarkUp, index: int) -> Colour:
    """Return the colour (RGB) of a point: that of its group, else what its name says."""
    groups = [name for name, indices in markup.groups.items() if index in indices]
    for name in (*groups, markup.points[index]):
        for part, value in COLOURS.items():
            if part in name:
                return value
    return OTHER


class _Drawing:
    """One face on the part of the photo that it touches."""

    def __init__(self, canvas: Pixels, face: Face, style: Style) -> None:
        self.canvas, self.face, self.style = canvas, face, style
        height, width = canvas.shape[:2]
        size = face.box.size if face.shape is None else _extent(face).size
        self.size = min(size, 2.0 * max(height, width))  # boxes of files may be of any size, strokes may not
        reach = _extent(face).scaled(1.3)
        self.left, self.top = max(0, int(reach.left)), max(0, int(reach.top))
        self.right, self.bottom = min(width, int(reach.right) + 2), min(height, int(reach.bottom) + 2)
        self.zoom = int(np.clip(np.ceil(SHARP / max(self.size, 1)), 1, 8))

    def draw(self) -> None:
        """Draw box, lines, dots, and what is written beside them."""
        if self.left < self.right and self.top < self.bottom:
            if self.style.box:
                self._draw_box(self.face.box)
            if self.face.shape is not None:
                self._draw_shape(self.face.shape)
        if self.face.shape is not None and (self.style.numbers or self.style.names):
            _write_points(self.canvas, self.face.shape, self.size, self.style)

    def _draw_shape(self, shape: Shape) -> None:
        """Draw a light rim under everything, then lines, then dots, by colour."""
        markup = shape.markup
        there = np.asarray(np.isfinite(shape.points).all(1), np.bool_)
        edges = [(a, b) for a, b in markup.edges if there[a] and there[b]]
        dots = [int(i) for i in np.flatnonzero(there)]
        colours = [colour(markup, i) for i in range(len(markup))]
        line, dot, rim = (share * self.size for share in (self.style.line, self.style.dot, self.style.rim))
        mask = self._mask()
        self._lines(mask, shape.points, edges, line + 2 * rim)
        self._dots(mask, shape.points[dots], dot + rim)
        self._blend(mask, WHITE, 0.8)
        for one in dict.fromkeys(colours):
            mask = self._mask()
            self._lines(mask, shape.points, [e for e in edges if colours[e[1]] == one], line)
            self._dots(mask, shape.points[[i for i in dots if colours[i] == one]], dot)
            self._blend(mask, one, 1.0)
        if shape.visible is not None:
            hidden = there & ~shape.visible
            mask = self._mask()
            self._dots(mask, shape.points[hidden], 0.6 * dot)
            self._blend(mask, WHITE, 1.0)

    def _draw_box(self, box: Box) -> None:
        """Draw the four corners of the detector's box."""
        arm = 0.16 * min(box.width, box.height)
        corners = []
        for x, dx in ((box.left, arm), (box.right, -arm)):
            for y, dy in ((box.top, arm), (box.bottom, -arm)):
                corners.append(np.array([(x + dx, y), (x, y), (x, y + dy)]))
        for width, ink, share in ((0.022, INK, 0.55), (0.011, WHITE, 1.0)):
            mask = self._mask()
            for corner in corners:
                self._lines(mask, corner, [(0, 1), (1, 2)], width * self.size)
            self._blend(mask, ink, share)

    def _mask(self) -> NDArray[np.uint8]:
        height, width = self.bottom - self.top, self.right - self.left
        return np.zeros((height * self.zoom, width * self.zoom), np.uint8)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        """Return points as the mask's fixed-point numbers."""
        inside = (points - (self.left, self.top) + 0.5) * self.zoom - 0.5
        return np.rint(np.clip(inside, -1e5, 1e5) * (1 << _SHIFT)).astype(np.int32)

    def _lines(
        self, mask: NDArray[np.uint8], points: Points, edges: list[tuple[int, int]], width: float
    ) -> None:
        import cv2

        thick = max(1, round(width * self.zoom))
        for a, b in edges:
            start, end = (tuple(p) for p in self._fixed(points[[a, b]]).tolist())
            cv2.line(mask, start, end, (255,), thick, cv2.LINE_AA, _SHIFT)

    def _dots(self, mask: NDArray[np.uint8], points: Points, radius: float) -> None:
        import cv2

        fixed = max(1 << _SHIFT, round(radius * self.zoom * (1 << _SHIFT)))
        for x, y in self._fixed(points).tolist():
            cv2.circle(mask, (x, y), fixed, (255,), -1, cv2.LINE_AA, _SHIFT)

    def _blend(self, mask: NDArray[np.uint8], ink: Colour, share: float) -> None:
        """Lay a colour on the photo where the mask says."""
        import cv2

        size = self.right - self.left, self.bottom - self.top
        small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) if self.zoom > 1 else mask
        x, y, width, height = cv2.boundingRect(small)  # the rest stays as it is, and costs nothing
        amount = small[y : y + height, x : x + width, None].astype(np.float32) * (share / 255)
        part = self.canvas[self.top + y :, self.left + x :][:height, :width]
        part[:] = np.rint(part + (np.array(ink, np.float32) - part) * amount).astype(np.uint8)


def _extent(face: Face) -> Box:
    """Return the box around a face's box and points."""
    if face.shape is None or not np.isfinite(face.shape.points).any():
        return face.box
    corners = [(face.box.left, face.box.top), (face.box.right, face.box.bottom)]
    return Box.around(np.concatenate([face.shape.points, corners]))


def _scaled_to(canvas: Pixels, faces: tuple[Face, ...], factor: float) -> tuple[Pixels, tuple[Face, ...]]:
    """Return the photo and its faces so many times as large."""
    import cv2

    size = max(1, round(canvas.shape[1] * factor)), max(1, round(canvas.shape[0] * factor))
    scale = np.array([size[0] / canvas.shape[1], size[1] / canvas.shape[0]])
    how = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    other = np.asarray(cv2.resize(canvas, size, interpolation=how), np.uint8)
    return other, tuple(_scaled(face, scale) for face in faces)


def _scaled(face: Face, scale: NDArray[np.float64]) -> Face:
    """Return the face in a photo of another size."""
    edges = (np.array(face.box.as_list()).reshape(2, 2) + 0.5) * scale - 0.5
    left, top, right, bottom = edges.reshape(-1).tolist()
    box = Box(left, top, right, bottom, face.box.score)
    shape = None if face.shape is None else face.shape.with_points((face.shape.points + 0.5) * scale - 0.5)
    return Face(box, shape, face.score, face.pose, face.emotion, face.attributes, face.track)


def _write_points(canvas: Pixels, shape: Shape, size: float, style: Style) -> None:
    """Write numbers or names beside the points, away from the middle of the face.

    Of a mark-up with many points the names of the groups are written: there is no room for more.
    """
    if not np.isfinite(shape.points).any():
        return
    middle = np.nanmean(shape.points, axis=0)
    many = len(shape) > 30
    if style.numbers or not many:
        height = max(9.0, size * (0.019 if many else 0.03))
        for text, point, ink in _texts(shape, style, many):
            _write_beside(canvas, text, point, middle, height, ink=_lighter(ink))
    if style.names and many:
        for text, point, ink in _group_names(shape, middle):
            _write_beside(canvas, text, point, middle, max(9.0, 0.026 * size), ink=_lighter(ink), plate=True)


def _write_beside(
    canvas: Pixels, text: str, point: Points, middle: Points, height: float, **look: Any
) -> None:
    """Write text left or right of a point, whichever leads away from the middle."""
    right = bool(point[0] >= middle[0])
    gap = height if look.get("plate") else 0.45 * height
    place = (float(point[0]) + (gap if right else -gap), float(point[1]) - gap)
    write(canvas, text, place, height, anchor="left" if right else "right", **look)


def _texts(shape: Shape, style: Style, many: bool) -> list[Text]:
    """Return number and name of each point."""
    texts = []
    for index, point in enumerate(shape.points):
        words = [str(index)] if style.numbers else []
        words += [shape.markup.points[index].replace("_", " ")] if style.names and not many else []
        if np.isfinite(point).all():
            texts.append((" ".join(words), point, colour(shape.markup, index)))
    return texts


def _group_names(shape: Shape, middle: Points) -> list[Text]:
    """Return the names of the smallest groups, each at its outermost point."""
    groups = shape.markup.groups
    texts = []
    for name, indices in groups.items():
        if any(set(other) < set(indices) for other in groups.values()):
            continue
        there = [i for i in indices if np.isfinite(shape.points[i]).all()]
        if there:
            side = -1.0 if name == "inner_lips" or "right" in name else 1.0  # the picture's left
            far = max(there, key=lambda i: float(side * (shape.points[i, 0] - middle[0])))
            texts.append((name.replace("_", " "), shape.points[far], colour(shape.markup, far)))
    return texts


def _lighter(ink: Colour) -> Colour:
    """Return a colour that reads on dark."""
    red, green, blue = (round(value + 0.55 * (255 - value)) for value in ink)
    return red, green, blue


__all__ = ["Style", "colour", "draw"]

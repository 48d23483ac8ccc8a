"""Upright crops of one size, as face recognisers and people who compare faces want them.

>>> crop, matrix, inverse = ms.align("photo.jpg", face)    # doctest: +SKIP
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from meanshape.core import checks
from meanshape.core.errors import ConfigError, ShapeError, suggestion
from meanshape.core.face import Face
from meanshape.core.geometry import Matrix, Points, invert, resize_points, similarity
from meanshape.core.image import ImageLike, Pixels, read_image, warp
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.inference.options import Color
from meanshape.inference.pose import head_of

Template = Literal["arcface", "mean", "head"]
TEMPLATES = ("arcface", "mean", "head")
ARCFACE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where ArcFace (Deng et al., CVPR 2019) wants the five points in a crop of 112 pixels."""
ARCFACE_SIDE = 112
LARGEST = 2**13
"""Pixels of a side; a crop of more shows nothing that the photo does not."""
MEAN_SIDE = 190.0
"""Millimetres that the side of a `mean` crop shows."""
HEAD_SIDE = 260.0
"""Millimetres that the side of a `head` crop shows, about the same middle."""


class Aligned(NamedTuple):
    """A crop, the map (2, 3) from picture to crop, and the map back."""

    image: Pixels
    matrix: Matrix
    inverse: Matrix


def align(
    image: ImageLike,
    face: Face | Shape,
    size: int = 112,
    template: Template = "arcface",
    *,
    color: Color = "rgb",
) -> Aligned:
    """Return the face brought upright, size x size pixels, with the map there and the map back.

    Parameters
    ----------
    image : a path, the bytes of a file, a PIL image or an array
    face : a face with points, or its shape, in pixels of the image
    size : side of the crop, pixels
    template : where points come to lie: "arcface", five points as ArcFace wants them; "mean", all inner
        points as on our generic head seen from the front, 190 mm a side; "head", the same with 260 mm a side,
        from the chin to the forehead
    color : the channel order of an array and of the crop: "rgb", or "bgr" for OpenCV

    Raises
    ------
    ShapeError : there are no points, or too few of them are annotated
    ConfigError : a size that is no whole number of pixels, or too large; or no such template
    """
    shape = face.shape if isinstance(face, Face) else face
    if shape is None:
        raise ShapeError("this face has no points to align it by")
    if checks.count(size, "size, in pixels,", ConfigError) > LARGEST:
        raise ConfigError(f"size is at most {LARGEST:,} pixels, not {size:,}")
    points, places = _arcface(shape) if template == "arcface" else _mean(shape, template)
    known = np.isfinite(points).all(1) & np.isfinite(places).all(1)
    if np.ptp(points[known], axis=0).max(initial=0) <= 0:
        raise ShapeError("a face is aligned by two points at least that do not fall together")
    matrix = similarity(points, resize_points(places, size))
    crop = warp(read_image(image, color), matrix, (size, size))
    if color == "bgr":
        crop = np.ascontiguousarray(crop[:, :, ::-1])
    return Aligned(crop, matrix, invert(matrix))


def eye_crops(
    image: ImageLike, face: Face | Shape, size: int = 64, width: float = 1.6, *, color: Color = "rgb"
) -> tuple[Aligned, Aligned]:
    """Return the right and the left eye, upright, size x size pixels, each with its maps.

    Each crop is centred between its eye's corners, whose line is level in it, and shows `width` times their
    distance.

    Raises
    ------
    ShapeError : there are no points, or the mark-up has no eye corners, or they fall together
    ConfigError : `size` or `width` is out of range
    """
    shape = face.shape if isinstance(face, Face) else face
    if shape is None:
        raise ShapeError("this face has no points to find its eyes by")
    if checks.count(size, "size, in pixels,", ConfigError) > LARGEST:
        raise ConfigError(f"size is at most {LARGEST:,} pixels, not {size:,}")
    if checks.number(width, "width", ConfigError) <= 0:
        raise ConfigError(f"width is in widths of the eye, above 0, not {width}")
    pixels = read_image(image, color)
    crops = []
    for names in (("right_eye_outer", "right_eye_inner"), ("left_eye_inner", "left_eye_outer")):
        if not set(names) <= set(shape.markup.points):
            raise ShapeError(f"{shape.markup.name} has no eye corners")
        corners = np.array([shape[name] for name in names])
        if not np.ptp(corners, axis=0).max() > 0:
            raise ShapeError("the corners of an eye fall together, or are not annotated")
        places = np.array([(0.5 - 0.5 / width, 0.5), (0.5 + 0.5 / width, 0.5)]) * size - 0.5
        matrix = similarity(corners, places)
        crop = warp(pixels, matrix, (size, size))
        crop = crop if color == "rgb" else np.ascontiguousarray(crop[:, :, ::-1])
        crops.append(Aligned(crop, matrix, invert(matrix)))
    return crops[0], crops[1]


def _arcface(shape: Shape) -> tuple[Points, Points]:
    """The five points, and their places in a crop of side 1."""
    five = markup("mtfl5")
    points = shape.points if shape.markup == five else shape.to(five).points
    return points, resize_points(ARCFACE, 1 / ARCFACE_SIDE)


def _mean(shape: Shape, template: str) -> tuple[Points, Points]:
    """The inner points, and where the generic head has them in a crop of side 1."""
    if template not in TEMPLATES:
        raise ConfigError(
            f"template is {' or '.join(TEMPLATES)}, not {template!r}{suggestion(template, TEMPLATES)}"
        )
    head = head_of(shape.markup)
    if head is None:
        raise ShapeError(f"{shape.markup.name} has too little in common with the generic head; use arcface")
    points = shape.points if head.kind == shape.markup else shape.to(head.kind).points
    return points, head.places[:, :2] / (MEAN_SIDE if template == "mean" else HEAD_SIDE)

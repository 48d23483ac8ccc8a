"""The canonical face box of a shape: tight around the 68 points of iBUG, where these are among its own."""

from __future__ import annotations

from meanshape.core.box import Box
from meanshape.core.markup import markup
from meanshape.core.shape import Shape

FULL = "ibug68"
"""The mark-up whose tight box is the canonical face box."""


def full(shape: Shape) -> Shape | None:
    """Return the 68 points of iBUG that are among a shape's by name; None where one is not.

    Nothing is converted: points that are near those, as WFLW's outline is, have another box.
    """
    if shape.markup.name == FULL:
        return shape
    kind, visible, sure = markup(FULL), shape.visible, shape.confidence
    if not set(kind.points) <= set(shape.markup.points):
        return None
    rows = [shape.markup.points.index(point) for point in kind.points]
    return Shape(
        shape.points[rows],
        kind,
        None if visible is None else visible[rows],
        None if sure is None else sure[rows],
    )


def face_box(shape: Shape) -> Box | None:
    """Return the canonical face box; None where the points do not show it."""
    whole = full(shape)
    return None if whole is None else whole.box()

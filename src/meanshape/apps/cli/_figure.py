"""A mark-up drawn on a plain face, with the numbers of its points: as SVG, or as PNG."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import ConfigError, MarkUpError, writing
from meanshape.core.image import write_image
from meanshape.core.markup import MarkUp, markup
from meanshape.datasets.parts.drawing import template
from meanshape.formats.text import write_text
from meanshape.inference.overlay import colour

SIZE, MARGIN = 900, 70
ROUNDS = 150


def places(kind: MarkUp) -> NDArray[np.float64]:
    """Where the points (K, 2) lie on a plain face, roughly in -1 … 1; NaN where nothing places them.

    Points that the 68 of iBUG have, by conversion either way or by name, are theirs; those between them on
    the lines that are drawn lie between them.
    """
    if not kind.sides:
        raise MarkUpError(
            f"{kind.name} cannot be drawn: what each of its points is, is not known well enough"
        )
    base, known = markup("ibug68"), template()
    points = np.full((len(kind), 2), np.nan)
    if kind.name == base.name or kind.name in base.conversions:
        points = base.convert(known, kind.name)
    if base.name in kind.conversions:
        for target, many in enumerate(kind.conversions[base.name].sources):
            if len(many) == 1:
                points[many[0]] = known[target]
    _jaw(kind, points, known)
    for index, name in enumerate(kind.points):
        if np.isnan(points[index, 0]) and name in base.points:
            points[index] = known[base.points.index(name)]
    _centres(kind, points, known)
    return _between(kind, points)


def _jaw(kind: MarkUp, points: NDArray[np.float64], known: NDArray[np.float64]) -> None:
    """Spread the points of each side's jaw over it, however many there are, in place."""
    for side, line in (("right", known[:9]), ("left", known[16:7:-1])):
        names = [name for name in kind.points if name.startswith(f"{side}_jaw_")]
        for number, name in enumerate(sorted(names)):
            at = number * (len(line) - 1) / len(names)
            places = [np.interp(at, range(len(line)), line[:, axis]) for axis in (0, 1)]
            points[kind.points.index(name)] = places


def _centres(kind: MarkUp, points: NDArray[np.float64], known: NDArray[np.float64]) -> None:
    """Place pupils, and what else lies at the middle of a part, in place."""
    base = markup("ibug68")
    eyes = {side: known[list(base.groups[f"{side}_eye"])] for side in ("left", "right")}
    middle = {f"{side}_pupil": eye.mean(axis=0) for side, eye in eyes.items()}
    middle["mouth_center"] = known[list(base.groups["inner_lips"])].mean(axis=0)
    for side, eye in eyes.items():
        middle[f"{side}_eye_top"] = eye[[1, 2]].mean(axis=0)
        middle[f"{side}_eye_bottom"] = eye[[4, 5]].mean(axis=0)
    for side, (outer, inner) in {"right": (17, 21), "left": (26, 22)}.items():
        ends = known[[outer, inner]].mean(axis=0)
        middle[f"{side}_brow_bottom"] = ends + np.array((0, 0.03))
        for part in ("top_outer", "top_inner", "bottom_outer", "bottom_inner"):
            near = known[outer] if part.endswith("outer") else known[inner]
            up = (0, -0.09) if part.startswith("top") else (0, 0.02)
            middle[f"{side}_brow_{part}"] = 0.6 * near + 0.4 * ends + up
    for side, sign, nostril in (("right", -1, 32), ("left", 1, 34)):
        middle[f"{side}_nose_root"] = known[27] + np.array((0.1 * sign, 0.03))
        middle[f"{side}_nose_side"] = known[29] + np.array((0.13 * sign, 0.02))
        middle[f"{side}_nostril"] = known[nostril] + np.array((0, -0.04))
        for part, low in (("top", -0.3), ("canal", 0.0), ("bottom", 0.25)):
            middle[f"{side}_ear_{part}"] = np.array((1.12 * sign, low))
        middle[f"{side}_ear"] = np.array((1.1 * sign, 0.2))
    for name, place in middle.items():
        if name in kind.points and np.isnan(points[kind.points.index(name), 0]):
            points[kind.points.index(name)] = place


def _between(kind: MarkUp, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put points without a place between their neighbours on the lines."""
    fixed = np.isfinite(points[:, 0])
    neighbours: dict[int, list[int]] = {index: [] for index in np.flatnonzero(~fixed).tolist()}
    for a, b in kind.edges:
        for one, other in ((a, b), (b, a)):
            if one in neighbours:
                neighbours[one].append(other)
    for _ in range(ROUNDS):
        for index, many in neighbours.items():
            near = [other for other in many if np.isfinite(points[other, 0])]
            if near:
                points[index] = points[near].mean(axis=0)
    return points


def write(kind: MarkUp, path: Path) -> list[str]:
    """Draw a mark-up to an .svg or a .png file; return the names of points that have no place."""
    points = places(kind)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    scale = (SIZE - 2 * MARGIN) / float((high - low).max())
    on_page = (points - low) * scale + (MARGIN, MARGIN)
    size = int((high - low)[0] * scale) + 2 * MARGIN, int((high - low)[1] * scale) + 2 * MARGIN
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".svg":
        write_text(path, _svg(kind, on_page, size))
    elif path.suffix.lower() == ".png":
        _png(kind, on_page, size, path)
    else:
        raise ConfigError(f"a drawing is an .svg or a .png file, not {path.name!r}")
    return [kind.points[i] for i in np.flatnonzero(np.isnan(points[:, 0]))]


def _lines(kind: MarkUp, points: NDArray[np.float64]) -> list[tuple[int, int]]:
    return [edge for edge in kind.edges if np.isfinite(points[list(edge)]).all()]


def _svg(kind: MarkUp, points: NDArray[np.float64], size: tuple[int, int]) -> str:
    """The drawing as text; each point says its name when pointed at."""
    width, height = size
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    ]
    rows.append(f'<rect width="{width}" height="{height}" fill="white"/><title>{escape(kind.title)}</title>')
    for a, b in _lines(kind, points):
        (x1, y1), (x2, y2) = points[[a, b]]
        rows.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#bbb" stroke-width="2"/>')
    for index, (x, y) in enumerate(points):
        if np.isfinite(x):
            ink = "rgb({}, {}, {})".format(*colour(kind, index))
            rows.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{ink}">')
            rows.append(f"<title>{index} {escape(kind.points[index])}</title></circle>")
            rows.append(f'<text x="{x + 6:.1f}" y="{y - 5:.1f}" font-size="14" fill="#222">{index}</text>')
    return "\n".join([*rows, "</svg>\n"])


def _png(kind: MarkUp, points: NDArray[np.float64], size: tuple[int, int], path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    for a, b in _lines(kind, points):
        pen.line([tuple(points[a].tolist()), tuple(points[b].tolist())], fill=(187, 187, 187), width=2)
    for index, (x, y) in enumerate(points.tolist()):
        if np.isfinite(x):
            pen.ellipse((x - 4.5, y - 4.5, x + 4.5, y + 4.5), fill=colour(kind, index))
            pen.text((x + 6, y - 19), str(index), font=font, fill=(34, 34, 34))
    write_image(path, np.asarray(picture))


__all__ = ["places", "write"]

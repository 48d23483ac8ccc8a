"""The 3-D head: a grid of vertices spanned over control points, with modes of identity and expression.

The head is unrolled onto a plane: u is the arc around it (85 mm a radian, 0 in the middle of the face), v
the height. A smooth surface (a thin-plate spline over that plane, added to a skull-like ellipsoid) runs
through the control points of `head.csv`; the points of ibug68 are among them, so their 3-D places are
exact. Modes (`modes.toml`) move control points.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from meanshape.core import toml
from meanshape.core.markup import markup
from meanshape.datasets.synthetic.arrays import Floats

ARC = 85.0  # mm of u for one radian
STEPS = 14  # places between a jaw point and the middle of the face where the visible contour may run
# Height (on the unrolled head) and closeness of the grid's lines: finer at eyes and mouth.
_ROWS = ((-190, 18, 4), (-118, 12, 6), (-46, 20 / 3, 3), (-26, 4, 4), (-10, 7 / 3, 9), (11, 4, 6),
         (35, 8 / 3, 6), (51, 3.25, 4), (64, 19 / 9, 9), (83, 39 / 8, 8), (122, 11, 10))  # fmt: skip
_COLUMNS = ((0, 4, 12), (48, 7, 6), (90, 10.5, 6), (153, 19, 7))


def _lines(pieces: tuple[tuple[float, float, int], ...]) -> NDArray[np.float64]:
    """Start, step and count of each piece of grid lines."""
    starts = [np.linspace(a[0], b[0], a[2], endpoint=False) for a, b in pairwise(pieces)]
    start, step, count = pieces[-1]
    return np.concatenate([*starts, start + step * np.arange(count)])


@dataclass(frozen=True, slots=True)
class Head:
    """The spanned head: place = base + basis @ offsets of the control points.

    Attributes
    ----------
    u, v : (C,), (R,) mm, the grid's lines
    names, place : the n control points, and the index of each name
    control : (n, 3) mm, offsets of the control points from the ellipsoid's `control_base` (n, 3)
    control_uv : (n, 2) mm, where they are on the unrolled head
    basis, base : (R * C, n), (R * C, 3) for the grid
    contour_basis, contour_base : (17 * STEPS, n or 3) for the places where each jaw point may be seen
    points : (51,) the control points that are landmarks 17..67
    modes : offsets (n, 3) by kind (identity, expression) and name
    smooth : (n, n) turns white noise into smooth offsets, 1 mm strong
    mirror : (n,) the mirror image of each control point
    """

    u: Floats
    v: Floats
    names: tuple[str, ...]
    place: Mapping[str, int]
    control: Floats
    control_base: Floats
    control_uv: Floats
    basis: Floats
    base: Floats
    contour_basis: Floats
    contour_base: Floats
    points: NDArray[np.intp]
    modes: Mapping[str, Mapping[str, Floats]]
    smooth: Floats
    mirror: NDArray[np.intp]

    def grid(self, offsets: Floats) -> Floats:
        """Vertices (R, C, 3) for offsets (n, 3) of the control points."""
        places = self.base + self.basis @ offsets
        return places.reshape(len(self.v), len(self.u), 3)

    def landmarks(self, offsets: Floats) -> tuple[Floats, Floats]:
        """Contour candidates (17, STEPS, 3) and the other landmarks (51, 3)."""
        contour = self.contour_base + self.contour_basis @ offsets
        return contour.reshape(17, STEPS, 3), self.control_base[self.points] + offsets[self.points]

    def texel(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Grid column and row (fractional) of places on the unrolled head."""
        column = np.interp(u, self.u, np.arange(len(self.u)))
        row = np.interp(v, self.v, np.arange(len(self.v)))
        return column.astype(np.float32), row.astype(np.float32)


def _ellipsoid(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """A skull: a cylinder around the face that closes above in a dome."""
    angle = np.asarray(u) / ARC
    front = np.where(np.cos(angle) > 0, 98.0, 88.0)
    radius = 1 / np.sqrt((np.sin(angle) / 76) ** 2 + (np.cos(angle) / front) ** 2)
    rise = np.clip((-45 - np.asarray(v)) / 145, 0, 1) * np.pi / 2
    radius = radius * np.cos(rise) ** 0.85
    y = np.where(v < -45, -45 - 86 * np.sin(rise), v)
    return np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], -1).astype(np.float32)


def _controls() -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Names, places (n, 3) and (u, v) of all control points, the mirrored ones named with a minus."""
    text = files(__package__).joinpath("head.csv").read_text("utf-8")
    names, places, uv = [], [], []
    for line in csv.DictReader(row for row in text.splitlines() if not row.startswith("#")):
        x, y, z = (float(line[k]) for k in "xyz")
        u = float(line["u"]) if line["u"] else ARC * np.arctan2(x, z)
        v = float(line["v"]) if line["v"] else y
        for sign in (1, -1) if x > 0 else (1,):
            names.append(line["name"] if sign > 0 else "-" + line["name"])
            places.append((sign * x, y, z))
            uv.append((sign * u, v))
    for v, step in (
        (-185.0, 90),
        (-150.0, 45),
        (-118.0, 36),
        (-90.0, 30),
        (-62.0, 25),
        (-30.0, 22),
        (5.0, 20),
    ):
        for u in np.arange(-267.0, 268.0, step):
            if v < -80 or abs(u) > 115:  # the skull keeps to the ellipsoid
                names.append(f"skull{v:.0f},{u:.0f}")
                places.append(tuple(_ellipsoid(np.array(u), np.array(v)).tolist()))
                uv.append((u, v))
    return names, np.array(places), np.array(uv)


def _spline(uv: NDArray[np.float64], at: NDArray[np.float64]) -> Floats:
    """Weights (N, n) with which values at `uv` (n, 2) give a thin-plate spline's values at `at` (N, 2)."""

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        square = ((a[:, None] - b[None]) ** 2).sum(-1)
        return np.asarray(square * np.log(square + 1e-12))

    def plane(a: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([np.ones((len(a), 1)), a], 1)

    n = len(uv)
    scaled, at = uv / 100, at / 100
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(scaled, scaled) + 1e-4 * np.eye(n)
    system[:n, n:] = plane(scaled)
    system[n:, :n] = plane(scaled).T
    inverse = np.linalg.inv(system)[:, :n]
    return np.asarray(np.concatenate([kernel(at, scaled), plane(at)], 1) @ inverse, np.float32)


def _mirrored(names: list[str]) -> NDArray[np.intp]:
    """The index of each control point's mirror image (itself on the middle line)."""
    place = {name: i for i, name in enumerate(names)}

    def other(name: str) -> str:
        if name.startswith("skull"):
            v, u = name[5:].split(",")
            return f"skull{v},{-int(u)}"
        return name[1:] if name.startswith("-") else "-" + name

    return np.array([place.get(other(name), i) for i, name in enumerate(names)])


def _modes(names: list[str], uv: NDArray[np.float64]) -> dict[str, dict[str, Floats]]:
    """Offsets (n, 3) of each mode by kind (identity, expression) and name."""
    table = toml.parse(files(__package__).joinpath("modes.toml").read_text("utf-8"))
    place = {name: i for i, name in enumerate(names)}
    result: dict[str, dict[str, Floats]] = {}
    for kind, modes in table.items():
        result[kind] = {}
        for mode, handles in modes.items():
            offsets = np.zeros((len(names), 3))
            for point, dx, dy, dz, reach in handles:
                for name, sign in ((point, 1), ("-" + point, -1)):
                    if name not in place:
                        continue
                    i = place[name]
                    weight = np.zeros(len(names))
                    if reach:
                        weight = np.exp(-((uv - uv[i]) ** 2).sum(1) / (2 * reach**2))
                        weight[weight < 0.02] = 0
                    weight[i] = 1
                    offsets += weight[:, None] * (sign * dx, dy, dz)
            result[kind][mode] = offsets.astype(np.float32)
    return result


@cache
def head() -> Head:
    """The head, spanned once for the process."""
    names, places, uv = _controls()
    half = _lines(_COLUMNS)
    u, v = np.concatenate([-half[:0:-1], half]), _lines(_ROWS)
    grid_uv = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    index = {name: i for i, name in enumerate(names)}
    # the table lists the right half of the picture, ibug68 counts from the left
    mirror = dict(enumerate(markup("ibug68").mirror))
    landmarks = np.array([index[str(i)] if str(i) in index else index[f"-{mirror[i]}"] for i in range(68)])
    jaw = uv[landmarks[:17]]
    t = np.linspace(0, 1, STEPS)[:, None]
    inner = np.stack([jaw[:, 0] * 0.2, 38 + (jaw[:, 1] - 38) * 0.85], 1)
    candidates = (jaw[:, None] * (1 - t) + inner[:, None] * t).reshape(-1, 2)
    distance = ((uv[:, None] - uv[None]) ** 2).sum(-1)
    covariance = np.exp(-distance / (2 * 26.0**2)) + 1e-6 * np.eye(len(uv))
    return Head(
        u=u.astype(np.float32),
        v=v.astype(np.float32),
        names=tuple(names),
        place=index,
        control=(places - _ellipsoid(uv[:, 0], uv[:, 1])).astype(np.float32),
        control_base=_ellipsoid(uv[:, 0], uv[:, 1]),
        control_uv=uv.astype(np.float32),
        basis=_spline(uv, grid_uv),
        base=_ellipsoid(grid_uv[:, 0], grid_uv[:, 1]),
        contour_basis=_spline(uv, candidates),
        contour_base=_ellipsoid(candidates[:, 0], candidates[:, 1]),
        points=landmarks[17:],
        modes=_modes(names, uv),
        smooth=np.linalg.cholesky(covariance).astype(np.float32),
        mirror=_mirrored(names),
    )

"""Poses and cameras: from millimetres on the head to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32

PIVOT = f32([0, 60, 0])  # about where a head turns


def rotation(pitch: float, yaw: float, roll: float) -> Floats:
    """Turn a head by degrees, +pitch up, +yaw and +roll to its right: (3, 3).

    x is to the picture's right, y down, z toward the viewer.
    """
    p, y, r = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """A perspective camera `distance` mm before the head: `scale` pixels a mm there, middle `center`."""

    distance: float
    scale: float
    center: tuple[float, float]

    def project(self, places: Floats) -> Floats:
        """Pixels (..., 2) of places (..., 3) in mm."""
        factor = np.float32(self.scale) / (1 - places[..., 2:] / np.float32(self.distance))
        return f32(places[..., :2] * factor + f32(self.center))

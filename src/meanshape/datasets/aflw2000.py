"""AFLW2000-3D: the first 2,000 faces of AFLW, 68 points of a fitted 3D face each (Zhu et al., CVPR 2016).

    ROOT/image00002.jpg  image00002.mat (or in AFLW2000/): pt3d_68 (3 x 68), Pose_Para (1 x 7)

x and y of `pt3d_68` are read. The jaw is that of the 3D face: on a turned head it lies behind the visible
contour that iBUG's points follow. Angles are in radians in the files, in degrees here.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photos
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the set and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    root = first_of(root, "AFLW2000-3D/AFLW2000", "AFLW2000", "") or root
    pictures, result = photos(root), Survey(expected=card.expected(split))
    for label in sorted(root.glob("image*.mat")):
        attributes: dict[str, float] = {}
        picture = pictures.get(label.stem)
        result.take(label.stem, picture, partial(_shape, label, attributes), attributes, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces in the layout of the set."""
    root = Path(folder)
    for number in range(2):
        name = f"image{2 + 2 * number:05d}"
        points = draw(root / f"{name}.jpg", number).T + mat.ORIGIN
        pose = np.array([[0.1, -0.2, 0.3, 1.0, 2.0, 0.0, 1e-3]])
        mat.save(root / f"{name}.mat", pt3d_68=np.vstack([points, np.zeros((1, 68))]), Pose_Para=pose)
    return root


def _shape(label: Path, attributes: dict[str, float]) -> Shape:
    """The points; the angles go into the attributes."""
    points, pose = mat.load(label, "pt3d_68"), mat.load(label, "Pose_Para")
    if points.shape != (3, 68) or pose.size < 3:
        raise FormatError(f"wanted pt3d_68 (3, 68) and Pose_Para, got {points.shape}, {pose.shape}", label)
    angles = zip(("pitch", "yaw", "roll"), pose.ravel()[:3], strict=True)
    attributes.update({f"aflw2000_{name}": math.degrees(value) for name, value in angles})
    return Shape(points[:2].T.astype(np.float64) - mat.ORIGIN, "ibug68")

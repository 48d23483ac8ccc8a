"""CMU Multi-PIE: 337 people, 15 cameras, 19 lamps, six expressions; a part with 68 or 39 points (Gross et
al., 2010).

    ROOT/data/session01/multiview/001/01/05_1/001_01_01_051_06.png
    ROOT/labels/051/001_01_01_051_06_lm.mat (pts: 68 x 2, 66 x 2, or 39 x 2 in profile)

The name of a picture is subject, session, recording, camera and lamp. The labels are a distribution of their
own. 68 points are those that 300-W took over (`ibug68`); 39 have a mark-up of their own (`multipie39`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from meanshape.core.errors import FormatError
from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of, photo
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
INNER_CORNERS = (60, 64)
"""The two of the 68 that copies with 66 points are without."""


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the labelled pictures and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    data, result = first_of(root, "data", "Multi-Pie/data", "") or root, Survey()
    for label in sorted(root.glob("labels/*/*_lm.mat")):
        name = label.stem.removesuffix("_lm")
        parts = name.split("_")
        if len(parts) != 5 or len(parts[3]) != 3:
            message = "wanted SUBJECT_SESSION_RECORDING_CAMERA_LAMP_lm.mat"
            result.broken.append(FormatError(message, path=label))
            continue
        person, session, recording, camera, lamp = parts
        place = f"session{session}/multiview/{person}/{recording}/{camera[:2]}_{camera[2]}/{name}.png"
        who = {"person": person, "session": session, "recording": recording, "camera": camera, "lamp": lamp}
        result.expected += 1
        result.take(name, photo(data, place), partial(_shape, label), who, "all")
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write a face from the front, one with 66 points, and one in profile in the layout of the set."""
    root = Path(folder)
    for number, (camera, kind, gone) in enumerate(
        (("051", "ibug68", ()), ("080", "ibug68", INNER_CORNERS), ("110", "multipie39", ()))
    ):
        name = f"001_01_01_{camera}_06"
        place = f"data/session01/multiview/001/01/{camera[:2]}_{camera[2]}/{name}.png"
        points = np.delete(draw_as(root / place, number, kind), gone, axis=0)
        mat.save(root / "labels" / camera / f"{name}_lm.mat", pts=points + mat.ORIGIN)
    return root


def _shape(label: Path) -> Shape:
    points = mat.points(label, "pts", (68, 66, 39))
    if len(points) == 39:
        return Shape(points, "multipie39")
    if len(points) == 66:
        points = np.insert(points, (INNER_CORNERS[0], INNER_CORNERS[1] - 1), np.nan, axis=0)
    return Shape(points, "ibug68")

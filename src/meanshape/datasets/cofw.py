"""COFW: faces behind hands, hair and glasses, 29 points and what hides each (Burgos-Artizzu et al., ICCV
2013).

    ROOT/COFW_train_color.mat (or COFW_train.mat, grey)  COFW_test_color.mat      MATLAB 7.3, that is HDF5

`IsTr` and `IsT` are cells with the pictures themselves, `phisTr` and `phisT` 29 x, 29 y and 29 times hidden
or not, `bboxesTr` and `bboxesT` left, top, width, height. Pictures are read from the file when asked for.
Needs h5py: pip install 'meanshape[mat73]'.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError, ImageError
from meanshape.core.image import read_image
from meanshape.core.shape import Shape
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.boxes import labelled_box
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw_as
from meanshape.datasets.parts.files import existing_folder, first_of
from meanshape.datasets.parts.lazy import lazy
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey

card = load_card(__file__)
MARKUP, POINTS = "lfpw29", 29
NUMBERS, PICTURE, FAR = 2_000_000, 2**26, 1e9
"""How many there may be of labels, and of one picture; and how far away a box."""
END = {"train": "Tr", "test": "T"}


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for a split and say what is missing."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    files = {part: first_of(root, f"COFW_{part}_color.mat", f"COFW_{part}.mat") for part in END}
    there = [part for part in END if files[part] is not None]
    result = Survey(expected=card.expected(split))
    for part in [split] if split else there or ["train"]:
        path = files[part]
        if path is None:
            raise DataSetError(f"there is no COFW_{part}_color.mat in {root}")
        labels, boxes = _numbers(path, END[part])
        for number, (label, box) in enumerate(zip(labels, boxes, strict=True)):
            picture = lazy(_picture, path, f"Is{END[part]}", number)
            result.take(
                f"{part}/{number + 1:04d}", picture, partial(_shape, label), {}, part, _box(box, path)
            )
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write two drawn faces for each split, one of them grey, in the layout of the set."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for split, end in END.items():
        pictures, labels, boxes = [], [], []
        for number in range(2):
            scratch = root / "scratch.png"
            points = draw_as(scratch, 10 * len(split) + number, MARKUP) + mat.ORIGIN
            pixels = read_image(scratch)
            scratch.unlink()
            pictures.append(pixels[..., 0].T if number else pixels.transpose(2, 1, 0))
            labels.append([*points.T.ravel(), *(float(i % 7 == number) for i in range(POINTS))])
            boxes.append([20.0, 20.0, 90.0, 90.0])
        with mat.h5(root / f"COFW_{split}_color.mat", "w") as file:
            mat.write_cells(file, f"Is{end}", [pictures])
            file[f"phis{end}"], file[f"bboxes{end}"] = np.transpose(labels), np.transpose(boxes)
    return root


def _numbers(path: Path, end: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The labels (N, 87) and boxes (N, 4) of a file."""
    with mat.h5(path) as file:
        try:
            labels, boxes = (
                mat.array(mat.node(file, f"{name}{end}"), NUMBERS).T for name in ("phis", "bboxes")
            )
            pictures = mat.node(file, f"Is{end}").size
        except mat.FAULTS as error:
            raise FormatError(f"it is not as COFW's files are: {error}", path) from error
    if labels.shape != (pictures, 3 * POINTS) or boxes.shape != (pictures, 4):
        raise FormatError(f"{pictures} pictures came with labels {labels.shape}, boxes {boxes.shape}", path)
    if (np.abs(boxes) > FAR).any():
        raise FormatError("a box that is in no picture", path)
    return labels.astype(np.float64), boxes.astype(np.float64)


def _picture(path: Path, name: str, number: int) -> NDArray[np.uint8]:
    """The picture (H, W) or (H, W, 3) in a cell."""
    with mat.h5(path) as file:
        try:
            picture = mat.array(mat.node(file, mat.reference(mat.node(file, name), number)), PICTURE)
            if picture.dtype != np.uint8:
                raise ValueError(f"wanted bytes, got {picture.dtype}")
            return np.ascontiguousarray(picture.T)
        except mat.FAULTS as error:
            raise ImageError(f"{path}, picture {number + 1}: {error}") from error


def _shape(label: NDArray[np.float64]) -> Shape:
    x, y, hidden = label.reshape(3, POINTS)
    return Shape(np.stack([x, y], axis=1) - mat.ORIGIN, MARKUP, visible=hidden == 0)


def _box(values: NDArray[np.float64], path: Path) -> Box | None:
    left, top, wide, high = values.tolist()
    left, top = left - mat.ORIGIN, top - mat.ORIGIN
    there = wide > 0 and high > 0
    return labelled_box(left, top, left + wide, top + high, path) if there else None

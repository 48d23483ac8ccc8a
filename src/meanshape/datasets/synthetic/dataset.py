"""The generator as a data set: a root is a number of faces, or a folder that `write` has filled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.errors import DataSetError, FormatError, writing
from meanshape.core.files import write_below
from meanshape.core.image import encode
from meanshape.core.origin import Origin
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.check import Problem, look_at
from meanshape.datasets.parts.origin import copy_of, origin_of
from meanshape.datasets.synthetic.generate import Options, Seed, parse, picture, plan
from meanshape.formats import pts
from meanshape.formats.text import parse_json, read_text, whole

card = replace(load_card(str(Path(__file__).with_name("card.py"))), name="synthetic")

COUNT, SIZE = 1000, 128
LABELS = "labels.json"


@dataclass(eq=False)
class Rendered:
    """A picture that is rendered when its pixels are asked for, and then kept; taken wherever an array is."""

    seed: Seed
    size: int
    options: Options
    visible: NDArray[np.bool_] | None = field(default=None, repr=False)
    """Which points are seen (K,); None until the picture is rendered."""
    _pixels: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The pixels, uint8 RGB (size, size, 3)."""
        if self._pixels is None:
            self._pixels, self.visible, _ = picture(self.seed, self.size, self.options)
        pixels = self._pixels if dtype is None else self._pixels.astype(dtype)
        return pixels.copy() if copy else pixels


def samples(
    root: str | Path | None = None,
    split: str | None = None,
    *,
    allow_missing: bool = False,
    count: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    **options: Any,
) -> list[Sample]:
    """List rendered faces; pixels come when they are asked for, points at once.

    Parameters
    ----------
    root : a number of faces ("2000"), with size and seed if wanted ("2000@160@7"), a folder made by
        `write`, or None
    split : train, validation or test, which never share a face; None is train of a number, and all of a
        folder
    allow_missing : of a folder, leave out what cannot be found
    count, size, seed : go before what `root` says; 1000 faces of 128 pixels, seed 0
    options : see `Options`

    Visibility is unknown until a face is rendered: samples of a number have `shape.visible` None, those of
    a folder have it.
    """
    card.check_split(split)
    if root is not None and not _is_recipe(str(root)):
        return _read(Path(root), split, allow_missing)
    asked_count, asked_size, asked_seed = _recipe(str(root) if root else "")
    count, size = count or asked_count, size or asked_size
    seed = asked_seed if seed is None else seed
    split, chosen = split or "train", parse(options)
    return [_sample((seed, list(card.splits).index(split), k), size, split, chosen) for k in range(count)]


def origin(root: str | Path, split: str | None = None, stated: Origin | None = None) -> Origin:
    """Return the terms of rendered faces; what lies in a folder, only its user can say."""
    if _is_recipe(str(root)):
        seed = _recipe(str(root))[2]
        return origin_of(card, split or "train", str(seed) if seed else "")
    unsaid = Origin(terms=("a folder that is read as rendered faces: nothing is known of it",))
    return origin_of(card, split, copy_of(Path(root).expanduser().resolve()), stated or unsaid)


def _sample(seed: tuple[int, ...], size: int, split: str, options: Options) -> Sample:
    made = plan(seed, size, options)
    shape = Shape(made.points, "ibug68")
    name = f"{split}-{seed[0]}-{seed[2]:06d}"
    image: Any = Rendered(seed, size, options)
    return Sample(name, image, shape, shape.box(), made.attributes, split)


def _is_recipe(root: str) -> bool:
    return bool(root) and all(part.isdigit() for part in root.split("@"))


def _recipe(root: str) -> tuple[int, int, int]:
    """Count, size and seed of COUNT[@SIZE[@SEED]]."""
    numbers = [whole(part) for part in root.split("@")] if root else []
    if len(numbers) > 3 or min(numbers, default=0) < 0 or (numbers and numbers[0] == 0):
        raise DataSetError(f"wanted COUNT, COUNT@SIZE or COUNT@SIZE@SEED for rendered faces, not {root!r}")
    count, size, seed = (*numbers, *(COUNT, SIZE, 0)[len(numbers) :])
    return count, size, seed


def write(
    folder: str | Path,
    count: int = COUNT,
    size: int = SIZE,
    *,
    seed: int = 0,
    splits: tuple[str, ...] = ("train",),
    **options: Any,
) -> Path:
    """Render faces to files: `SPLIT/NAME.png` and `SPLIT/NAME.pts`, and the labels in `labels.json`."""
    labels: dict[str, dict[str, Any]] = {}
    chosen = parse(options)

    def put(name: str, data: bytes) -> None:
        with writing(Path(folder) / name):
            write_below(root, name, data, make=True)

    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        root = Path(folder).resolve()  # it may be a link; what lies in it may not
    for split in splits:
        card.check_split(split)
        for k in range(count):
            pixels, visible, made = picture((seed, list(card.splits).index(split), k), size, chosen)
            name = f"{split}/{k:06d}"
            put(f"{name}.png", encode(f"{name}.png", pixels))
            put(f"{name}.pts", pts.render(made.points).encode())
            labels[name] = {**made.attributes, "hidden": np.flatnonzero(~visible).tolist()}
    put(LABELS, json.dumps(labels, indent=1).encode())
    return Path(folder)


def _labels(root: Path) -> dict[str, dict[str, Any]]:
    path = root / LABELS
    if not path.is_file():
        wanted = "rendered faces want a number (synthetic:2000) or a folder that `write` made"
        raise DataSetError(f"{wanted}; there is no {LABELS} in {root}")
    table = parse_json(read_text(path), path)
    if not isinstance(table, dict):
        raise FormatError("wanted one object with the labels of each picture", path=path)
    return table


def _read(root: Path, split: str | None, allow_missing: bool) -> list[Sample]:
    found, missing = [], []
    for name, attributes in _labels(root).items():
        own = name.split("/")[0]
        if split not in (None, own):
            continue
        photo, points = root / f"{name}.png", root / f"{name}.pts"
        absent = [str(path) for path in (photo, points) if not path.is_file()]
        if absent:
            missing += absent
            continue
        found.append(_from_file(name, own, photo, points, dict(attributes)))
    if missing and not allow_missing:
        raise DataSetError(f"{len(missing)} files of rendered faces are missing, the first is {missing[0]}")
    return found


def _from_file(name: str, split: str, photo: Path, points: Path, attributes: dict[str, Any]) -> Sample:
    hidden = attributes.pop("hidden", [])
    read = pts.read(points, "ibug68")[0].faces[0].shape
    assert read is not None
    visible = np.ones(len(read), bool)
    visible[hidden] = False
    shape = Shape(read.points, "ibug68", visible=visible)
    return Sample(name, photo, shape, shape.box(), attributes, split)


def verify(root: str | Path) -> list[Problem]:
    """What is wrong with the copy at `root`; nothing can be with a number of faces."""
    try:
        if _is_recipe(str(root)):
            _recipe(str(root))
            return []
        found = _read(Path(root), None, allow_missing=True)
        listed = _labels(Path(root))
    except (DataSetError, FormatError) as error:
        return [Problem("label" if isinstance(error, FormatError) else "missing", str(error))]
    here = {sample.id for sample in found}
    problems = [
        Problem("missing", f"{name} has no picture or no points") for name in listed if name not in here
    ]
    for sample in found:
        problems += look_at(sample)
    return problems


def miniature(folder: str | Path) -> Path:
    """Write two rendered faces for each split."""
    return write(folder, 2, 96, splits=tuple(card.splits))

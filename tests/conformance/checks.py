"""What every plug-in must hold, as plain functions: a fault is an AssertionError, or the plug-in's own error.

The suites beside this file call them for whatever is registered; `test_planted_faults.py` calls them with
plug-ins that are broken on purpose, so that it is known what each of them catches. Lengths are shares of
the side of the face's box (√(w h)) unless they are called pixels.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meanshape.core import config, weights
from meanshape.core.box import Box
from meanshape.core.errors import NotFitted
from meanshape.core.face import Face
from meanshape.core.geometry import procrustes, resize_points
from meanshape.core.markup import MarkUp, markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.detectors.base import FaceDetector
from meanshape.methods.base import LandmarkModel

FAMILIES = ("baseline", "parametric local", "parametric global", "example", "graph", "regression", "deep")
SHIFT = 1e-3
"""A shifted picture holds the same pixels: only rounding may differ."""
MARGIN = 80
"""Pixels around a small picture that is compared with a huge one."""
SCALE, SCALE_BIAS = 0.03, 0.004
"""Twice the pixels are filtered differently: single points may move a little, their mean hardly."""
MIRROR = 0.10
"""A model that saw few faces, if as many of either side, is nearly symmetric; no point may change sides."""
HALVED = 4e-3
"""Weights are stored in half precision, and ONNX Runtime adds up in another order than torch."""


# Methods


def method_card(card: dict[str, Any]) -> None:
    """A method's card says what tables and menus show."""
    for key in ("title", "authors", "reference", "summary", "family"):
        assert isinstance(card.get(key), str) and card[key], f"the card has no {key}"
    assert card["family"] in FAMILIES, f"family {card['family']!r} is none of {FAMILIES}"
    assert 1950 < card["year"] < 2100
    assert isinstance(card["deep"], bool)
    assert card["markups"], "the card does not say for which mark-ups"


def config_round_trips(kind: type[LandmarkModel], presets: Iterable[Any] = ()) -> None:
    """Settings are frozen and come back from TOML as they were."""
    for made in (kind.Config(), kind.tiny().config, *presets):
        assert dataclasses.is_dataclass(made) and made.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert config.from_toml(kind.Config, config.to_toml(made)) == made


def refuses_unfitted(kind: type[LandmarkModel], folder: Path) -> None:
    """An unfitted model neither predicts nor is saved."""
    for act in (lambda: kind.tiny().predict(np.zeros((9, 9, 3), np.uint8)), lambda: kind.tiny().save(folder)):
        try:
            act()
        except NotFitted:
            continue
        raise AssertionError("an unfitted model did not raise NotFitted")


def beats_the_mean(model: LandmarkModel, train: Sequence[Sample], others: Sequence[Sample]) -> None:
    """On faces it never saw, a model errs less than the mean shape does (by 5 % at least)."""
    mean = recomputed_mean(train, model.markup)
    found = error(lambda sample: predicted(model, sample), others, model.markup)
    baseline = error(lambda sample: sample.box.absolute(mean), others, model.markup)
    assert found < 0.95 * baseline, f"mean error {found:.4f} of the box; the mean shape's is {baseline:.4f}"


def is_the_mean(model: LandmarkModel, train: Sequence[Sample], others: Sequence[Sample]) -> None:
    """The mean shape itself is what a recomputation says."""
    mean = recomputed_mean(train, model.markup)
    for sample in others:
        assert np.allclose(predicted(model, sample), sample.box.absolute(mean), atol=1e-6)


def same_seed_same_result(
    make: Callable[[], LandmarkModel],
    train: Sequence[Sample],
    others: Sequence[Sample],
    first: LandmarkModel | None,
    folder: Path,
) -> None:
    """Two fits with seed 1 predict alike to the last bit and save the same bytes, whatever the global
    generators were at.
    """
    models = [first] if first is not None else []
    while len(models) < 2:
        random.seed(len(models))
        np.random.seed(len(models))
        state = random.getstate(), np.random.get_state()[1].tolist()
        models.append(make().fit(train, seed=1))
        assert state == (random.getstate(), np.random.get_state()[1].tolist()), "fit drew from a global one"
    for sample in others:
        assert np.array_equal(predicted(models[0], sample), predicted(models[1], sample)), "another result"
    one, two = (weights.read_card(model.save(folder / f"{n}")).files for n, model in enumerate(models))
    assert one == two, f"other bytes in {[name for name in one if one[name] != two.get(name)]}"


def survives_saving(fitted: LandmarkModel, folder: Path, others: Sequence[Sample], deep: bool) -> None:
    """Read back, a model predicts the same; twice read back, the same to the last bit."""
    weights.verify(folder)
    one, two = type(fitted).load(folder), type(fitted).load(folder)
    assert one.config == fitted.config and one.markup == fitted.markup
    for sample in others:
        before, after = predicted(fitted, sample), predicted(one, sample)
        assert np.array_equal(after, predicted(two, sample))
        assert np.abs(before - after).max() <= (HALVED * sample.box.size if deep else 0.0)


def agrees_at_any_batch(fitted: LandmarkModel, loaded: LandmarkModel, others: Sequence[Sample]) -> None:
    """In batches of 1, 2 and 7, of mixed sizes, both say what the exported one says of each alone."""
    images = [np.pad(s.pixels(), ((n, 0), (0, 0), (0, 0)), "symmetric") for n, s in enumerate(others[:7])]
    boxes = [sample.box.shifted(0, n) for n, sample in enumerate(others[:7])]
    alone = [loaded.predict(image, box).points for image, box in zip(images, boxes, strict=True)]
    for count in (1, 2, 7):
        for model in (fitted, loaded):
            for n, shape in enumerate(model.predict_batch(images[:count], boxes[:count])):
                assert np.abs(shape.points - alone[n]).max() <= HALVED * boxes[n].size


def takes_any_picture(model: LandmarkModel, sample: Sample) -> None:
    """Grey, RGBA, 16-bit, non-contiguous, read-only and PIL pictures are pictures; so are tiny ones."""
    grey = np.ascontiguousarray(np.repeat(sample.pixels()[..., :1], 3, axis=2))
    wanted = model.predict(grey, sample.box)
    same_everywhere(lambda image: model.predict(image, sample.box) == wanted, grey)
    for height, width in ((1, 1), (1, 40), (40, 1), (2, 3)):
        tiny = np.full((height, width, 3), 90, np.uint8)
        for box in (None, Box(-4, -4, 9, 9)):
            complete(model.predict(tiny, box), model.markup)


def same_everywhere(agrees: Callable[[Any], bool], grey: NDArray[np.uint8]) -> None:
    """One grey picture (H, W, 3), dressed in every way, is always the same picture."""
    one = grey[..., 0]
    wide = np.zeros((grey.shape[0] * 2, grey.shape[1] * 2, 3), np.uint8)
    wide[::2, ::2] = grey
    locked = grey.copy()
    locked.flags.writeable = False
    dressed = {
        "grey": one,
        "grey, one channel": one[..., None],
        "RGBA": np.dstack([grey, np.full_like(one, 255)]),
        "16-bit": one.astype(np.uint16) * 257,
        "strided": wide[::2, ::2],
        "reversed": np.ascontiguousarray(grey[:, ::-1])[:, ::-1],
        "Fortran order": np.asfortranarray(grey),
        "read-only": locked,
        "PIL": Image.fromarray(grey),
    }
    for name, image in dressed.items():
        assert agrees(image), f"a picture that came as {name} gave another result"


def takes_any_box(model: LandmarkModel, sample: Sample) -> None:
    """No box is the whole picture; a box outside, of one pixel or larger than the picture is a box."""
    pixels = sample.pixels()
    height, width = pixels.shape[:2]
    whole = model.predict(pixels)
    complete(whole, model.markup)
    assert whole == model.predict(pixels, Box.whole(width, height))
    for box in (
        Box(-width / 2, -height / 2, width / 2, height / 2),
        Box(2 * width, 3 * height, 3 * width, 4 * height),
        Box(-900.25, -900.5, -899.25, -899.5),
        Box(width / 2, height / 2, width / 2 + 1, height / 2 + 1),
        Box(-9 * width, -9 * height, 9 * width, 9 * height),
        Box(0, height / 2, width, height / 2 + 1),
    ):
        complete(model.predict(pixels, box), model.markup)


def leaves_its_input_alone(model: LandmarkModel, sample: Sample) -> None:
    """The caller's pixels are his."""
    pixels = sample.pixels().copy()
    before = pixels.copy()
    model.predict(pixels, sample.box)
    assert np.array_equal(pixels, before), "predict changed its picture"


def follows_shift(model: LandmarkModel, sample: Sample, by: tuple[int, int] = (1517, 1009)) -> None:
    """In a huge picture, the small one's reflection around it, points are moved and else equal.

    Both get a margin, so that no crop is cut at a border, where halving begins at another pixel.
    """
    dx, dy = by
    near = np.pad(sample.pixels(), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), "symmetric")
    far = np.pad(sample.pixels(), ((MARGIN + dy, 900), (MARGIN + dx, 900), (0, 0)), "symmetric")
    box = sample.box.shifted(MARGIN, MARGIN)
    here, there = model.predict(near, box).points, model.predict(far, box.shifted(dx, dy)).points
    off = np.abs(there - by - here).max() / box.size
    assert off <= SHIFT, f"off by {off:.4f} of the box in a shifted picture"


def follows_scale(model: LandmarkModel, others: Sequence[Sample]) -> None:
    """Twice as large, x becomes 2 x + 1/2; a constant offset, such as a pixel's, shows as a bias."""
    differences = []
    for sample in others:
        large = sample.pixels().repeat(2, 0).repeat(2, 1)
        corners = resize_points([(sample.box.left, sample.box.top), (sample.box.right, sample.box.bottom)], 2)
        found = model.predict(large, Box(*corners.ravel())).points
        differences.append((found - resize_points(predicted(model, sample), 2)) / (2 * sample.box.size))
    spread = np.linalg.norm(differences, axis=-1).mean()
    assert spread <= SCALE, f"points are off by {spread:.4f} of the box in a picture twice as large"
    bias = np.abs(np.mean(differences, axis=(0, 1))).max()
    assert bias <= SCALE_BIAS, f"all points are off by {bias:.4f} of the box in a picture twice as large"


def follows_mirror(model: LandmarkModel, others: Sequence[Sample]) -> None:
    """In a mirror, points are the mirrored ones, left and right named anew."""
    differences = []
    for sample in others:
        width = sample.pixels().shape[1]
        flipped = np.ascontiguousarray(sample.pixels()[:, ::-1])
        back = model.predict(flipped, sample.box.mirrored(width)).mirrored(width).points
        differences.append((back - predicted(model, sample)) / sample.box.size)
    off = np.linalg.norm(differences, axis=-1).mean(0).max()
    assert off <= MIRROR, f"a point is off by {off:.3f} of the box in a mirrored picture"


def complete(shape: Shape, kind: MarkUp | None) -> None:
    """All points of the mark-up, all of them numbers."""
    assert isinstance(shape, Shape) and shape.markup == kind
    assert np.isfinite(shape.points).all(), "points are missing"


def predicted(model: LandmarkModel, sample: Sample) -> NDArray[np.float64]:
    """Return the model's points on a sample."""
    return model.predict(sample.image, sample.box).points


def truth(sample: Sample, kind: MarkUp) -> NDArray[np.float64]:
    """Return the true points in a mark-up."""
    return sample.shape.to(kind).points


def error(points: Callable[[Sample], NDArray[np.float64]], samples: Sequence[Sample], kind: MarkUp) -> float:
    """Return the mean distance of all points, as a share of the box's side."""
    off = [np.linalg.norm(points(s) - truth(s, kind), axis=1) / s.box.size for s in samples]
    return float(np.nanmean(off))


def recomputed_mean(samples: Sequence[Sample], kind: MarkUp) -> NDArray[np.float64]:
    """Return the mean shape (K, 2) in the box by the words of its definition, one sample at a time."""
    aligned, _ = procrustes(np.stack([truth(sample, kind) for sample in samples]))
    plain = np.nanmean([sample.box.relative(truth(sample, kind)) for sample in samples], axis=0)
    stretched = np.empty_like(aligned)
    for axis in (0, 1):
        slope = np.polyfit(aligned[:, axis], plain[:, axis], 1)
        stretched[:, axis] = np.polyval(slope, aligned[:, axis])
    return stretched


# Detectors


def detector_answers(detector: FaceDetector, image: NDArray[np.uint8]) -> tuple[Face, ...]:
    """Any picture gets a tuple of faces, best first, on the picture, and stays as it was."""
    before = image.copy()
    faces = detector.detect(image)
    assert np.array_equal(image, before), "detect changed its picture"
    assert isinstance(faces, tuple) and all(isinstance(face, Face) for face in faces)
    scores = [-1.0 if face.score is None else face.score for face in faces]
    assert scores == sorted(scores, reverse=True), "faces do not come best first"
    whole = Box.whole(image.shape[1], image.shape[0])
    for face in faces:
        assert face.box.iou(whole) > 0, f"box {face.box.as_list()} lies outside the picture"
        assert isinstance(detector.canonical(face.box), Box)
    assert detector.detect(image.copy()) == faces, "the same picture, other faces"
    return faces


def detector_finds(
    detector: FaceDetector, image: NDArray[np.uint8], truth: Sequence[Box], share: float
) -> None:
    """At least so many faces have a canonical box of IoU 0.4 or more with the true one."""
    boxes = [detector.canonical(face.box) for face in detector_answers(detector, image)]
    found = np.mean([any(box.iou(true) >= 0.4 for box in boxes) for true in truth])
    assert found >= share, f"finds {found:.0%} of {len(truth)} faces"


# Data sets


def samples_are_whole(samples: Sequence[Sample], name: str | None) -> None:
    """Ids are unique, pictures are RGB, points are the card's mark-up's and lie in picture and box."""
    assert len({sample.id for sample in samples}) == len(samples) > 0, "two samples share an id"
    for sample in samples:
        pixels = sample.pixels()
        height, width = pixels.shape[:2]
        assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,)
        if sample.shape is not None:
            assert name is None or sample.shape.markup.name == name
            points = sample.shape.points[np.isfinite(sample.shape.points).all(1)]
            assert ((points >= 0) & (points <= (width - 1, height - 1))).all(), f"{sample.id}: points outside"
        if sample.shape is not None and sample.box is not None:
            assert sample.box.iou(sample.shape.box()) > 0.2, f"{sample.id}: the box is elsewhere"


def points_lie_where_drawn(samples: Sequence[Sample], dots: dict[str, int]) -> None:
    """A miniature's nose is one dark pixel: a reader that wrongly counts from 1 misses it."""
    for sample in samples:
        if sample.shape is None:
            continue
        x, y = np.round(sample.shape.points[dots[sample.shape.markup.name]]).astype(int)
        around = sample.pixels()[y - 1 : y + 2, x - 1 : x + 2].sum(axis=2)
        assert np.argmin(around) == 4, f"{sample.id}: the nose is not at ({x}, {y})"


# Mark-ups


def markup_is_symmetric(kind: MarkUp) -> None:
    """The mirror undoes itself and swaps left and right in names, groups, eyes and edges.

    Where left and right are not known, there is no mirror to look at.
    """
    if not kind.sides:
        assert kind.mirror == tuple(range(len(kind)))
        return
    swap = {"left": "right", "right": "left"}

    def other(name: str) -> str:
        return "_".join(swap.get(word, word) for word in name.split("_"))

    for i, j in enumerate(kind.mirror):
        assert kind.mirror[j] == i
        assert kind.points[j] == other(kind.points[i]), f"{kind.points[i]} is mirrored to {kind.points[j]}"
    for group, indices in kind.groups.items():
        assert {kind.mirror[i] for i in indices} == set(kind.groups[other(group)]), group
    if kind.left_eye is not None:
        assert {kind.mirror[i] for i in kind.left_eye} == set(kind.right_eye or ())
    if kind.inter_ocular is not None:
        assert kind.mirror[kind.inter_ocular[0]] == kind.inter_ocular[1]
    edges = {frozenset(edge) for edge in kind.edges}
    assert {frozenset(kind.mirror[i] for i in edge) for edge in edges} == edges


def markup_converts(kind: MarkUp, points: NDArray[np.float64]) -> None:
    """Converting and mirroring may be done in either order, and each conversion says what is lost."""
    flip = np.array([-1.0, 1.0])
    for to, conversion in kind.conversions.items():
        target = markup(to)
        assert len(conversion.sources) == len(target) and conversion.loses
        if not (kind.sides and target.sides):
            continue
        first = kind.convert(points[list(kind.mirror)] * flip, to)
        last = kind.convert(points, to)[list(target.mirror)] * flip
        assert np.allclose(first, last, atol=1e-8, equal_nan=True), f"to {to}: left and right are mixed up"


def markup_fits_a_face(kind: MarkUp, points: NDArray[np.float64]) -> None:
    """On an upright face, right parts lie on the picture's left, and eyes above the mouth."""
    for name, (x, _) in zip(kind.points, points, strict=True):
        other = name.replace("right_", "left_", 1) if name.startswith("right_") else None
        if other in kind.points and np.isfinite(x):
            assert x < points[kind.points.index(other), 0], f"{name} lies left of the subject's {other}"
    if kind.left_eye is not None:
        left, right = kind.eye_centers(points)
        assert right[0] < left[0] and max(left[1], right[1]) < np.nanmean(
            points[list(kind.indices("mouth")), 1]
        )

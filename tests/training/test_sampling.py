"""Batches depend on seed and step alone; crops, points and mirror images agree with the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError
from meanshape.core.markup import markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.training.augment import Augmentation, jitter_matrix
from meanshape.training.sampling import CropBank, CropSampler, inter_pupil, square_mean

PLAIN = Augmentation(colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0)


def dotted(mean_face: np.ndarray, seed: int, name: str = "ibug68") -> Sample:
    """A dark picture with a bright blob at each of the five points of a face, wherever that lies."""
    rng = np.random.default_rng(seed)
    points = mean_face * rng.uniform(90, 130) + rng.uniform(40, 80, 2)
    shape = Shape(points, "ibug68")
    image = np.zeros((260, 280, 3), np.uint8)
    ys, xs = np.mgrid[:260, :280]
    for x, y in shape.to("mtfl5").points:
        image[(xs - x) ** 2 + (ys - y) ** 2 < 9] = 255
    return Sample(str(seed), image, shape.to(name), shape.box())


@pytest.fixture
def bank(mean_face: np.ndarray) -> CropBank:
    return CropBank([dotted(mean_face, seed) for seed in range(5)], markup("ibug68"))


def sampler(bank: CropBank, **changes: object) -> CropSampler:
    settings = {"size": 64, "scale": 1.6, "batch_size": 4, "augmentation": PLAIN, "seed": 3} | changes
    return CropSampler(bank, **settings)


def test_a_batch_is_the_same_whenever_it_is_asked_for(bank: CropBank) -> None:
    once, again = sampler(bank).batch(11), sampler(bank).batch(11)
    assert all(np.array_equal(once[key], again[key], equal_nan=True) for key in once)
    other = sampler(bank).batch(12)
    assert not np.array_equal(once["image"], other["image"])


def test_an_epoch_shows_every_face_once(bank: CropBank) -> None:
    seen = np.concatenate([sampler(bank, batch_size=2).indices(step) for step in range(5)])
    assert np.array_equal(np.sort(seen), np.repeat(np.arange(5), 2))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_points_stay_on_the_pixels(bank: CropBank, flip: float) -> None:
    moved = Augmentation(flip=flip, colour=0, grey=0, blur=0, jpeg=0, noise=0, occluder=0)
    batch = sampler(bank, augmentation=moved, size=96).batch(2)
    for image, points in zip(batch["image"], batch["points"], strict=True):
        five = markup("ibug68").convert(points, "mtfl5")
        for x, y in five:
            if 1 < x < 94 and 1 < y < 94:
                assert image[:, round(y), round(x)].mean() > 150
        assert five[0, 0] < five[1, 0]  # the subject's right eye stays on the picture's left, mirrored or not


def test_the_norm_is_the_inter_pupil_distance_in_the_crop(bank: CropBank) -> None:
    batch = sampler(bank).batch(0)
    for points, norm in zip(batch["points"], batch["norm"], strict=True):
        assert norm == pytest.approx(inter_pupil(markup("ibug68"), points.astype(float)), rel=1e-4)


def test_a_poorer_markup_teaches_its_points_only(mean_face: np.ndarray) -> None:
    mixed = [dotted(mean_face, 0), dotted(mean_face, 1), dotted(mean_face, 2, "mtfl5")]
    bank = CropBank(mixed, markup("ibug68"))
    batch = sampler(bank, batch_size=4, partial_share=0.25).batch(0)
    assert np.isfinite(batch["points"][1:]).all()
    assert np.isnan(batch["points"][0]).all()
    assert np.isfinite(batch["partial"][0]).all()
    assert np.isnan(batch["partial"][1:]).all()


def test_self_labelled_faces_come_at_their_share(mean_face: np.ndarray) -> None:
    faces = [dotted(mean_face, seed) for seed in range(6)]
    soft = [
        Sample(f.id, f.image, Shape(f.shape.points, "ibug68", confidence=np.full(68, 0.5)), f.box)
        for f in faces[3:]
    ]
    bank = CropBank([*faces[:3], *soft], markup("ibug68"))
    for step in range(3):
        indices = sampler(bank, batch_size=10, soft_share=0.3).indices(step)
        assert (indices >= 3).sum() == 3
    assert (sampler(bank, batch_size=10, soft_share=0.0).indices(0) < 3).all()


def test_no_usable_face_is_an_error(mean_face: np.ndarray) -> None:
    with pytest.raises(DataSetError, match="no usable face"):
        CropBank([Sample("x", np.zeros((9, 9, 3), np.uint8), None, Box(0, 0, 8, 8))], markup("ibug68"))


def test_the_square_mean_is_symmetric(mean_face: np.ndarray) -> None:
    mean = square_mean([dotted(mean_face, seed) for seed in range(4)], markup("ibug68"))
    mirrored = mean[list(markup("ibug68").mirror)] * (-1, 1) + (1, 0)
    assert np.allclose(mean, mirrored)


def test_jitter_stays_in_bounds() -> None:
    wild = Augmentation(shift=5, scale=5, rotation=500)
    for seed in range(20):
        matrix = jitter_matrix(np.random.default_rng(seed), wild, 100.0)
        scale = float(np.hypot(*matrix[0, :2]))
        assert np.exp(-0.4) - 1e-9 <= scale <= np.exp(0.4) + 1e-9
        assert np.abs(matrix[:, 2]).max() <= 25
        assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= 60 + 1e-9

"""EmotionalDAN's parts: moved faces, narrow pictures, classes, temperature."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core.errors import ConfigError  # noqa: E402
from meanshape.core.markup import markup  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.dan.network import heatmap  # noqa: E402
from meanshape.methods.emotional_dan import (  # noqa: E402
    Config,
    EmotionalDAN,
    training,
)
from meanshape.methods.emotional_dan.network import Residual, equalised  # noqa: E402
from meanshape.methods.emotional_dan.training import data  # noqa: E402
from meanshape.methods.emotional_dan.training.start import start  # noqa: E402
from meanshape.training.sampling import CropBank, CropSampler  # noqa: E402


def test_logit_adjustment_lifts_rare_classes() -> None:
    labels = np.repeat([0, 1], [90, 10])
    assert torch.equal(training.logit_adjustment(labels, 2, 0.0), torch.zeros(2))
    bias = training.logit_adjustment(labels, 2, 1.0)
    assert float(bias[1] - bias[0]) == pytest.approx(np.log(9), rel=1e-5)
    # a classifier that only knows how frequent the classes are says nothing after that
    assert torch.allclose(torch.log(torch.tensor([0.9, 0.1])) + bias, torch.zeros(2), atol=1e-6)


def test_equalised_faces_are_alike_in_any_light() -> None:
    """Brightness, contrast and, nearly, gamma leave no trace; greys spread evenly; a flat face stays one."""
    torch.manual_seed(0)
    rough = torch.rand(4, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    face = blurred(rough) * torch.tensor([0.3, 1.0, 2.0, 4.0])[:, None, None, None]
    shown = equalised(face)
    assert torch.allclose(equalised(0.4 * face + 0.7), shown, atol=0.25)
    assert (equalised(0.4 * face + 0.7) - shown).abs().mean() < 0.03
    assert (equalised(face.clamp(min=0.001) ** 1.5) - shown).abs().mean() < 0.2
    order = face.flatten(1).argsort(1)
    ranks = shown.flatten(1).gather(1, order)
    assert (ranks.diff(dim=1) >= -1e-5).all()  # darker stays darker
    even = torch.linspace(-2, 2, ranks.shape[1])
    assert (ranks - even).abs().mean() < 0.15
    assert equalised(torch.full((1, 1, 64, 64), 0.3)).std() == 0


def blurred(faces: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.stack([cv2.GaussianBlur(f[0].numpy(), (0, 0), 3) for f in faces]))[:, None]


def test_a_moved_face_and_its_points_move_alike() -> None:
    """A bright dot stays under the point that marks it, through jitter and mirror."""
    frames = np.zeros((1, 72, 72), np.uint8)
    placed = np.full((1, 2, 2), 24, np.float32)
    placed[0, 0] = (14, 30)
    frames[0, 30 + 12, 14 + 12] = 255
    bank = data.EmotionBank(frames, placed, np.zeros(1, np.int64), 48, (0, 1))
    angle = np.radians(20)
    jitter = 1.1 * np.array([[np.cos(angle), -np.sin(angle), 2], [np.sin(angle), np.cos(angle), -1]])
    for flip in (False, True):
        image, before, target = bank.augmented_face(0, jitter, flip)
        y, x = np.unravel_index(image.argmax(), image.shape)
        assert np.hypot(*(target[0] - (x, y))) < 1
        assert before[0] == pytest.approx((33, 30) if flip else (14, 30))


def test_moving_a_frame_moves_what_is_seen_in_it() -> None:
    matrix, shift = torch.eye(2)[None] * 2, torch.tensor([[[3.0, -1.0]]])
    jitter = torch.tensor([[[0.0, -1.0, 0.5], [1.0, 0.0, 0.25]]])
    points = torch.rand(1, 5, 2) * 20
    here = points @ matrix + shift - 23.5
    there = torch.einsum("nij,nkj->nki", jitter[:, :, :2], here) + jitter[:, None, :, 2] + 23.5
    moved, moved_shift = training.jittered(matrix, shift, jitter, 48)
    assert torch.allclose(points @ moved + moved_shift, there, atol=1e-4)


def test_classes_weigh_by_how_rare_they_are() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert training.class_weights(labels, 2, 0.0).tolist() == [1, 1]
    weights = training.class_weights(labels, 2, 0.5)
    assert weights[1] / weights[0] == pytest.approx(3)
    assert weights[torch.from_numpy(labels)].mean() == pytest.approx(1)


def test_temperature_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    labels = np.array([rng.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in logits])
    assert training.best_temperature(torch.from_numpy(2 * logits), labels) == pytest.approx(2, rel=0.1)


def test_a_narrow_picture_ends_at_the_face() -> None:
    """Beyond the cut there is the reflection of what is inside; the points stay where they were."""
    frame = np.arange(72, dtype=np.uint8)[None].repeat(72, 0)
    placed = np.full((1, 2, 2), 24, np.float32)
    bank = data.EmotionBank(frame[None], placed, np.zeros(1, np.int64), 48, (0, 1))
    image, before, target = bank.augmented_face(0, truncated=(0, 0, 20, 14))
    assert image[0, 8:46].tolist() == list(range(20, 58))
    assert image[0, :8].tolist() == list(range(27, 19, -1)) and image[0, 46:].tolist() == [57, 56]
    assert np.array_equal(before, placed[0]) and np.array_equal(target, placed[0])
    moves = replace(EmotionalDAN.tiny().config.augmentation, occluder=0, noise=0, blur=0, colour=0)
    points = CropSampler(CropBank([synthetic.face(0, 72)], markup("ibug68")), 32, 1.5, 1, moves)
    wide, narrow = (data.JointSampler(points, bank, 1, moves, 48, 1.2, 1, 0, share) for share in (0.0, 1.0))
    assert wide._truncation(np.random.default_rng(0), 72) == (0, 0, 0, 0)
    cuts = np.array([narrow._truncation(np.random.default_rng(seed), 72) for seed in range(200)])
    assert cuts.min() >= 7 and 14 < cuts.max() <= 19  # 16 would be the face's own box
    assert len({c[0] for c in cuts.tolist()}) > 3


def test_it_sees_the_frame_made_smaller() -> None:
    """A smooth face, and each point in it, lies in the same place of the smaller frame."""
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    module = start(replace(Config(), reduced=32, equalise=False, use_heatmap=True), mean, ["a"], None)
    line = torch.arange(64.0)
    across = lambda line: torch.sin(line / 9)[None, None, None] + torch.cos(line / 7)[:, None]  # noqa: E731
    placed = torch.rand(1, 68, 2) * 40 + 12
    seen = module.with_heatmap(across(line), placed)
    assert seen.shape == (1, 2, 32, 32)
    assert module.joint.fc1[0].in_features == 256 * 2 * 2
    assert start(replace(Config(), reduced=96), mean, ["a"], None).seen == 64  # never larger
    inner = slice(3, -3)  # at the border there are fewer pixels to go by
    expected = across((torch.arange(32.0) + 0.5) * 2 - 0.5)
    assert (seen[:, :1] - expected)[..., inner, inner].abs().max() < 0.02
    assert torch.equal(seen[:, 1:], heatmap((placed + 0.5) / 2 - 0.5, 32, 2))


def test_blocks_at_every_width() -> None:
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    count = lambda blocks: sum(  # noqa: E731
        isinstance(part, Residual)
        for part in start(replace(Config(), blocks=blocks), mean, ["a"], None).joint.trunk
    )
    assert count(()) == 3 and count((1, 2, 2, 1)) == 6 and count((0, 0, 0, 0)) == 0


WRONG = [
    {"size": 40},
    {"share": 1.5},
    {"points_share": 0.0},
    {"maps": ()},
    {"quick": (8,) * 7},
    {"even": -0.1},
    {"blocks": (1, 1)},
    {"reduced": 50},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_that_do_not_fit_are_said(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(Config(), **wrong)

"""EmotionalDAN's joint trunk, histogram equalisation, teachers and freed logits, in numpy."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.methods.dan.network import DANNet  # noqa: E402
from meanshape.methods.emotional_dan import EmotionalDAN, training  # noqa: E402
from meanshape.methods.emotional_dan.network import EmotionalDANNet, equalised  # noqa: E402
from meanshape.methods.emotional_dan.training.start import Teachers  # noqa: E402

SIDE, SEEN, POINTS, LABELS = 32, 24, 5, 3
MEAN = np.array([[0.2, 0.25], [0.8, 0.25], [0.5, 0.5], [0.3, 0.8], [0.7, 0.8]])
MATRIX, SHIFT = np.array([[0.8, 0.3], [-0.3, 0.8]]), np.array([1.0, -4.0])


class Before(DANNet):
    """A cascade that answers one shape, and the frame and picture of its last stage."""

    def forward(self, image: torch.Tensor, stages: int | None = None) -> list[torch.Tensor]:
        return [torch.from_numpy(SHAPES).float()]


SHAPES = np.random.default_rng(4).uniform(5, 25, (2, POINTS, 2))


def made(seed: int, side: int = SIDE, size: int = 0, *, heat: bool = False) -> Any:
    """A net of two widths, that sees frames of `side` pixels made smaller to 24, equalised."""
    cascade = Before(
        torch.from_numpy(MEAN), crop_size=48, crop_scale=1.6, sizes=(side,), widths=(0.1,), frame_scale=1.3,
        features=8,
    )  # fmt: skip
    net = EmotionalDANNet(
        cascade, size=size, maps=(4, 6), features=10, labels=LABELS, dropout=0.5, reduced=SEEN, blocks=(1, 2),
        use_heatmap=heat, equalise=True,
    )  # fmt: skip
    return hand.scrambled(net, seed)


def smaller(face: np.ndarray) -> np.ndarray:
    """Make a picture 24 pixels wide: the cubic kernel (a = -0.5), as wide as the pixels that it makes."""
    ratio = len(face) / SEEN
    weights = np.zeros((SEEN, len(face)))
    for row, column in itertools.product(range(SEEN), range(len(face))):
        x = abs((column + 0.5) / ratio - (row + 0.5))
        inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weights[row, column] = inner if x < 1 else outer if x < 2 else 0
    weights /= weights.sum(1, keepdims=True)
    return weights @ face @ weights.T


def ranked(face: np.ndarray) -> np.ndarray:
    """Each grey's rank among the face's own, -2..2: 16 bins to 2.4 deviations, pixels a bin wide."""
    sample = face[::2, ::2].ravel()
    middle, reach = sample.mean(), 2.4 * (sample.std() + 0.02)
    bounds = np.linspace(middle - reach, middle + reach, 17)
    width = bounds[1] - bounds[0]
    share = [np.mean([np.clip((bound - grey) / width + 0.5, 0, 1) for grey in sample]) for bound in bounds]
    share[0], share[-1] = 0, 1
    return 4 * np.interp(face, bounds, share) - 2


def joint(weights: dict[str, np.ndarray], maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BN; 5 x 5 and 3 x 3 convolutions of stride 2, after each its residual blocks; fc1; heads."""
    maps, layer = hand.norm(maps, weights, "trunk.0"), 1
    for kernel, count in ((5, 1), (3, 2)):
        maps = hand.convolution(maps, weights[f"trunk.{layer}.weight"], pad=kernel // 2, stride=2)
        maps, layer = hand.relu(hand.norm(maps, weights, f"trunk.{layer + 1}")), layer + 3
        for _ in range(count):
            inner = hand.convolution(maps, weights[f"trunk.{layer}.body.0.weight"], pad=1)
            inner = hand.relu(hand.norm(inner, weights, f"trunk.{layer}.body.1"))
            inner = hand.convolution(inner, weights[f"trunk.{layer}.body.3.weight"], pad=1)
            maps = hand.relu(maps + hand.norm(inner, weights, f"trunk.{layer}.body.4"))
            layer += 1
    features = hand.relu(hand.norm(hand.linear(maps.ravel(), weights, "fc1.0"), weights, "fc1.1"))
    moves = hand.linear(features, weights, "points").reshape(-1, 2)
    return moves, hand.linear(features, weights, "emotion")


def greys(count: int, side: int) -> np.ndarray:
    """Smooth faces (N, S, S) of 0..255, of several contrasts."""
    rng, y = np.random.default_rng(9), np.arange(side)[:, None] / side
    waves = [np.sin(5 * y * a + b) + np.cos(7 * y.T * b + a) for a, b in rng.uniform(0.3, 2, (count, 2))]
    return np.stack([120 + (20 + 25 * n) * wave for n, wave in enumerate(waves)])


def test_greys_become_their_ranks() -> None:
    faces = (greys(3, 20) - 127.5) / 64
    faces[2] = 0.4  # flat
    found = equalised(torch.from_numpy(faces)[:, None])[:, 0].numpy()
    for shown, face in zip(found, faces, strict=True):
        assert np.abs(shown - ranked(face)).max() < 1e-9


@pytest.mark.parametrize("heat", [False, True])
def test_the_joint_stage_sees_the_last_frame_smaller_and_equalised(heat: bool) -> None:
    module = made(5, heat=heat)
    weights, pictures = hand.weights_of(module), greys(2, SIDE)
    colours = np.stack([pictures, 0.9 * pictures, pictures + 9], 1)
    frame = MATRIX[None].repeat(2, 0), SHIFT[None, None].repeat(2, 0)
    module.cascade.frame = tuple(torch.from_numpy(part).float() for part in frame)
    module.cascade.seen = torch.from_numpy((colours - 127.5) / 64).float()
    with torch.no_grad():
        _, points, shares = (v.double().numpy() for v in module(torch.zeros(2, 3, 48, 48)))
    for n, shape in enumerate(SHAPES):
        placed = shape @ MATRIX + SHIFT
        face = ranked(smaller((hand.grey(colours[n])[0] - 127.5) / 64))
        there = hand.heatmap((placed + 0.5) * SEEN / SIDE - 0.5, SEEN) if heat else np.zeros((1, SEEN, SEEN))
        moves, logits = joint(hand.part(weights, "joint"), np.concatenate([face[None], there]))
        offsets = ((placed - ((MEAN - 0.5) / 1.3 * SIDE + (SIDE - 1) / 2)) * 20 / SIDE).ravel()
        head = hand.relu(hand.linear(offsets, weights, "shape_head.first"))
        logits = logits + hand.linear(head, weights, "shape_head.last")
        wanted = (placed + weights["trust"] * moves * SIDE / 10 - SHIFT) @ np.linalg.inv(MATRIX)
        assert np.abs(points[n] - wanted).max() < 2e-3
        total = hand.softmax((logits + weights["bias"]) / weights["temperature"])
        assert np.allclose(shares[n], total, atol=1e-3)


def test_teachers_say_a_part_of_the_labels() -> None:
    """(1 - t) (smoothed, weighted) + t teacher(face, or its mirror image) times what the label weighs."""
    teachers = [made(11, 48, heat=True), made(12, SIDE)]
    config = replace(EmotionalDAN.tiny().config, smoothing=0.15, taught=0.4, balance=0.5, mixup=0.0)
    seen = np.array([0, 0, 0, 0, 1, 2, 2, 2, 2])
    sampler = SimpleNamespace(points=None, emotions=SimpleNamespace(labels=seen), classes=LABELS)
    task = training.JointTask(sampler, None, None, config, Teachers(teachers))  # type: ignore[arg-type]
    faces, placed = greys(2, SIDE), np.random.default_rng(3).uniform(6, 26, (2, POINTS, 2))
    batch = {"face": faces[:, None], "label": np.eye(LABELS)[[1, 2]], "target": placed}
    rare = np.bincount(seen) ** -0.5 * len(seen) / (np.bincount(seen) ** 0.5).sum()
    smoothed = (0.85 * batch["label"] + 0.05) * rare[[1, 2], None]
    variants = []
    for net, flip in itertools.product(teachers, (False, True)):
        weights, side, says = hand.part(hand.weights_of(net), "joint"), net.size, []
        for face, points in zip(faces, placed, strict=True):
            y, x = (np.mgrid[:side, :side] + 0.5) * SIDE / side - 0.5
            shown = ranked(smaller((hand.bilinear(face[None], x, y)[0] - 127.5) / 64))[None]
            there = hand.heatmap((points + 0.5) * SEEN / SIDE - 0.5, SEEN) if side == 48 else 0 * shown
            maps = np.concatenate([shown, there])
            says.append(hand.softmax(joint(weights, maps[:, :, ::-1] if flip else maps)[1]))
        variants.append(0.6 * smoothed + 0.4 * np.array(says) * smoothed.sum(1, keepdims=True))
    told = set()
    torch.manual_seed(0)
    for _ in range(40):
        _, target = task._targets({name: torch.from_numpy(v).float() for name, v in batch.items()})
        away = [np.abs(target.numpy() - variant).max() for variant in variants]
        assert min(away) < 1e-3 < sorted(away)[1]
        told.add(int(np.argmin(away)))
    assert told == {0, 1, 2, 3}


def test_logits_are_freed_of_the_frequencies_before_the_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Menon 2021: logits - even * ln(frequency); a class that was never seen counts as seen once."""
    module, rng, labels = made(1), np.random.default_rng(0), np.array([0] * 60 + [1] * 9)
    checked = rng.integers(0, 3, 60)
    logits = rng.normal(0, 1, (60, LABELS)) + 2 * np.eye(LABELS)[checked]
    bank = SimpleNamespace(labels=labels)
    task: Any = SimpleNamespace(
        valid_points=None, sampler=SimpleNamespace(emotions=bank, classes=LABELS),
        valid_emotions=SimpleNamespace(labels=checked), config=SimpleNamespace(even=0.6),
    )  # fmt: skip
    monkeypatch.setattr(training, "emotion_logits", lambda *rest: torch.from_numpy(logits).float())
    monkeypatch.setattr(training, "train_shape_head", lambda *rest: None)
    monkeypatch.setattr(training, "fit_shape_head_weight", lambda *rest: 0.0)
    training.finish(module, task, 0, lambda share, text: None)
    bias = -0.6 * np.log(np.array([60, 9, 1]) / 70)
    assert np.allclose(module.bias.numpy(), bias, atol=1e-6)
    tried = np.exp(np.linspace(-1.5, 1.5, 301))
    best, other = (
        tried[int(np.argmin([hand.cross_entropy(freed / t, checked).mean() for t in tried]))]
        for freed in (logits + bias, logits)
    )
    assert module.temperature.item() == pytest.approx(best, rel=0.011) and not 0.9 < best / other < 1.1

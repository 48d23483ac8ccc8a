"""EmotionalDAN's equations in numpy: what the joint stage answers, the joint loss and its two weights."""

from __future__ import annotations

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
from meanshape.methods.emotional_dan.network import EmotionalDANNet  # noqa: E402

CROP, SCALE, SIDE, FRAME, POINTS, LABELS = 48, 1.6, 32, 1.3, 6, 4
MEAN = np.array([[0.2, 0.2], [0.8, 0.25], [0.5, 0.5], [0.3, 0.75], [0.7, 0.8], [0.5, 0.9]])


class Before(DANNet):
    """A cascade that answers one shape a face, whatever it sees."""

    def answer(self, shapes: np.ndarray) -> None:
        self.told = torch.from_numpy(shapes).float()

    def forward(self, image: torch.Tensor, stages: int | None = None) -> list[torch.Tensor]:
        return [self.told]


@pytest.fixture
def shapes() -> np.ndarray:
    """Two faces' shapes (2, K, 2) in the crop: the mean one, turned, and a little wrong."""
    rng = np.random.default_rng(5)
    centred = (MEAN - 0.5) / SCALE * CROP
    turns = (0.5, -0.3)
    return np.stack(
        [
            centred @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
            + rng.normal(0, 1, (POINTS, 2))
            + 24
            for a in turns
        ]
    )


@pytest.fixture
def module(shapes: np.ndarray) -> Any:
    cascade = Before(
        torch.from_numpy(MEAN), crop_size=CROP, crop_scale=SCALE, sizes=(16,), widths=(0.1,),
        frame_scale=FRAME, features=8,
    )  # fmt: skip
    cascade.answer(shapes)
    made = EmotionalDANNet(
        cascade, size=SIDE, maps=(4, 6), features=10, labels=LABELS, dropout=0.5, residual=False, mirror=True
    )
    hand.scrambled(made, 7)
    with torch.no_grad():
        made.temperature.fill_(1.7)
        made.trust.fill_(0.6)
    return made


def pixels() -> torch.Tensor:
    drawn = torch.rand((2, 3, 6, 6), generator=torch.Generator().manual_seed(2)) * 255
    return torch.nn.functional.interpolate(drawn, size=(CROP, CROP))


def joint(weights: dict[str, np.ndarray], maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BN, pairs of convolutions with pools, fc1; from it the update of the points, and logits."""
    maps, layer = hand.norm(maps, weights, "trunk.0"), 1
    for _ in range(2):
        for _ in range(2):
            maps = hand.convolution(maps, weights[f"trunk.{layer}.weight"], pad=1)
            maps, layer = hand.relu(hand.norm(maps, weights, f"trunk.{layer + 1}")), layer + 3
        maps, layer = hand.pooled(maps), layer + 1
    features = hand.relu(hand.norm(hand.linear(maps.ravel(), weights, "fc1.0"), weights, "fc1.1"))
    moves = hand.linear(features, weights, "points").reshape(-1, 2) * SIDE / 10
    return moves, hand.linear(features, weights, "emotion")


def upright(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T to the mean shape's frame, and the shape there."""
    matrix, shift = hand.similarity(shape, (MEAN - 0.5) / FRAME * SIDE + (SIDE - 1) / 2)
    return matrix, shift, shape @ matrix.T + shift


def test_points_and_emotion_are_those_of_the_equations(module: Any, shapes: np.ndarray) -> None:
    """S_t = T^-1(T(S) + trust dS); softmax of the logits' mean over both sides, plus bias, by temperature."""
    image, weights = pixels(), hand.weights_of(module)
    with torch.no_grad():
        *_, points, shares = (answer.double().numpy() for answer in module(image))
    for n, (face, shape) in enumerate(zip(image.double().numpy(), shapes, strict=True)):
        matrix, shift, placed = upright(shape)
        picture = (hand.seen(hand.grey(face), matrix, shift, SIDE) - 127.5) / 64
        maps = np.concatenate([picture, hand.heatmap(placed, SIDE)])
        moves, logits = joint(hand.part(weights, "joint"), maps)
        mirrored = joint(hand.part(weights, "joint"), maps[:, :, ::-1])[1]
        offsets = ((placed - ((MEAN - 0.5) / FRAME * SIDE + (SIDE - 1) / 2)) * 20 / SIDE).ravel()
        head = hand.relu(hand.linear(offsets, weights, "shape_head.first"))
        logits = (logits + mirrored) / 2 + hand.linear(head, weights, "shape_head.last")
        wanted = (placed + 0.6 * moves - shift) @ np.linalg.inv(matrix).T
        assert np.abs(points[n] - wanted).max() < 2e-3 and np.abs(moves).max() > 0.3
        assert np.allclose(shares[n], hand.softmax((logits + weights["bias"]) / 1.7), atol=2e-3)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_joint_loss_weighs_its_two_parts(module: Any, shapes: np.ndarray, share: float) -> None:
    """lambda * error of the points + (1 - lambda) * cross entropy with smoothed labels, rare classes more."""
    rng = np.random.default_rng(1)
    cascade = replace(EmotionalDAN.tiny().config.cascade, loss="point")
    config = replace(EmotionalDAN.tiny().config, cascade=cascade, share=share, smoothing=0.2, balance=0.5)
    seen_labels = np.array([0, 0, 0, 0, 1, 2, 2, 3])
    sampler = SimpleNamespace(
        points=None, emotions=SimpleNamespace(labels=seen_labels), classes=LABELS
    )  # what the weights of the classes come from
    task = training.JointTask(sampler, None, None, config)  # type: ignore[arg-type]
    truth = shapes + rng.normal(0, 2, shapes.shape)
    labels, faces = [1, 0, 3], rng.uniform(0, 255, (3, 1, SIDE, SIDE))
    so_far = rng.uniform(8, 24, (3, POINTS, 2))
    batch = {
        "image": pixels(),
        "points": torch.from_numpy(truth).float(),
        "norm": torch.tensor([11.0, 17.0]),
        "jitter": torch.eye(2, 3).expand(2, -1, -1),
        "face": torch.from_numpy(faces).float(),
        "label": torch.eye(LABELS)[labels],
        "target": torch.from_numpy(so_far).float(),
    }
    module.eval().mirror = False
    with torch.no_grad():
        found = task.loss(module, batch).item()
    weights = hand.part(hand.weights_of(module), "joint")
    errors = []
    for face, shape, true, norm in zip(pixels().double().numpy(), shapes, truth, (11, 17), strict=True):
        matrix, shift, placed = upright(shape)
        picture = (hand.seen(hand.grey(face), matrix, shift, SIDE) - 127.5) / 64
        moves = joint(weights, np.concatenate([picture, hand.heatmap(placed, SIDE)]))[0]
        answer = (placed + moves - shift) @ np.linalg.inv(matrix).T
        errors.append(np.linalg.norm(answer - true, axis=1).mean() / norm)
    counts = np.bincount(seen_labels)
    rare = 1 / np.sqrt(counts)
    rare *= counts.sum() / (rare * counts).sum()
    wrong = []
    for face, points, label in zip(faces, so_far, labels, strict=True):
        maps = np.concatenate([(face - 127.5) / 64, hand.heatmap(points, SIDE)])
        wanted = np.full(LABELS, 0.2 / LABELS)
        wanted[label] += 0.8
        wrong.append(-rare[label] * (wanted * np.log(hand.softmax(joint(weights, maps)[1]))).sum())
    assert found == pytest.approx(share * np.mean(errors) + (1 - share) * np.mean(wrong), rel=2e-3)

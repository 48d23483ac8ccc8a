"""DAN's equations in numpy, on random weights: stages, connection layers, loss, what learns when."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core.markup import markup  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.dan import DAN, training  # noqa: E402
from meanshape.methods.dan import network as nets  # noqa: E402

CROP, SCALE, SIDE, FRAME, POINTS = 64, 1.6, 32, 1.3, 6
MEAN = np.array([[0.2, 0.2], [0.8, 0.25], [0.5, 0.5], [0.3, 0.75], [0.7, 0.8], [0.5, 0.9]])


def made(channels: int) -> nets.DANNet:
    """Two stages with random weights; the first turns the mean shape, so that T is not the identity."""
    module = nets.DANNet(
        torch.from_numpy(MEAN), crop_size=CROP, crop_scale=SCALE, sizes=(SIDE, SIDE), widths=(0.1, 0.1),
        frame_scale=FRAME, channels=channels, features=12,
    )  # fmt: skip
    hand.scrambled(module, 3)
    turn = 1.2 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    start = (MEAN - 0.5) / SCALE * SIDE
    with torch.no_grad():
        module.stages[0].fc2.bias.copy_(torch.from_numpy(((start @ turn.T - start) * 10 / SIDE).ravel()))
    return module


def stage(weights: dict[str, np.ndarray], maps: np.ndarray, further: bool) -> tuple[np.ndarray, np.ndarray]:
    """The paper's table: conv - BN - ReLU twice and a pool, four times; fc1 with BN and ReLU; fc2."""
    layer = 0
    if further:
        maps, layer = hand.norm(maps, weights, "trunk.0"), 1
    for _ in range(4):
        for _ in range(2):
            maps = hand.convolution(maps, weights[f"trunk.{layer}.weight"], pad=1)
            maps = hand.relu(hand.norm(maps, weights, f"trunk.{layer + 1}"))
            layer += 3
        maps, layer = hand.pooled(maps), layer + 1
    features = hand.relu(hand.norm(hand.linear(maps.ravel(), weights, "fc1.0"), weights, "fc1.1"))
    moves = hand.linear(features, weights, "fc2").reshape(-1, 2) * SIDE / 10  # in tenths of the frame
    return features, moves


def cascade(weights: dict[str, np.ndarray], image: np.ndarray) -> list[np.ndarray]:
    """S_1 = S_0 + dS_1; S_2 = T^-1(T(S_1) + dS_2), dS_2 from [T(I), H(T(S_1)), F(fc1)]."""
    ratio = CROP // SIDE
    features, moves = stage(hand.part(weights, "stages.0"), (hand.means(image, ratio) - 127.5) / 64, False)
    first = (MEAN - 0.5) / SCALE * CROP + (CROP - 1) / 2 + moves * ratio
    upright = (MEAN - 0.5) / FRAME * SIDE + (SIDE - 1) / 2
    matrix, shift = hand.similarity(first, upright)
    placed = first @ matrix.T + shift
    picture = (hand.seen(image, matrix, shift, SIDE) - 127.5) / 64
    features = hand.relu(hand.linear(features, weights, "feature_images.0.0"))
    features = features.reshape(1, SIDE // 2, SIDE // 2).repeat(2, 1).repeat(2, 2)
    maps = np.concatenate([picture, hand.heatmap(placed, SIDE), features])
    moves = stage(hand.part(weights, "stages.1"), maps, True)[1]
    return [first, (placed + moves - shift) @ np.linalg.inv(matrix).T]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_cascade_is_that_of_the_equations(channels: int) -> None:
    module = made(channels)
    smooth = torch.nn.functional.interpolate(
        torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(1)) * 255, size=(CROP, CROP)
    ).round()
    with torch.no_grad():
        found = [shape.double().numpy() for shape in module(smooth)]
    weights = hand.weights_of(module)
    for n, image in enumerate(smooth.double().numpy()):
        wanted = cascade(weights, hand.grey(image) if channels == 1 else image)
        assert np.abs(wanted[1] - wanted[0]).max() > 0.5
        for ours, theirs in zip(found, wanted, strict=True):
            assert np.abs(ours[n] - theirs).max() < 2e-3


class Given(nets.DANNet):
    """A cascade that answers what it is told, and remembers how its stages were set meanwhile."""

    def __init__(self, shape: torch.Tensor, located: torch.Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.stages = torch.nn.ModuleList(
            nets.Stage(3, extra, SIDE, 0.1, 8, 2 * POINTS, 0.5) for extra in (0, 2)
        )
        self.sizes, self.answer, self.told = (SIDE, SIDE), shape, located
        self.frame = torch.tensor([[[0.5, 0.1], [-0.1, 0.5]]]), torch.tensor([[[1.0, -4.0]]])

    def forward(self, image: torch.Tensor, stages: int | None = None) -> list[torch.Tensor]:
        self.learning = [stage.training for stage in self.stages]
        self.stages[1].located = self.told
        return [self.answer]


@pytest.mark.parametrize(("loss", "weight"), [("point", 0.0), ("wing", 0.25)])
def test_the_loss_is_the_error_over_the_eye_distance(loss: str, weight: float) -> None:
    """The mean of |S - GT| / the eyes' distance, in the crop; and maps that should say where points are."""
    rng = np.random.default_rng(0)
    truth, answer = rng.uniform(16, 48, (2, 3, POINTS, 2))
    truth[1, 2] = np.nan
    norm, maps = np.array([20.0, 31.0, 9.0]), rng.normal(size=(3, POINTS, 8, 8))
    module = Given(torch.from_numpy(answer).float(), torch.from_numpy(maps).float()).train()
    bank = SimpleNamespace(partial=None)
    config = replace(DAN.tiny().config, loss=loss, localisation=weight)
    task = training.StageTask(1, SimpleNamespace(bank=bank, partial_share=0.0), None, config)  # type: ignore[arg-type]
    batch = {"image": torch.zeros(3, 3, CROP, CROP), "points": torch.from_numpy(truth).float()}
    found = task.loss(module, {**batch, "norm": torch.from_numpy(norm).float()})
    off = np.linalg.norm(answer - truth, axis=2) / norm[:, None]
    wanted = np.nanmean(off if loss == "point" else hand.wing(off), 1).mean()
    if weight:
        matrix, shift = (part[0].numpy().astype(float) for part in module.frame)
        wanted += weight * np.mean(
            [hand_located(m, p @ matrix + shift) for m, p in zip(maps, truth, strict=True)]
        )
    assert found.item() == pytest.approx(wanted, rel=1e-4)
    assert module.learning == [False, True]  # the stage before rests


def hand_located(maps: np.ndarray, points: np.ndarray) -> float:
    """Cross entropy of maps (K, 8, 8) of a frame of 32 pixels with points, each shared by four cells."""
    costs = []
    for logits, (x, y) in zip(maps, (points + 0.5) / 4 - 0.5, strict=True):
        if np.isnan(x):
            continue
        log = np.log(hand.softmax(logits.ravel())).reshape(8, 8)
        left, top = int(x), int(y)
        u, v = x - left, y - top
        costs.append(
            -(1 - u) * (1 - v) * log[top, left]
            - u * (1 - v) * log[top, left + 1]
            - (1 - u) * v * log[top + 1, left]
            - u * v * log[top + 1, left + 1]
        )
    return float(np.mean(costs))


def test_each_stage_learns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 1, then stage 2 with the layer of its feature image, the first at rest."""
    learning: list[set[str]] = []

    class Looking:
        stopped = False

        def __init__(self, module: Any, *rest: Any) -> None:
            learns = {name for name, value in module.named_parameters() if value.requires_grad}
            learning.append({".".join(name.split(".")[:2]) for name in learns})

        def run(self, progress: Any) -> None:
            pass

    monkeypatch.setattr(training, "Trainer", Looking)
    faces = [synthetic.face(seed, 64) for seed in range(2)]
    training.fit(
        replace(DAN.tiny().config, use_features=True), np.full((68, 2), 0.5), markup("ibug68"), faces, None,
        seed=0, folder=None, initial=None, progress=lambda share, text: None,
    )  # fmt: skip
    assert learning == [{"stages.0"}, {"stages.1", "feature_images.0"}]

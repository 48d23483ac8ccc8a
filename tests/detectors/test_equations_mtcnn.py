"""MTCNN's equations by hand: networks, loss, what a batch holds, mirror images, kinds of windows, boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from numpy.lib.stride_tricks import sliding_window_view  # noqa: E402

from meanshape.methods.mtcnn import PRESETS, Config, cascade, training  # noqa: E402
from meanshape.methods.mtcnn import network as nets  # noqa: E402
from meanshape.methods.mtcnn.config import Recipe  # noqa: E402
from meanshape.methods.mtcnn.training import stage  # noqa: E402
from meanshape.methods.mtcnn.training.mining import sort_windows  # noqa: E402
from meanshape.methods.mtcnn.training.scenes import Scene  # noqa: E402
from meanshape.methods.mtcnn.training.windows import LANDMARK, NEGATIVE, PART, POSITIVE, Samples  # noqa: E402

KINDS = (NEGATIVE, POSITIVE, PART, LANDMARK)


# Networks


def convolved(maps: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    windows = sliding_window_view(maps, weight.shape[2:], axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def pooled(maps: np.ndarray, kernel: int) -> np.ndarray:
    """Caffe's: stride 2, the last windows hang over the edge."""
    high, wide = (-(-(side - kernel) // 2) + 1 for side in maps.shape[1:])
    return np.array(
        [
            [maps[:, 2 * y : 2 * y + kernel, 2 * x : 2 * x + kernel].max((1, 2)) for x in range(wide)]
            for y in range(high)
        ]
    ).transpose(2, 0, 1)


def leaky(maps: np.ndarray, slope: np.ndarray) -> np.ndarray:
    slope = slope.reshape(-1, *[1] * (maps.ndim - 1))
    return np.where(maps > 0, maps, slope * maps)


LAYERS: dict[type[Any], list[str]] = {
    nets.PNet: ["conv", "prelu", "pool2", "conv", "prelu", "conv", "prelu"],
    nets.RNet: [
        "conv",
        "prelu",
        "pool3",
        "conv",
        "prelu",
        "pool3",
        "conv",
        "prelu",
        "flat",
        "dense",
        "prelu",
    ],
    nets.ONet: [
        *("conv", "prelu", "pool3", "conv", "prelu", "pool3", "conv", "prelu", "pool2", "conv", "prelu"),
        *("flat", "dense", "drop", "prelu"),
    ],
}  # the paper's, in order


@pytest.mark.parametrize(("kind", "side"), [(nets.PNet, 17), (nets.RNet, 24), (nets.ONet, 48)])
def test_networks_are_the_papers(kind: type[Any], side: int) -> None:
    torch.manual_seed(0)
    net = kind().eval()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for value in net.parameters():
            drawn = rng.normal(0, 1, value.shape)
            value.copy_(torch.from_numpy(drawn / np.sqrt(np.prod(value.shape[1:]))) if value.ndim > 1 else
                        torch.from_numpy(0.2 * drawn))  # fmt: skip
        image = rng.uniform(0, 255, (3, side, side))
        found = [out[0].double().numpy() for out in net(torch.from_numpy(image[None]).float())]
    own = {name: value.double().numpy() for name, value in net.state_dict().items()}
    maps = (image - 127.5) / 128
    for n, layer in enumerate(LAYERS[kind]):
        weight, bias = own.get(f"trunk.{n}.weight"), own.get(f"trunk.{n}.bias")
        if layer == "conv":
            maps = convolved(maps, weight, bias)
        elif layer == "prelu":
            maps = leaky(maps, weight)
        elif layer.startswith("pool"):
            maps = pooled(maps, int(layer[-1]))
        elif layer == "flat":
            maps = maps.ravel()
        elif layer == "dense":
            maps = weight @ maps + bias
    for name, answer, count in zip(("face", "box", "points"), found, (2, 4, 10), strict=True):
        weight, bias = own[f"heads.{name}.weight"], own[f"heads.{name}.bias"]
        wanted = convolved(maps, weight, bias) if maps.ndim == 3 else weight @ maps + bias
        assert len(answer) == count and np.allclose(answer, wanted, atol=1e-3)


def test_the_loss_is_the_sum_of_alpha_beta_l() -> None:
    """Cross entropy of the hardest 70 % of faces and background, squares of boxes and of points."""
    rng = np.random.default_rng(1)
    kind = np.array([NEGATIVE] * 7 + [POSITIVE] * 3 + [PART] * 4 + [LANDMARK] * 5)
    logits, box, points = (rng.normal(0, 2, (19, n)) for n in (2, 4, 10))
    boxes, truth = rng.normal(0, 1, (19, 4)), rng.normal(0, 1, (19, 10))
    total, _ = nets.loss(
        tuple(torch.from_numpy(a) for a in (logits, box, points)), torch.from_numpy(kind),
        torch.from_numpy(boxes), torch.from_numpy(truth), alpha=(1.0, 0.5, 0.25), keep=0.7,
    )  # type: ignore[arg-type]  # fmt: skip
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropy = [-np.log(s[int(k == POSITIVE)]) for s, k in zip(shares, kind, strict=True) if k < PART]
    hard = np.mean(sorted(entropy)[-7:])
    of_box = np.mean([((box[n] - boxes[n]) ** 2).sum() for n in range(19) if kind[n] in (POSITIVE, PART)])
    of_points = np.mean([((points[n] - truth[n]) ** 2).sum() for n in range(19) if kind[n] == LANDMARK])
    assert total.item() == pytest.approx(hard + 0.5 * of_box + 0.25 * of_points)


# Batches


def pools() -> dict[int, Samples]:
    """Windows of each kind: each of one grey above; below, black on the left and white on the right."""
    rng, made = np.random.default_rng(2), {}
    for kind in KINDS:
        pixels = np.zeros((9, 12, 12, 3), np.uint8)
        pixels[:, :6] = (10 * np.arange(9) + 100 * (kind == LANDMARK) + 1)[:, None, None, None]
        pixels[:, 6:, 6:] = 255
        made[kind] = Samples(
            pixels,
            rng.normal(0, 0.3, (9, 4)).astype(np.float32),
            rng.uniform(0, 1, (9, 10)).astype(np.float32),
        )
    return made


def test_a_batch_holds_three_one_one_two() -> None:
    for counts, wanted in (
        (stage.shares(70), [30, 10, 10, 20]),
        (stage.shares(384), [164, 54, 54, 109]),
        (stage.shares(80, (1, 2, 4, 1)), [10, 20, 40, 10]),
    ):
        kinds = stage.batch(pools(), counts, np.random.default_rng(0), torch.Generator().manual_seed(0))[1]
        assert [int((kinds == kind).sum()) for kind in KINDS] == wanted


def test_mirrored_windows_have_mirrored_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """x -> 1 - x, eyes and corners of the mouth change places, and so do a box's left and right offsets."""
    monkeypatch.setattr(stage, "colour", lambda pixels, generator: pixels)
    pixels, kinds, boxes, points = (
        part.numpy()
        for part in stage.batch(
            pools(), stage.shares(70), np.random.default_rng(1), torch.Generator().manual_seed(1)
        )
    )
    flipped = pixels[:, 0, 9, 0] > 128
    assert 15 < flipped.sum() < 55
    for n, kind in enumerate(kinds):
        row = int(pixels[n, 0, 0, 0]) % 100 // 10
        box, flat = pools()[int(kind)].boxes[row], pools()[int(kind)].points[row]
        left, right = 0 + box[0], 1 + box[2]  # of the face, in windows
        five = flat.reshape(2, 5).T
        if flipped[n]:
            left, right = 1 - right, 1 - left
            five = (five * (-1, 1) + (1, 0))[[1, 0, 2, 4, 3]]
        assert np.allclose(boxes[n], [left, box[1], right - 1, box[3]], atol=1e-6)
        assert np.allclose(points[n], five.T.ravel(), atol=1e-6)


def test_points_weigh_more_in_o_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    def learn(
        net: Any, pools: Any, recipe: Recipe, loss: Any, *, alpha: Any, counts: Any, **rest: Any
    ) -> None:
        asked.append((type(net).__name__, alpha, [*counts.values()]))

    monkeypatch.setattr(training, "gather", lambda samples: None)
    monkeypatch.setattr(training, "_pools", lambda *given: {})
    monkeypatch.setattr(training, "train_stage", learn)
    monkeypatch.setattr(training, "nets", SimpleNamespace(**{**vars(nets), "export": lambda net, path: None}))
    training.train([], None, tmp_path / "paper", PRESETS["paper"], 0, lambda share, text: None)
    config = replace(Config(), recipe=replace(Recipe(), again=0))
    training.train([], None, tmp_path / "ours", config, 0, lambda share, text: None)
    assert asked == [
        ("PNet", (1.0, 0.5, 0.5), [164, 54, 54, 109]),
        ("RNet", (1.0, 0.5, 0.5), [164, 54, 54, 109]),
        ("ONet", (1.0, 0.5, 1.0), [164, 54, 54, 109]),
        ("PNet", (1.0, 1.0, 0.5), [192, 64, 64, 128]),
        ("RNet", (1.0, 1.0, 0.5), [192, 64, 64, 128]),
        ("ONet", (1.0, 2.0, 4.0), [35, 17, 17, 88]),
    ]


def test_windows_are_sorted_by_their_overlap() -> None:
    """Below 0.3 background, 0.4 to 0.65 a part, from 0.65 a face; between 0.3 and 0.4 of no use."""
    face = np.array([[0.0, 0, 100, 100]])
    overlaps = np.array([0.1, 0.29, 0.31, 0.39, 0.41, 0.64, 0.66, 0.95])
    by = 100 * (1 - overlaps) / (1 + overlaps)  # IoU of a square shifted by d: (100 - d) / (100 + d)
    windows = face + np.stack([by, 0 * by, by, 0 * by], 1)
    scene = Scene(np.zeros((9, 9, 3), np.uint8), face, np.zeros((1, 5, 2)))
    kinds, _ = sort_windows(windows, scene, complete=True)
    assert kinds.tolist() == [NEGATIVE, NEGATIVE, -1, -1, PART, PART, POSITIVE, POSITIVE]


# Boxes


def test_squares_offsets_and_points_by_hand() -> None:
    boxes = np.array([[10.0, 20, 30, 60]])
    assert cascade.square(boxes).tolist() == [[0, 20, 40, 60]]
    squares = np.array([[10.0, 20, 50, 60]])
    offsets = np.array([[0.1, -0.1, 0.2, 0.0]], np.float32)
    flat = np.array([[0.1, 0.9, 0.5, 0.2, 0.8, 0.3, 0.35, 0.5, 0.7, 0.75]], np.float32)
    found, points = cascade.decode(squares, offsets, flat)
    assert found[0].tolist() == pytest.approx([14, 16, 58, 60])
    assert points[0] == pytest.approx(np.array([[14, 32], [46, 34], [30, 40], [18, 48], [42, 50]]))


def test_a_box_within_a_better_one_is_the_same_face() -> None:
    """Intersection over the smaller, beside intersection over union."""
    boxes = np.array([[0.0, 0, 100, 100], [30, 30, 60, 60], [200, 0, 300, 100], [240, 0, 340, 100]])
    scores = np.array([0.9, 0.95, 0.8, 0.7])
    assert cascade.suppress(boxes, scores, 0.5, inside=0.7).tolist() == [1, 2, 3]
    assert cascade.suppress(boxes, scores, 0.4, inside=0.7).tolist() == [1, 2]

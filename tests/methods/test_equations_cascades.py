"""The cascades of Sun 2013 and Zhou 2013 in numpy, on random weights: networks, crops, levels, losses."""

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
from meanshape.methods.dcnn import DCNN  # noqa: E402
from meanshape.methods.dcnn import network as dcnn  # noqa: E402
from meanshape.methods.dcnn import training as dcnn_training  # noqa: E402
from meanshape.methods.facepp import FacePP  # noqa: E402
from meanshape.methods.facepp import training as facepp_training  # noqa: E402

# Sun 2013

CROP, BOXES = 64, 1.4
SIDE, START = CROP / BOXES, (CROP - 1) / 2 - CROP / BOXES / 2  # of the box, pixels of the crop
MEAN = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
KERNELS = (4, 3, 3, 2)
SEEN = (  # of the box (left, top, right, bottom), on how many pixels, which points, with what grids
    ((-0.05, -0.05, 1.05, 1.05), (39, 39), (0, 1, 2, 3, 4), ((2, 2), (2, 2), (3, 3), (2, 2))),
    ((-0.05, -0.04, 1.05, 0.84), (39, 31), (0, 1, 2), ((1, 1), (2, 2), (2, 3), (1, 2))),
    ((-0.05, 0.18, 1.05, 1.05), (39, 31), (2, 3, 4), ((1, 1), (2, 2), (2, 3), (1, 2))),
)


@pytest.fixture(scope="module")
def module() -> Any:
    made = dcnn.DCNNNet(
        torch.from_numpy(MEAN), crop_size=CROP, crop_scale=BOXES, maps=(2, 3, 4, 5), hidden=(7, 6),
        patch_maps=(2, 3), patch_hidden=4,
    )  # fmt: skip
    return hand.scrambled(made, 21)


def picture(seed: int = 1) -> np.ndarray:
    """A smooth random picture (3, CROP, CROP)."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (3, 9, 9))
    y, x = np.mgrid[:CROP, :CROP] / (CROP - 1) * 8
    return hand.bilinear(coarse, x, y)


def standardised(patch: np.ndarray) -> np.ndarray:
    return (patch - patch.mean()) / np.sqrt(patch.var() + 1)


def rectified(maps: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return gain * np.abs(np.tanh(maps))


def narrowed(maps: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The maximum of each 2 x 2 block, gain, bias, tanh."""
    return np.tanh(weights["gain"] * hand.pooled(maps) + weights["bias"])


def locally(maps: np.ndarray, weight: np.ndarray, bias: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Each place of the output by the weights of the block that it lies in."""
    every = [hand.convolution(maps, w, b) for w, b in zip(weight, bias, strict=True)]
    high, wide = every[0].shape[1:]
    found = np.empty_like(every[0])
    for y in range(high):
        for x in range(wide):
            block = y * grid[0] // high * grid[1] + x * grid[1] // wide
            found[:, y, x] = every[block][:, y, x]
    return found


def face_net(weights: dict[str, np.ndarray], patch: np.ndarray, grids: Any) -> np.ndarray:
    """Four locally shared convolutions with |tanh|, pools between; a dense layer with tanh, a linear one."""
    maps, layer = patch, 0
    for number, grid in enumerate(grids):
        own = hand.part(weights, f"layers.{layer}")
        maps = locally(maps, own["weight"], own["bias"], grid)
        maps, layer = rectified(maps, weights[f"layers.{layer + 1}.gain"]), layer + 2
        if number < 3:
            maps, layer = narrowed(maps, hand.part(weights, f"layers.{layer}")), layer + 1
    hidden = np.tanh(hand.linear(maps.ravel(), weights, "hidden"))
    return hand.linear(hidden, weights, "output").reshape(-1, 2)


def point_net(weights: dict[str, np.ndarray], number: int, patch: np.ndarray) -> np.ndarray:
    """Network `number` of ten: two convolutions with |tanh| and pools, dense with tanh, linear."""
    maps = patch
    for layer, count in ((0, 2), (3, 3)):
        own = slice(count * number, count * (number + 1))
        maps = hand.convolution(
            maps, weights[f"layers.{layer}.weight"][own], weights[f"layers.{layer}.bias"][own]
        )
        maps = rectified(maps, weights[f"layers.{layer + 1}.gain"][own])
        maps = narrowed(maps, {k: v[own] for k, v in hand.part(weights, f"layers.{layer + 2}").items()})
    hidden = np.tanh(maps.ravel() @ weights["hidden"][number] + weights["hidden_bias"][number, 0])
    return hidden @ weights["output"][number] + weights["output_bias"][number, 0]


def level_1(weights: dict[str, np.ndarray], light: np.ndarray) -> list[np.ndarray]:
    """What F1, EN1 and NM1 answer: moves in tenths of the box about the mean points."""
    half, answers = hand.means(light, 2), []
    for n, ((left, top, right, bottom), (wide, high), points, grids) in enumerate(SEEN):
        x = START + SIDE * (left + (right - left) * (np.arange(wide) + 0.5) / wide)
        y = START + SIDE * (top + (bottom - top) * (np.arange(high) + 0.5) / high)
        across, down = np.meshgrid((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5)
        patch = standardised(hand.bilinear(half, across, down))
        moves = face_net(hand.part(weights, f"faces.{n}"), patch, grids)
        answers.append((MEAN[list(points)] - 0.5) * SIDE + (CROP - 1) / 2 + 0.1 * SIDE * moves)
    return answers


def pair(
    weights: dict[str, np.ndarray], level: int, light: np.ndarray, n: int, point: np.ndarray
) -> np.ndarray:
    """The offsets (2, 2) of a point's two networks, in half sides of their own patch."""
    halves, found = ((0.16, 0.18), (0.11, 0.12))[level - 2], []
    for which, half in enumerate(halves):
        line = half * SIDE * ((np.arange(15) + 0.5) / 7.5 - 1)
        across, down = np.meshgrid(point[0] + line, point[1] + line)
        patch = standardised(hand.bilinear(light, across, down))
        found.append(half * SIDE * point_net(hand.part(weights, f"levels.{level - 2}"), 2 * n + which, patch))
    return np.array(found)


def sun(weights: dict[str, np.ndarray], image: np.ndarray) -> list[np.ndarray]:
    """x = mean(level 1) + mean(dx of level 2) + mean(dx of level 3)."""
    light = hand.grey(image)
    face, upper, lower = level_1(weights, light)
    points = np.array(
        [
            (face[0] + upper[0]) / 2,
            (face[1] + upper[1]) / 2,
            (face[2] + upper[2] + lower[0]) / 3,
            (face[3] + lower[1]) / 2,
            (face[4] + lower[2]) / 2,
        ]
    )
    found = [points]
    for level in (2, 3):
        points = np.stack([p + pair(weights, level, light, n, p).mean(0) for n, p in enumerate(points)])
        found.append(points)
    return found


def test_sun_s_cascade_is_that_of_the_equations(module: Any) -> None:
    images = np.stack([picture(seed) for seed in (1, 2)])
    with torch.no_grad():
        found = module(torch.from_numpy(images).float())
    weights = hand.weights_of(module)
    for n, image in enumerate(images):
        for ours, theirs in zip(found, sun(weights, image), strict=True):
            assert np.abs(ours[n].double().numpy() - theirs).max() < 2e-3


def test_sun_s_levels_learn_their_own_networks_beside_the_points(module: Any) -> None:
    """Level 2: the squared error over the eyes' distance of each network, and twice of a pair's mean."""
    config = replace(DCNN.tiny().config, loss="squared")
    task = dcnn_training.LevelTask(2, SimpleNamespace(), None, config)  # type: ignore[arg-type]
    rng, image = np.random.default_rng(3), picture(5)
    truth, noise = (MEAN - 0.5) * SIDE + 31.5 + rng.normal(0, 2, (5, 2)), rng.normal(0, 0.05, (2, 5, 2))
    batch = {"image": image[None], "points": truth[None], "noise": noise[:, None]}
    with torch.no_grad():
        found = task.loss(module, {k: torch.from_numpy(v).float() for k, v in batch.items()}).item()
    weights, light, costs = hand.weights_of(module), hand.grey(image), []
    for off in noise:
        start = sun(weights, image)[0] + off * SIDE
        each = np.stack([p + pair(weights, 2, light, n, p) for n, p in enumerate(start)])
        for answer, times in ((each[:, 0], 1), (each[:, 1], 1), (each.mean(1), 2)):
            costs += [(0.5 * (((answer - truth) / (0.47 * SIDE)) ** 2).sum(1)).mean()] * times
    assert found == pytest.approx(np.mean(costs), rel=1e-3)


# Zhou 2013


@pytest.fixture(scope="module")
def zhou(mean_face: np.ndarray) -> Any:
    config = replace(
        FacePP.tiny().config, crop_size=64, box_widths=(2, 3), box_features=4, whole_widths=(2, 3),
        whole_features=5, part_widths=(2, 3), part_features=4,
    )  # fmt: skip
    built = facepp_training.build(config, mean_face - 0.5, markup("ibug68"))
    means = {name: value.clone() for name, value in built.state_dict().items() if "mean" in name}
    hand.scrambled(built, 31)
    with torch.no_grad():
        for name, value in built.state_dict().items():
            if name in means and "running" not in name:
                value.copy_(means[name])
            if name == "corners":
                value.copy_(torch.from_numpy(corners(mean_face)))
    return built, config


def corners(mean_face: np.ndarray) -> np.ndarray:
    """Mean boxes (2, 2, 2) of inner points and contour, in sides of the crop about its middle."""
    shape = (mean_face - 0.5) / FacePP.tiny().config.crop_scale
    return np.array([[part.min(0), part.max(0)] for part in (shape[17:], shape[:17])])


def conv_net(weights: dict[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    """Pairs of conv - BN - ReLU with pools, a dense layer with BN and ReLU, a linear one."""
    layer = 0
    for _ in range(2):
        for _ in range(2):
            maps = hand.convolution(maps, weights[f"trunk.{layer}.weight"], pad=1)
            maps, layer = hand.relu(hand.norm(maps, weights, f"trunk.{layer + 1}")), layer + 3
        maps, layer = hand.pooled(maps), layer + 1
    hidden = hand.relu(hand.norm(hand.linear(maps.ravel(), weights, "dense.0"), weights, "dense.1"))
    return hand.linear(hidden, weights, "output").reshape(-1, 2)


def shown(image: np.ndarray, matrix: np.ndarray, middle: np.ndarray, size: int, ratio: int = 1) -> np.ndarray:
    """A frame whose place u, in sides about its middle, lies at A u + c of the crop."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    places = np.stack([x, y], -1) @ matrix.T + middle
    places = (places + 0.5) / ratio - 0.5
    return (hand.bilinear(hand.means(image, ratio), places[..., 0], places[..., 1]) - 127.5) / 64


def test_zhou_s_cascade_is_that_of_the_equations(zhou: Any, mean_face: np.ndarray) -> None:
    """Boxes; all points in them; the parts in upright frames; the parts again, turned as they lie."""
    (built, config), image = zhou, picture(8)
    with torch.no_grad():
        found = [a[0].double().numpy() for a in built(torch.from_numpy(image[None]).float())]
    weights, kind = hand.weights_of(built), markup("ibug68")
    small = (hand.means(image, 64 // config.box_size) - 127.5) / 64
    boxes = [
        (mean + 0.1 * conv_net(hand.part(weights, f"boxes.{n}"), small)) * 64 + 31.5
        for n, mean in enumerate(corners(mean_face))
    ]
    assert np.abs(found[0] - boxes).max() < 2e-3
    points = np.empty((68, 2))
    for n, (chosen, box) in enumerate(zip((np.arange(17, 68), np.arange(17)), boxes, strict=True)):
        side = facepp_training.MARGIN * np.sqrt(((box[1] - box[0]) ** 2).mean())
        moves = conv_net(
            hand.part(weights, f"wholes.{n}"),
            shown(image, side * np.eye(2), box.mean(0), config.whole_size, 2),
        )
        points[chosen] = side * (weights[f"whole_mean{n}"] + 0.1 * moves) + box.mean(0)
    assert np.abs(found[1] - points).max() < 2e-3
    parts = [
        ("right_brow", 0),
        ("left_brow", 0),
        ("right_eye", 1),
        ("left_eye", 1),
        ("nose", 2),
        ("mouth", 3),
    ]
    for level, nets in ((3, "straight"), (4, "upright")):
        before, points = points, points.copy()
        for name, net in parts:
            mirrored = name.startswith("left")
            indices = kind.groups[name.replace("left", "right")]
            indices = [kind.mirror[i] for i in indices] if mirrored else list(indices)
            mean, own = weights[f"part_mean{net}"], before[indices]
            flip = np.diag([-1.0 if mirrored else 1.0, 1.0])
            if level == 3:
                middle = own.mean(0)
                radius = np.sqrt(((own - middle) ** 2).sum(1).mean())
                matrix = facepp_training.REACH * radius * flip
            else:  # the inverse of the similarity that takes the part, mirrored or not, to its mean points
                forward, shift = hand.similarity(own @ flip, mean)
                matrix = flip @ np.linalg.inv(forward)
                middle = -matrix @ shift
            moves = conv_net(
                hand.part(weights, f"{nets}.{net}"), shown(image, matrix, middle, config.part_size)
            )
            points[indices] = (mean + 0.1 * moves) @ matrix.T + middle
        assert np.abs(found[level - 1] - points).max() < 2e-3, level


def test_level_1_of_zhou_learns_the_tight_boxes_of_the_points() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (3, 9, 2))
    points[1, 4] = np.nan
    found = facepp_training.corners_of(torch.from_numpy(points)).numpy()
    assert np.allclose(found, np.stack([np.nanmin(points, 1), np.nanmax(points, 1)], 1))

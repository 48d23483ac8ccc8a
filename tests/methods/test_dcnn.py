"""DCNN: its crops, its locally shared weights, both ways of running it, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core import config  # noqa: E402
from meanshape.core.box import Box  # noqa: E402
from meanshape.core.errors import ConfigError, MarkUpError  # noqa: E402
from meanshape.core.markup import markup  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets import cnn_facepoint  # noqa: E402
from meanshape.datasets.synthetic import face  # noqa: E402
from meanshape.methods.dcnn import DCNN, PRESETS, Config  # noqa: E402
from meanshape.methods.dcnn import network as nets  # noqa: E402
from meanshape.methods.dcnn import training as dcnn_training  # noqa: E402
from meanshape.methods.dcnn.config import BOX  # noqa: E402
from meanshape.training import layers as blocks  # noqa: E402

QUICK = {"steps": "6,3,2", "warmup": "2", "batch": "6"}


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [face(seed, 96) for seed in range(8)]


def quick(faces: list[Sample], seed: int = 0, **settings: str) -> DCNN:
    torch.set_num_threads(1)
    return DCNN(config.override(DCNN.tiny().config, QUICK | settings)).fit(faces, seed=seed)


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> DCNN:
    return quick(faces)


@pytest.fixture(scope="module")
def module() -> nets.DCNNNet:
    return nets.DCNNNet(torch.full((5, 2), 0.5), crop_size=96, crop_scale=1.4)


def dot(x: float, y: float, size: int = 96) -> torch.Tensor:
    """A soft dot (1, 1, size, size) at a place."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / 8)[None, None]


def centroid(patch: torch.Tensor) -> tuple[float, float]:
    """Centre of mass of a patch (h, w)."""
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in patch.shape), indexing="ij")
    return float((patch * x).sum() / patch.sum()), float((patch * y).sum() / patch.sum())


# Geometry


def test_the_boxes_of_the_set_come_back() -> None:
    """A square box of the set, brought to the canonical one by the set's card, is where crops begin."""
    own = Box(31, 40, 131, 140)
    assert tuple(cnn_facepoint.card.box) == BOX
    square = DCNN().square(own.part(cnn_facepoint.card.box))
    assert square.as_list() == pytest.approx(own.as_list())


@pytest.mark.parametrize("net", [0, 1, 2])
def test_a_dot_is_where_the_crops_of_level_1_say(module: nets.DCNNNet, net: int) -> None:
    (left, top, right, bottom), (width, height), _ = nets.FACES[net]
    for fx, fy in ((0.3, 0.4), (0.5, 0.6), (0.8, 0.75)):
        x, y = (48 - 0.5 + module.side * (f - 0.5) for f in (fx, fy))
        half = torch.nn.functional.avg_pool2d(dot(x, y), 2)
        patch = blocks.sample_bilinear(half, (module.rasters[net][None] + 0.5) / 2 - 0.5)[0, 0]
        assert patch.shape == (height, width)
        seen = centroid(patch)
        assert seen[0] == pytest.approx((fx - left) / (right - left) * width - 0.5, abs=0.1)
        assert seen[1] == pytest.approx((fy - top) / (bottom - top) * height - 0.5, abs=0.1)


@pytest.mark.parametrize("level", [2, 3])
def test_a_dot_is_where_the_patches_say(module: nets.DCNNNet, level: int) -> None:
    points = torch.tensor([[30.0, 33], [62, 31], [47, 50], [35, 70], [60, 68]])
    for number, (x, y) in enumerate(points.tolist()):
        seen = module.see_patches(level, dot(x + 3, y - 2), points[None])
        assert seen.shape == (1, 10, 1, 15, 15)
        for which, half in enumerate(nets.HALVES[level - 2]):
            pixel = 2 * half * module.side / 15
            found = centroid(seen[0, 2 * number + which, 0])
            assert found == pytest.approx((7 + 3 / pixel, 7 - 2 / pixel), abs=0.15)


def test_offsets_are_in_half_sides_of_their_own_patch(module: nets.DCNNNet) -> None:
    with torch.no_grad():
        for net in module.levels:
            net.output.zero_()
            net.output_bias.copy_(torch.tensor([0.5, -0.25]))
    for level, halves in ((2, (0.16, 0.18)), (3, (0.11, 0.12))):
        moves = module.point_offsets(level, dot(40, 40), torch.full((1, 5, 2), 40.0))[0]
        for which, half in enumerate(halves):
            wanted = torch.tensor([0.5, -0.25]) * half * module.side
            assert torch.allclose(moves[:, which], wanted.expand(5, 2), atol=1e-4)


def test_level_1_averages_where_networks_overlap() -> None:
    whole, upper, lower = torch.zeros(1, 5, 2), torch.full((1, 3, 2), 6.0), torch.full((1, 3, 2), 12.0)
    assert nets.fused([whole, upper, lower])[0, :, 0].tolist() == [3, 3, 6, 6, 6]


# Networks


def test_the_networks_have_the_papers_sizes(module: nets.DCNNNet) -> None:
    counted = [sum(p.numel() for n, p in net.named_parameters() if "gain" not in n) for net in module.faces]
    assert counted == pytest.approx([342e3, 215e3, 215e3], rel=0.005)
    assert sum(p.numel() for p in module.levels[0].parameters()) == pytest.approx(174e3, rel=0.02)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(1.12e6, rel=0.01)
    assert PRESETS["paper"].maps == (20, 40, 60, 80) and PRESETS["paper"].local


def test_a_locally_shared_convolution_with_equal_blocks_is_a_convolution() -> None:
    torch.manual_seed(0)
    layer = blocks.LocalConv2d(3, 5, 3, (6, 8), (2, 4))
    image = torch.randn(2, 3, 8, 10)
    with torch.no_grad():
        layer.weight[1:] = layer.weight[0]
        layer.bias.copy_(torch.randn(5).expand(8, 5))
        plain = torch.nn.functional.conv2d(image, layer.weight[0], layer.bias[0])
        assert torch.allclose(layer(image), plain, atol=1e-5)
        layer.bias[5] += 1  # the second row's second block
    moved = (layer(image) - plain).abs().amax((0, 1)) > 0.5
    wanted = torch.zeros(6, 8, dtype=torch.bool)
    wanted[3:6, 2:4] = True
    assert torch.equal(moved, wanted)


def test_a_grid_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="blocks"):
        blocks.LocalConv2d(1, 1, 3, (6, 8), (4, 2))


def test_the_networks_of_a_point_do_not_see_the_others() -> None:
    torch.manual_seed(1)
    net = nets.PointNets(1, (4, 8), 6)
    patches = torch.randn(1, 10, 1, 15, 15)
    before = net(patches)
    patches[:, 3] += torch.randn(15, 15)
    moved = (net(patches) - before).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [n == 3 for n in range(10)]


# The model


def test_torch_and_onnx_agree_at_any_batch(fitted: DCNN, tmp_path: Path, network: Any, by_torch: Any) -> None:
    loaded = DCNN.load(fitted.save(tmp_path / "model"))
    rng, size = np.random.default_rng(0), fitted.config.crop_size
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
        for level, points in enumerate(by_torch(network(fitted), crops), 1):
            difference = np.abs(loaded._run(crops, levels=level)[0][:, -1] - points)
            assert difference.shape == (batch, 5, 2) and difference.max() < 0.05


def test_each_level_is_another_answer(fitted: DCNN, faces: list[Sample]) -> None:
    sample = faces[0]
    answers = [fitted.predict(sample.image, sample.box, levels=level).points for level in (1, 2, 3)]
    assert np.array_equal(answers[2], fitted.predict(sample.image, sample.box).points)
    assert not np.allclose(answers[0], answers[1]) and not np.allclose(answers[1], answers[2])
    with pytest.raises(ConfigError, match="3 levels"):
        fitted.predict(sample.image, sample.box, levels=4)


def test_another_seed_gives_other_networks(fitted: DCNN, faces: list[Sample]) -> None:
    points = [model.predict(faces[0].image, faces[0].box).points for model in (fitted, quick(faces, seed=7))]
    assert not np.array_equal(*points)


def test_a_batch_of_one(faces: list[Sample]) -> None:
    model = quick(faces[:1], batch="1")
    assert np.isfinite(model.predict(faces[0].image, faces[0].box).points).all()


def test_labels_outside_the_picture_and_missing_ones(faces: list[Sample]) -> None:
    far = np.add(faces[0].shape.to("mtfl5").points, (500, 0))
    gone = np.where(np.arange(5)[:, None] == 2, np.nan, faces[1].shape.to("mtfl5").points)
    odd = [
        replace(sample, shape=Shape(points, "mtfl5"))
        for sample, points in zip(faces, (far, gone), strict=False)
    ]
    five = [replace(sample, shape=sample.shape.to("mtfl5")) for sample in faces[2:]]
    model = quick(odd + five)
    assert np.isfinite(model.predict(faces[3].image, faces[3].box).points).all()


def test_the_loss_of_a_level_is_of_its_own_networks(faces: list[Sample], network: Any) -> None:
    """Training level 3 alone leaves levels 1 and 2 as they were initialised."""
    one, two = (network(quick(faces, steps=steps)) for steps in ("0,0,1", "0,0,2"))
    for name, value in one.named_parameters():
        assert torch.equal(value, two.get_parameter(name)) != name.startswith("levels.1"), name


@pytest.mark.parametrize(
    "settings", [{"channels": "2"}, {"loss": "cubic"}, {"crop_size": "95"}, {"augment": "wild"}]
)
def test_settings_that_cannot_be(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.override(Config(), settings)


def test_points_that_cannot_give_the_five(faces: list[Sample]) -> None:
    kind = markup("put30")
    odd = [replace(faces[0], shape=Shape(np.random.default_rng(0).random((len(kind), 2)), kind))]
    with pytest.raises(MarkUpError):
        quick(odd)


def test_validation_tells_each_point(faces: list[Sample], fitted: DCNN, network: Any) -> None:
    samples = fitted._prepared(faces, fitted.markup)
    bank = dcnn_training.CropBank(samples, fitted.markup, face=80, reach=2.0)
    sampler = dcnn_training.CropSampler(bank, 48, 1.4, 4, fitted.config.augmentation)
    found = dcnn_training.LevelTask(1, sampler, bank, fitted.config).validate(network(fitted))
    assert found["error"] == pytest.approx(np.mean([found[f"point{i}"] for i in range(5)]))
    model = [fitted.predict(s.image, s.box, levels=1).points for s in faces]
    errors = [
        np.linalg.norm(points - s.shape.points, axis=1).mean() / s.box.width
        for points, s in zip(model, samples, strict=True)
    ]
    assert found["error"] == pytest.approx(100 * np.mean(errors), rel=0.05)

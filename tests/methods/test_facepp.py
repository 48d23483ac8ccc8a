"""FacePP: frames and crops, branches and parts, both ways of running it, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core import config  # noqa: E402
from meanshape.core.errors import ConfigError, ShapeError  # noqa: E402
from meanshape.core.markup import markup  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets.synthetic import face  # noqa: E402
from meanshape.methods.dan.network import similarity  # noqa: E402
from meanshape.methods.facepp import (  # noqa: E402
    Config,
    FacePP,
    training,
)
from meanshape.methods.facepp import network as nets  # noqa: E402

QUICK = {"steps": "4,4,3,2", "warmup": "2", "batch": "6"}


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [face(seed, 96) for seed in range(8)]


def quick(faces: list[Sample], seed: int = 0, **settings: str) -> FacePP:
    torch.set_num_threads(1)
    return FacePP(config.override(FacePP.tiny().config, QUICK | settings)).fit(faces, seed=seed)


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> FacePP:
    return quick(faces)


@pytest.fixture(scope="module")
def shape(faces: list[Sample]) -> torch.Tensor:
    """A face's points (1, 68, 2), relative to the middle of its box, in boxes."""
    sample = faces[0]
    return torch.from_numpy((sample.shape.points - sample.box.center) / sample.box.size)[None].float()


@pytest.fixture(scope="module")
def module(shape: torch.Tensor) -> nets.FacePPNet:
    torch.manual_seed(0)
    return training.build(Config(), shape[0].double().numpy(), markup("ibug68")).eval()


def dot(x: float, y: float, size: int = 128) -> torch.Tensor:
    """A soft dot (1, 1, size, size) at a place."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / 8)[None, None]


def centroid(patch: torch.Tensor) -> torch.Tensor:
    """Centre of mass of a square patch (S, S), in sides about its middle."""
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in patch.shape), indexing="ij")
    total = patch.sum()
    return (torch.stack([(patch * x).sum(), (patch * y).sum()]) / total + 0.5) / patch.shape[0] - 0.5


def turned(shape: torch.Tensor, degrees: float) -> torch.Tensor:
    angle = torch.tensor(np.radians(degrees), dtype=torch.float32)
    c, s = torch.cos(angle), torch.sin(angle)
    return shape @ torch.stack([torch.stack([c, s]), torch.stack([-s, c])])


def outside(place: torch.Tensor, frames: nets.Frames, number: int) -> list[float]:
    """Where a place (2,) of a frame lies in the picture."""
    still = [torch.zeros(1, 1, 2)] * frames[0].shape[1]
    found: list[float] = nets.placed(still, [place[None]] * len(still), frames)[0, number].tolist()
    return found


# Geometry


@pytest.mark.parametrize("branch", [0, 1])
def test_a_dot_is_where_the_crop_of_level_2_says(module: nets.FacePPNet, branch: int) -> None:
    corners = torch.tensor([[[30.0, 34.0], [92.0, 96.0]]])
    frames = module.box_frames(torch.stack([corners, corners + 3], 1))
    for x, y in ((40.0, 50.0), (66.0, 63.0), (85.0, 90.0)):
        half = torch.nn.functional.avg_pool2d(dot(x, y), 2)
        seen = nets.see_frames(half, frames, module.whole_size, 2)[0, branch, 0]
        assert outside(centroid(seen), frames, branch) == pytest.approx([x, y], abs=0.15)


def test_the_frame_of_a_box_is_a_square_about_it(module: nets.FacePPNet) -> None:
    matrix, centre = module.box_frames(torch.tensor([[[[10.0, 20.0], [50.0, 60.0]]]]))
    assert centre.flatten().tolist() == [30, 40]
    assert torch.allclose(matrix[0, 0], torch.eye(2) * 40 * module.margin)


@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("angle", [0, 25])
def test_a_dot_is_where_the_crop_of_a_part_says(
    module: nets.FacePPNet, shape: torch.Tensor, level: int, angle: float
) -> None:
    placed = turned(shape, angle) / 1.5 * 128 + 63.5
    frames = module.part_frames(level, placed)
    for number, part in enumerate(module.parts):
        x, y = (placed[0, list(part.indices)].mean(0) + torch.tensor([3.0, -2.0])).tolist()
        seen = nets.see_frames(dot(x, y), frames, module.part_size)[0, number, 0]
        assert outside(centroid(seen), frames, number) == pytest.approx([x, y], abs=0.25), part.name


def test_level_4_sees_parts_upright(module: nets.FacePPNet, shape: torch.Tensor) -> None:
    """A turned face's parts lie in their frames as those of the upright one do; at level 3 they do not."""
    for level, same in ((4, True), (3, False)):
        shapes = [turned(shape, angle) * 80 + 60 for angle in (0, 30)]
        inside = [seen_points(module, level, each) for each in shapes]
        for part in module.parts:
            assert torch.allclose(inside[0][part.name], inside[1][part.name], atol=1e-3) == same


def test_the_frame_of_level_4_is_the_similarity_to_the_mean_points(
    module: nets.FacePPNet, shape: torch.Tensor
) -> None:
    bent = turned(shape, 20) * 80 + 60 + torch.sin(torch.arange(136.0)).reshape(68, 2)
    for part, inside in zip(module.parts, seen_points(module, 4, bent).values(), strict=True):
        points = bent[:, list(part.indices)] * torch.tensor(part.sign)
        matrix, shift = similarity(points, module.mean_of("part", part.net))
        assert torch.allclose(inside, points @ matrix + shift, atol=1e-4), part.name


def seen_points(module: nets.FacePPNet, level: int, shape: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each part's points (1, k, 2) in its frame."""
    matrices, middles = module.part_frames(level, shape)
    return {
        part.name: training.into(shape[:, list(part.indices)], (matrices[:, n], middles[:, n]))
        for n, part in enumerate(module.parts)
    }


def test_a_left_eye_is_seen_as_a_right_one(module: nets.FacePPNet, shape: torch.Tensor) -> None:
    kind = markup("ibug68")
    mirrored = (shape * torch.tensor([-1.0, 1.0]))[:, list(kind.mirror)]
    parts = {part.name: part for part in module.parts}
    for level in (3, 4):
        left, right = seen_points(module, level, mirrored), seen_points(module, level, shape)
        for name in ("eye", "brow"):
            assert parts[f"left_{name}"].net == parts[f"right_{name}"].net
            assert parts[f"left_{name}"].mirrored and not parts[f"right_{name}"].mirrored
            assert torch.allclose(left[f"left_{name}"], right[f"right_{name}"], atol=1e-3)


def test_a_frame_is_moved_by_what_is_said(module: nets.FacePPNet) -> None:
    frames = module.box_frames(torch.tensor([[[[10.0, 20.0], [50.0, 60.0]]]]))
    side = float(frames[0][0, 0, 0, 0])
    noise = torch.tensor([[[0.1, -0.2, np.log(1.5), np.pi / 2]]], dtype=torch.float32)
    matrix, centre = training.moved(frames, noise)
    assert centre.flatten().tolist() == pytest.approx([30 + 0.1 * side, 40 - 0.2 * side])
    assert torch.allclose(matrix[0, 0], 1.5 * side * torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), atol=1e-3)


def test_mean_points_in_perfect_crops_are_the_mean_shape(module: nets.FacePPNet, shape: torch.Tensor) -> None:
    """With networks that say nothing, each level answers the mean shape of what it was given."""
    placed = shape / 1.5 * 128 + 63.5
    image = torch.zeros(1, 3, 128, 128)
    quiet = training.build(Config(), shape[0].double().numpy(), markup("ibug68")).eval()
    for net in quiet.modules():
        if isinstance(net, nets.ConvNet):
            torch.nn.init.zeros_(net.output.weight)
    boxes, *shapes = quiet(image)
    for number, branch in enumerate(quiet.branches):
        points = placed[0, list(branch)]
        assert torch.allclose(boxes[0, number], torch.stack([points.amin(0), points.amax(0)]), atol=1e-3)
    for found in shapes:
        assert torch.allclose(found[:, :17], placed[:, :17], atol=0.01)  # the contour stops at level 2
    assert torch.allclose(shapes[0], placed, atol=0.01)
    for part in quiet.parts:
        if not part.mirrored:  # a turned head's left eye is not the mirror image of its right one
            chosen = list(part.indices)
            assert torch.allclose(shapes[2][:, chosen], placed[:, chosen], atol=0.02), part.name


# Branches and parts


def test_every_inner_point_has_one_part(module: nets.FacePPNet) -> None:
    assert sorted(i for part in module.parts for i in part.indices) == list(range(17, 68))
    assert [len(branch) for branch in module.branches] == [51, 17]
    assert len(module.straight) == 4 and len(module.parts) == 6


@pytest.mark.parametrize("settings", [{"use_boxes": "false"}, {"two_branches": "false"}, {"parts": "false"}])
def test_without_one_of_its_ideas_it_still_works(faces: list[Sample], settings: dict[str, str]) -> None:
    model = quick(faces, **settings)
    found = model.predict(faces[0].image, faces[0].box)
    assert np.isfinite(found.points).all()
    before = model.predict(faces[0].image, faces[0].box, levels=2)
    assert np.array_equal(found.points[:17], before.points[:17])
    assert not np.isclose(found.points[17:], before.points[17:]).all()


# The model


def test_torch_and_onnx_agree_at_any_batch(
    fitted: FacePP, tmp_path: Path, network: Any, by_torch: Any
) -> None:
    loaded = FacePP.load(fitted.save(tmp_path / "model"))
    size = fitted.config.crop_size
    rng = np.random.default_rng(0)
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
        for level in (2, 3, 4):
            points = by_torch(network(fitted), crops, levels=level)[-1]
            difference = np.abs(loaded._run(crops, levels=level)[0][:, -1] - points)
            assert difference.shape == (batch, 68, 2) and difference.max() < 0.1


def test_levels_that_give_no_points(fitted: FacePP, faces: list[Sample]) -> None:
    for level in (1, 5):
        with pytest.raises(ConfigError, match="levels 2 to 4"):
            fitted.predict(faces[0].image, faces[0].box, levels=level)


def test_another_seed_gives_other_networks(fitted: FacePP, faces: list[Sample]) -> None:
    points = [model.predict(faces[0].image, faces[0].box).points for model in (fitted, quick(faces, seed=7))]
    assert not np.array_equal(*points)


def test_a_batch_of_one_is_too_small_to_normalise(faces: list[Sample]) -> None:
    with pytest.raises(ConfigError, match="batch"):
        config.override(Config(), {"batch": "1"})
    assert np.isfinite(quick(faces[:1]).predict(faces[0].image, faces[0].box).points).all()


def test_labels_outside_the_picture_and_missing_ones(faces: list[Sample]) -> None:
    far = faces[0].shape.points + 300
    gone = np.where(np.isin(np.arange(68), markup("ibug68").groups["nose"])[:, None], np.nan, far - 300)
    odd = [replace(sample, shape=Shape(p)) for sample, p in zip(faces, (far, gone), strict=False)]
    model = quick(odd + faces[2:])
    assert np.isfinite(model.predict(faces[3].image, faces[3].box).points).all()


def test_five_points_are_not_enough(faces: list[Sample]) -> None:
    with pytest.raises(ShapeError, match="parts of ibug68"):
        FacePP.tiny().fit([replace(sample, shape=sample.shape.to("mtfl5")) for sample in faces])


@pytest.mark.parametrize(
    "settings", [{"whole_size": "50"}, {"box_size": "48"}, {"part_widths": "()"}, {"part_size": "12"}]
)
def test_settings_that_cannot_be(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.override(Config(), settings)

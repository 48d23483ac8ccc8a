"""DAN: geometry of the connection layers, both ways of running it, stages, mirror and mark-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core import config  # noqa: E402
from meanshape.core.errors import ConfigError, WeightsError  # noqa: E402
from meanshape.core.geometry import apply  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.dan import DAN, PRESETS, Config  # noqa: E402
from meanshape.methods.dan import network as nets  # noqa: E402
from meanshape.methods.dan import training as dan_training  # noqa: E402
from meanshape.methods.mean_shape import MeanShape  # noqa: E402
from meanshape.training.layers import LUMINANCE  # noqa: E402


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [synthetic.face(seed, 96) for seed in range(48)]


@pytest.fixture(scope="module")
def fitted(ready: Any) -> DAN:
    model: DAN = ready("dan").fitted
    return model


@pytest.fixture(scope="module")
def saved(fitted: DAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("dan") / "model")


def error(model: object, faces: list[Sample], **options: object) -> float:
    shapes = [model.predict(face.image, face.box, **options).points for face in faces]
    wrong = [
        np.linalg.norm(s - f.shape.points, axis=1).mean() / f.box.size
        for s, f in zip(shapes, faces, strict=True)
    ]
    return float(np.mean(wrong))


def test_it_beats_the_mean_shape_on_other_faces(fitted: DAN, faces: list[Sample]) -> None:
    mean = MeanShape().fit(faces[:36])
    assert error(fitted, faces[36:]) < 0.85 * error(mean, faces[36:])


def test_torch_and_onnx_agree_at_any_batch(fitted: DAN, saved: Path, network: Any, by_torch: Any) -> None:
    loaded = DAN.load(saved)
    rng = np.random.default_rng(0)
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, 32, 32, 3), np.uint8)
        for stage in (1, 2):
            points = by_torch(network(fitted), crops, stages=stage)[-1]
            assert (
                np.abs(loaded._run(crops, stages=stage)[0][:, -1] - points).max() < 0.05
            )  # weights are halved in the file


def test_fewer_stages_are_another_answer(fitted: DAN, faces: list[Sample]) -> None:
    face = faces[40]
    first = fitted.predict(face.image, face.box, stages=1)
    assert not np.allclose(first.points, fitted.predict(face.image, face.box).points)
    with pytest.raises(ConfigError, match="2 stages"):
        fitted.predict(face.image, face.box, stages=3)


def test_a_start_turns_the_crop_upright(fitted: DAN, faces: list[Sample]) -> None:
    face = faces[41]
    start = fitted.predict(face.image, face.box)
    size = fitted.config.crop_size
    matrix = fitted._matrix(face.box, start)
    placed = apply(matrix, start.points)
    right, left = placed[36:42].mean(0), placed[42:48].mean(0)
    assert abs(right[1] - left[1]) < 0.06 * size
    assert fitted.predict(face.image, face.box, start=start).points.shape == (68, 2)
    five = face.shape.to("mtfl5")
    assert fitted.predict(face.image, face.box, start=five).points.shape == (68, 2)


def test_training_goes_on_from_saved_weights(saved: Path, faces: list[Sample]) -> None:
    more = DAN(config.override(DAN.tiny().config, {"steps": "0,2", "rate": "1e-6", "ema": "0.0"}))
    more.initial = saved
    more.fit(faces[:36], seed=2)
    before = DAN.load(saved)
    face = faces[45]
    difference = more.predict(face.image, face.box).points - before.predict(face.image, face.box).points
    assert np.abs(difference).max() < 0.01 * face.box.size


def test_weights_of_another_shape_are_refused(saved: Path, faces: list[Sample]) -> None:
    wide = DAN(config.override(DAN.tiny().config, {"features": "32", "widths": "0.0625,0.0625"}))
    wide.initial = saved
    with pytest.raises(WeightsError, match="shape"):
        wide.fit(faces[:8])


@pytest.mark.parametrize(
    "settings",
    [{"sizes": "(64,)"}, {"sizes": "64"}, {"sizes": "(60,64)"}, {"loss": "cubic"}, {"channels": "2"}],
)
def test_settings_that_cannot_be(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        config.override(Config(), settings)


def test_the_papers_network_has_the_papers_size() -> None:
    paper = PRESETS["paper"]
    module = dan_training.build(paper, np.zeros((68, 2)))
    counted = [sum(p.numel() for n, p in s.named_parameters() if "locate" not in n) for s in module.stages]
    dense = sum(p.numel() for p in module.feature_images.parameters())
    assert counted[0] == pytest.approx(11.14e6, rel=0.005)
    assert counted[1] + dense == pytest.approx(11.95e6, rel=0.005)


# The connection layers


def test_the_similarity_undoes_one() -> None:
    rng = np.random.default_rng(4)
    target = torch.from_numpy(rng.normal(size=(68, 2)))
    turn = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64) * 1.7
    source = (target @ turn + torch.tensor([3.0, -5.0]))[None]
    matrix, shift = nets.similarity(source, target)
    assert torch.allclose(source @ matrix + shift, target[None])
    back, back_shift = nets.inverse(matrix, shift)
    assert torch.allclose(target[None] @ back + back_shift, source)


def test_a_dot_comes_back_where_the_warp_put_it() -> None:
    image = torch.zeros((1, 1, 40, 40))
    image[0, 0, 17, 23] = 1.0
    angle = 0.4
    matrix = 1.5 * torch.tensor([[[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]]).float()
    shift = torch.tensor([[[6.0, -9.0]]])
    warped = nets.warp(image, matrix, shift, 48)[0, 0]
    expected = (torch.tensor([[23.0, 17.0]]) @ matrix[0] + shift[0])[0]
    ys, xs = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    found = torch.stack([(warped * xs).sum(), (warped * ys).sum()]) / warped.sum()
    assert torch.allclose(found, expected, atol=0.05)


def test_the_heatmap_is_the_papers() -> None:
    points = torch.tensor([[[20.3, 30.6], [25.0, 33.0]]])
    values = nets.heatmap(points, 56)[0, 0].numpy()
    for y in range(56):
        for x in range(56):
            near = [
                1 / (1 + np.hypot(x - px, y - py))
                for px, py in points[0].tolist()
                if abs(x - px) <= 8.5 and abs(y - py) <= 8.5
            ]
            assert values[y, x] == pytest.approx(max(near, default=0.0), abs=2e-3)


def test_points_outside_the_frame_keep_their_squares_inside() -> None:
    values = nets.heatmap(torch.tensor([[[-50.0, 500.0]]]), 48)[0, 0]
    assert values[48 - 9, 8] == pytest.approx(1.0, abs=2e-3)


def test_a_shape_of_another_markup_is_no_start(fitted: DAN, faces: list[Sample]) -> None:
    short = Shape(faces[0].shape.points[17:], "ibug51")
    assert fitted.predict(faces[0].image, faces[0].box, start=short).markup.name == "ibug68"


def test_half_precision_trains_the_convolutions_only() -> None:
    module = dan_training.build(config.override(DAN.tiny().config, {"bf16": "true"}), np.full((68, 2), 0.5))
    seen: list[torch.dtype] = []
    module.stages[0].trunk[0].register_forward_hook(lambda *given: seen.append(given[2].dtype))
    shape = module.train()(torch.rand((2, 3, 32, 32)) * 255, stages=1)[-1]
    assert seen == [torch.bfloat16]
    assert shape.dtype == torch.float32


def test_a_grey_network_sees_luminance(by_torch: Any) -> None:
    module = dan_training.build(config.override(DAN.tiny().config, {"channels": "1"}), np.full((68, 2), 0.5))
    for stage in module.eval().stages:
        torch.nn.init.normal_(stage.fc2.weight, std=1.0)
    crop = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), np.uint8)
    light = np.repeat((crop @ np.array(LUMINANCE)).round().astype(np.uint8)[..., None], 3, -1)
    seen, same, other = (by_torch(module, picture, stages=1)[-1] for picture in (crop, light, 255 - crop))
    assert np.abs(seen - same).max() < 0.2 * np.abs(seen - other).max()

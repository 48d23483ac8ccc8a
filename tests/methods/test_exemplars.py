"""The consensus of exemplars on rendered faces: what it keeps, what hides, what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape.core import config, weights
from meanshape.core.errors import ConfigError, WeightsError
from meanshape.core.geometry import apply
from meanshape.core.sample import Sample
from meanshape.datasets.synthetic import face
from meanshape.methods.exemplars import PRESETS, Config, Exemplars
from meanshape.methods.shared import arrays


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    return [face(n, 96, occlusion=0, yaw=0, pitch=0, roll=0) for n in range(14)]


@pytest.fixture(scope="module")
def model(faces: list[Sample]) -> Exemplars:
    return Exemplars(replace(Exemplars.tiny().config, hypotheses=200)).fit(faces[:12])


def error(points: np.ndarray, sample: Sample) -> float:
    return float(np.hypot(*(points - sample.shape.points).T).mean() / sample.box.size)


def test_exemplars_are_the_training_faces_and_their_mirror_images(
    model: Exemplars, faces: list[Sample]
) -> None:
    assert model.shapes.shape == (24, 68)
    for n, sample in enumerate(faces[:12]):
        (x, y), size = sample.box.center, sample.box.size
        own = (sample.shape.points - (x, y)) / size
        assert np.allclose(model.shapes[n], own @ (1, 1j), atol=2e-3)
        other = own[list(sample.shape.markup.mirror)] * (-1, 1)
        assert np.allclose(model.shapes[12 + n], other @ (1, 1j), atol=2e-3)


def test_a_few_exemplars_may_do(faces: list[Sample]) -> None:
    few = Exemplars(replace(Exemplars.tiny().config, exemplars=5, hypotheses=200)).fit(faces[:12])
    assert few.shapes.shape == (10, 68)


def test_the_preset_of_the_paper_learns_one_level() -> None:
    varied = [face(n, 96, occlusion=0) for n in range(24)]
    fitted = Exemplars(replace(PRESETS["2011"], hypotheses=300, kept=5, ridge=0.3)).fit(varied[:20])
    mean = np.mean([s.box.relative(s.shape.points) for s in varied[:20]], axis=0)
    found = [error(fitted.predict(s.image, s.box).points, s) for s in varied[20:]]
    assert np.mean(found) < 0.9 * np.mean([error(s.box.absolute(mean), s) for s in varied[20:]])


def test_a_start_says_where_the_face_is_and_how_it_turns(model: Exemplars, faces: list[Sample]) -> None:
    """In a box that is far too large and of a face on its side, the five points show the way."""
    sample = faces[12]
    turned = np.ascontiguousarray(np.rot90(sample.pixels()))
    true = apply([[0, 1, 0], [-1, 0, sample.pixels().shape[1] - 1]], sample.shape.points)
    five = sample.shape.with_points(true).to("mtfl5")
    height, width = turned.shape[:2]
    found = model.predict(turned, ms.Box(0, 0, width, height), start=five)
    alone = model.predict(turned, ms.Box(0, 0, width, height))
    upright = error(model.predict(sample.image, sample.box).points, sample)
    off = np.hypot(*(found.points - true).T).mean() / sample.box.size
    assert off < max(0.06, 2 * upright)
    assert off < np.hypot(*(alone.points - true).T).mean() / sample.box.size / 2


def test_weights_that_do_not_fit_are_refused(model: Exemplars, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    for name, group, key, value in (
        ("shapes", "exemplars", "shapes", np.zeros((3, 5, 2), np.float16)),
        ("none", "exemplars", "shapes", np.zeros((0, 68, 2), np.float16)),
        ("filters", "level1", "filters", np.zeros((68, 4), np.float16)),
        ("bias", "level0", "bias", np.zeros(3, np.float32)),
    ):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        groups = arrays.load(copy / "exemplars.npz")
        groups[group][key] = value
        arrays.save(copy / "exemplars.npz", groups)
        card = weights.read_card(copy)
        weights.write_card(copy, card, [*card.files])
        with pytest.raises(WeightsError, match=r"exemplars\.npz.*(do not fit|wanted)"):
            Exemplars.load(copy)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"faces": (48.0,)}, "one value a level"),
        ({"places": (51, 10)}, "odd numbers"),
        ({"apart": (3, 6)}, "all odd or all even"),
        ({"match": "worst"}, "mean or best"),
        ({"kept": 0}, "kept is 1 or more"),
        ({"temperature": 0.0}, "temperature is above 0"),
        ({"prior": -1.0}, "prior is above 0"),
        ({"blur": -1.0}, "blur is 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.from_dict(Config, config.to_dict(Config()) | change)


def test_shipped_it_needs_neither_torch_nor_onnx_runtime_and_answers_alike_each_time() -> None:
    shipped = ms.load("exemplars")
    sample = face(4, 128)
    first = shipped.predict(sample.image, sample.box)
    assert shipped.predict(sample.image, sample.box) == first and shipped.runs_on == ()
    assert error(first.points, sample) < 0.05

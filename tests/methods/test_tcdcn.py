"""TCDCN: where its crops lie, when its tasks stop, what it answers beside points, labels that are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core.errors import ConfigError, DataSetError  # noqa: E402
from meanshape.core.geometry import square_matrix  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.mtcnn.training import gather  # noqa: E402
from meanshape.methods.tcdcn import (  # noqa: E402
    PRESETS,
    TCDCN,
    Config,
    training,
)
from meanshape.methods.tcdcn import network as nets  # noqa: E402
from meanshape.methods.tcdcn.config import TASKS  # noqa: E402
from meanshape.methods.tcdcn.stopping import EarlyStopping  # noqa: E402
from meanshape.training.tensor_augmentation import TensorAugmentation  # noqa: E402
from meanshape.training.tensors import FaceTensors, TensorSampler, labels_of, outline_of  # noqa: E402

LABELS = {"gender": "female", "smile": "smiling", "glasses": "no glasses", "pose": "left"}


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    """Faces with five points; every second one smiles."""
    made = [synthetic.face(seed, 96) for seed in range(24)]
    smiles = ("smiling", "not smiling")
    return [
        replace(s, shape=s.shape.to("mtfl5"), attributes={**LABELS, "smile": smiles[n % 2]})
        for n, s in enumerate(made)
    ]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> TCDCN:
    torch.set_num_threads(1)
    tiny = TCDCN.tiny().config
    config = replace(tiny, looks=2, upright=0.4, steps=40, check_every=4, window=3, threshold=-1e9)
    model = TCDCN(config)
    model.run_folder = tmp_path_factory.mktemp("run")
    return model.fit(faces[:16], faces[16:], seed=1)


@pytest.fixture(scope="module")
def saved(fitted: TCDCN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("tcdcn") / "model")


def face_crops(looks: int = 1) -> nets.FaceCrops:
    mean = torch.tensor([[0.3, 0.2], [0.7, 0.2], [0.5, 0.45], [0.3, 0.7], [0.7, 0.7]])
    return nets.FaceCrops(mean, 96, 2.0, 40, 1.1, looks)


def dot(x: float, y: float, size: int = 96) -> torch.Tensor:
    """A picture (1, 1, size, size) with a soft dot."""
    line = torch.arange(size, dtype=torch.float32)
    return (torch.exp(-0.5 * ((line - x)[None] ** 2 + (line - y)[:, None] ** 2) / 4))[None, None]


def middle(crop: torch.Tensor) -> torch.Tensor:
    """Where the dot is: the centre of mass (1, 1, 2) of a crop."""
    line = torch.arange(crop.shape[-1], dtype=torch.float32)
    mass = crop[0, 0] / crop.sum()
    return torch.stack([(mass.sum(0) * line).sum(), (mass.sum(1) * line).sum()])[None, None]


@pytest.mark.parametrize("place", [(47.5, 47.5), (40.25, 61.0), (58.0, 33.5)])
def test_a_dot_in_the_first_crop_comes_back_to_where_it_was_drawn(place: tuple[float, float]) -> None:
    frame = face_crops()
    found = frame.to_input(middle(frame.box_crop(dot(*place))))
    assert torch.allclose(found, torch.tensor(place), atol=0.05)


def test_a_dot_in_the_second_crop_comes_back_and_the_crop_is_upright() -> None:
    frame = face_crops(2)
    angle = torch.tensor(0.5)
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    points = (frame.target() - 19.5) @ turn * 1.3 + torch.tensor([44.0, 50.0])
    x, y = points[2].tolist()
    crop, back, shift = frame.aligned_crop(dot(x, y), points[None])
    inside = middle(crop)
    assert torch.allclose(inside[0, 0], frame.target()[2], atol=0.05)
    assert torch.allclose((inside @ back + shift)[0, 0], points[2], atol=0.05)


def test_torch_and_onnx_agree_at_any_batch(fitted: TCDCN, saved: Path, network: Any, by_torch: Any) -> None:
    loaded = TCDCN.load(saved)
    rng = np.random.default_rng(0)
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, 64, 64, 3), np.uint8)
        for ours, theirs in zip(by_torch(network(fitted), crops), loaded._run(crops), strict=True):
            assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 0.05


def test_it_answers_every_task_in_the_words_of_the_labels(saved: Path, faces: list[Sample]) -> None:
    loaded = TCDCN.load(saved)
    answers = loaded.attributes(faces[3].image, faces[3].box)
    assert {task: tuple(answer) for task, answer in answers.items()} == TASKS
    for answer in answers.values():
        assert sum(answer.values()) == pytest.approx(1, abs=1e-5)
    assert answers["glasses"]["no glasses"] > 0.5  # it saw nothing else


def test_tasks_stop_by_the_rule_and_the_log_says_when(fitted: TCDCN, saved: Path, network: Any) -> None:
    """With a threshold below everything each stops at the first check that can be judged."""
    assert all(12 <= step <= 40 for step in fitted.stops.values() if step != "never")
    stopped = [task for task, step in fitted.stops.items() if step != "never"]
    assert stopped and TCDCN.load(saved).stops == fitted.stops
    assert training.read_stops(fitted.run_folder) == {task: fitted.stops[task] for task in stopped}
    assert network(fitted).active.sum() == len(TASKS) - len(stopped)
    assert json.loads((saved / "tasks.json").read_text())["of"] == 40


def test_the_rule_waits_for_its_window_and_a_falling_error() -> None:
    stopper = EarlyStopping(0.1, window=4, threshold=5.0, smoothing=0.0)
    assert [stopper.add(e, e) for e in (1.0, 0.8, 0.7)] == [None] * 3
    value = stopper.add(0.65, 0.65)
    # k med = 3.0, sum = 3.15, no gap
    assert value == pytest.approx(0.0) and not stopper.should_stop()
    flat = EarlyStopping(0.1, window=4, smoothing=0.0)
    assert [flat.add(0.5, 0.9) for _ in range(6)] == [None] * 6  # 0 / 0 as published


def test_the_rule_is_the_published_product() -> None:
    stopper = EarlyStopping(0.5, window=3, threshold=5.0, smoothing=0.0)
    for train, valid in ((1.0, 1.0), (0.6, 0.9), (0.5, 0.9)):
        value = stopper.add(train, valid)
    assert value == pytest.approx(1.8 / (2.1 - 1.8) * (0.9 - 0.5) / (0.5 * 0.5))
    assert stopper.should_stop()


def test_labels_follow_the_mirror() -> None:
    names = TASKS["pose"]
    assert [names[i] for i in training.mirrored(names)] == list(reversed(names))
    flips = [torch.tensor(training.mirrored(labels)) for labels in TASKS.values()]
    labels = np.array([[1, 0, 0, 1], [0, 1, 1, 4], [-1, -1, -1, -1]])
    flip = np.array([True, False, True])
    assert training.flipped(labels, flip, flips).tolist() == [[1, 0, 0, 3], [0, 1, 1, 4], [-1] * 4]


def test_an_unknown_label_is_refused_and_a_missing_one_costs_nothing(faces: list[Sample]) -> None:
    wrong = replace(faces[0], attributes={**LABELS, "smile": "grinning"})
    with pytest.raises(DataSetError, match=r"smile is 'grinning', wanted one of smiling, not smiling"):
        TCDCN.tiny().fit([*faces[1:8], wrong])
    markup = faces[0].shape.markup
    unlabelled = FaceTensors([replace(face, attributes={}) for face in faces[:6]], markup, 1)
    assert (labels_of(unlabelled, TASKS) == -1).all()
    learning = learner(unlabelled)
    module = training.build(learning.config, np.full((5, 2), 0.5), TASKS)
    batch = {key: torch.from_numpy(value) for key, value in learning.batch(0).items()}
    task_losses = learning.task_losses(module, module.features(batch["image"]), batch["labels"].long())
    assert task_losses.tolist() == [0.0] * 4


def learner(faces: FaceTensors) -> training.MultiTaskObjective:
    config = TCDCN.tiny().config
    sampler = TensorSampler(faces, config.size, training.SCALE, 4, TensorAugmentation())
    return training.MultiTaskObjective(config, TASKS, sampler, None, None)


def test_points_outside_the_picture_are_learnt_from(faces: list[Sample]) -> None:
    """A face at the border: two of its points lie beyond it."""
    points = np.array(faces[0].shape.points) - (45, 30)
    beyond = replace(faces[0], shape=Shape(points, "mtfl5"), box=faces[0].box.shifted(-45, -30))
    assert (points < 0).any()
    config = replace(TCDCN.tiny().config, steps=4)
    model = TCDCN(config).fit([beyond, *faces[1:8]])
    assert np.isfinite(model.predict(beyond.image, beyond.box).points).all()


def test_without_labels_it_learns_points_and_answers_no_task(faces: list[Sample]) -> None:
    config = replace(TCDCN.tiny().config, steps=4)
    plain = [replace(face, attributes={}) for face in faces[:8]]
    assert TCDCN(config).fit(plain).attributes(faces[0].image, faces[0].box) == {}


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="not 'age'"):
        Config(tasks=("age",))
    with pytest.raises(ConfigError, match="four widths"):
        Config(widths=(8, 8))
    with pytest.raises(ConfigError, match="activation"):
        Config(activation="gelu")


def test_the_networks_have_the_papers_sizes() -> None:
    """16, 48, 64, 64 maps leave 256 features of a 40 x 40 crop; 20, 48, 64, 80 leave 720 of 60 x 60."""
    small = nets.Trunk(1, PRESETS["paper"].widths, "abs_tanh", False, False)
    large = PRESETS["points68"]
    assert small.outputs == 256
    assert nets.Trunk(1, large.widths, "relu", True, False, large.size, large.kernels).outputs == 720


def test_a_batch_is_a_function_of_seed_and_step(faces: list[Sample]) -> None:
    bank = FaceTensors(faces, faces[0].shape.markup)
    one, two = (TensorSampler(bank, 40, 1.1, 8, TensorAugmentation(), seed=3) for _ in range(2))
    two.batch(0)
    first, second = one.batch(5), two.batch(5)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert sorted(np.concatenate([one.indices(n) for n in range(3)])) == list(range(24))


def test_an_unchanged_crop_frames_the_face_as_prediction_does(faces: list[Sample]) -> None:
    """Training and prediction look at the same place: the box of the outline is the canonical box."""
    from meanshape.core.geometry import apply
    from meanshape.datasets.parts.boxes import canonical_box_from_five

    bank = FaceTensors(faces[:4], faces[0].shape.markup)
    batch = TensorSampler(bank, 40, 1.1, 4, TensorAugmentation.none()).plain(np.arange(4))
    for face, points in zip(faces, batch["points"], strict=False):
        matrix = square_matrix(canonical_box_from_five(face.shape.points), 1.1, 40)
        assert np.abs(apply(matrix, face.shape.points) - points).max() < 0.02


def test_70_points_outline_a_face_as_their_68_do() -> None:
    sample = synthetic.face(3, 128)
    assert sample.shape is not None
    eyes = sample.shape.points[36:48].reshape(2, 6, 2).mean(1)
    more = replace(sample, shape=Shape(np.vstack([sample.shape.points, eyes]), "ibug70"))
    assert np.array_equal(outline_of(more), outline_of(sample))
    assert np.array_equal(gather([more]).outlines[0], gather([sample]).outlines[0])

"""EmotionalDAN: faces of both kinds learn together; probabilities, any labels, both ways of running it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core import weights  # noqa: E402
from meanshape.core.box import Box  # noqa: E402
from meanshape.core.errors import ConfigError, FormatError, NotFitted, WeightsError  # noqa: E402
from meanshape.core.image import write_image  # noqa: E402
from meanshape.core.markup import markup  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.datasets import fer2013, synthetic  # noqa: E402
from meanshape.methods.dan.network import heatmap, prepared, similarity, warp  # noqa: E402
from meanshape.methods.emotional_dan import Config, EmotionalDAN, training  # noqa: E402
from meanshape.methods.emotional_dan.model import label_set  # noqa: E402
from meanshape.methods.emotional_dan.network import equalised  # noqa: E402
from meanshape.methods.emotional_dan.training import data  # noqa: E402
from meanshape.methods.emotional_dan.training.cascade import has_lean_stage, use_lean_stage  # noqa: E402
from meanshape.methods.emotional_dan.training.start import Teachers, start  # noqa: E402
from meanshape.training.layers import grey  # noqa: E402
from meanshape.training.sampling import CropBank, CropSampler  # noqa: E402

FELT = ("happy", "surprise")


def with_emotion(seed: int) -> Sample:
    """A face that fills its picture, as FER2013's do: no points, no box."""
    emotion = FELT[seed % 2]
    made = synthetic.face(1000 + seed, 72, emotion=emotion, yaw=0, pitch=0, roll=0, occlusion=0, fill=0.8)
    return Sample(f"e{seed}", made.pixels(), None, None, {"emotion": emotion})


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    with_points = [replace(synthetic.face(seed, 72), attributes={}) for seed in range(24)]
    return [*with_points, *(with_emotion(seed) for seed in range(48))]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> EmotionalDAN:
    torch.set_num_threads(1)
    tiny = EmotionalDAN.tiny().config
    quick = replace(tiny, steps=60, rate=1e-3, turn=0.02, cascade=replace(tiny.cascade, steps=(60, 20)))
    (model := EmotionalDAN(quick)).run_folder = tmp_path_factory.mktemp("run")
    return model.fit(faces, [with_emotion(seed) for seed in range(48, 64)], seed=1)


@pytest.fixture(scope="module")
def saved(fitted: EmotionalDAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("emotional") / "model")


def test_it_tells_emotions_apart(fitted: EmotionalDAN) -> None:
    """Of the faces that it learnt from: there are 48, and it had three epochs."""
    assert fitted.labels == FELT  # in our order
    right = [fitted.emotion(s.image).label == s.attributes["emotion"] for s in map(with_emotion, range(48))]
    assert np.mean(right) >= 0.8


def test_probabilities_are_some(fitted: EmotionalDAN) -> None:
    emotion = fitted.emotion(with_emotion(90).image)
    assert set(emotion.probabilities) == set(FELT) and 0.999 < sum(emotion.probabilities.values()) < 1.001
    assert emotion.label == max(FELT, key=lambda name: emotion.probabilities[name])
    assert fitted.attributes(with_emotion(90).image) == {"emotion": dict(emotion.probabilities)}


def test_torch_and_onnx_agree_at_any_batch(fitted: EmotionalDAN, saved: Path) -> None:
    loaded = EmotionalDAN.load(saved)
    assert loaded.labels == fitted.labels
    crops = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    for batch in (1, 2, 7):
        for ours, theirs in zip(fitted._run(crops[:batch]), loaded._run(crops[:batch]), strict=True):
            assert np.abs(ours - theirs).max() < 0.05


def test_a_mirror_shows_the_same_emotion() -> None:
    """The mean over a picture and its mirror image; the points are those of the picture."""
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    both, alone = (
        start(replace(Config(), mirror=mirror), mean, FELT, None).eval() for mirror in (True, False)
    )
    alone.load_state_dict(both.state_dict())
    seen = torch.rand(3, 2, 48, 48, generator=torch.Generator().manual_seed(0))
    (update, logits), (turned_update, turned) = both.answer(seen), both.answer(seen.flip(3))
    assert torch.allclose(logits, turned, atol=1e-5) and not torch.allclose(update, turned_update)
    one, other = alone.answer(seen), alone.answer(seen.flip(3))
    assert torch.allclose(update, one[0], atol=1e-6)
    assert torch.allclose(logits, (one[1] + other[1]) / 2, atol=1e-5) and not torch.allclose(one[1], other[1])


def test_one_run_gives_points_and_emotions(saved: Path) -> None:
    model, face = EmotionalDAN.load(saved), synthetic.face(5, 72)
    assert face.box is not None
    (shape,), (emotion,) = model.predict_all([face.image], [face.box])
    assert np.array_equal(shape.points, model.predict(face.image, face.box).points)
    assert emotion == model.emotion(face.image, face.box)
    assert model.predict_all([], []) == ([], [])


def test_colour_does_not_matter(fitted: EmotionalDAN) -> None:
    """To the joint stage; the cascade, which sees it, places points a little otherwise."""
    apart = []
    for seed in range(90, 98):
        pixels = with_emotion(seed).pixels()
        grey = np.rint(pixels @ [0.299, 0.587, 0.114]).astype(np.uint8)
        here, there = fitted.emotion(pixels), fitted.emotion(grey)
        apart.append(abs(here.probabilities["happy"] - there.probabilities["happy"]))
    assert np.mean(apart) < 0.05


def test_below_twenty_pixels_it_is_less_sure(fitted: EmotionalDAN) -> None:
    shares = np.array([0.9, 0.1])
    sure = [fitted._emotion(shares, Box(0, 0, side, side)).probabilities["happy"] for side in (40, 20, 10, 1)]
    assert sure == pytest.approx([0.9, 0.9, 0.7, 0.52])


def test_without_emotions_it_places_points_alone(faces: list[Sample]) -> None:
    tiny = EmotionalDAN.tiny().config
    model = EmotionalDAN(replace(tiny, steps=2, cascade=replace(tiny.cascade, steps=(2, 2))))
    model.fit(faces[:12])
    assert model.labels == () and model.attributes(faces[0].image) == {}
    assert len(model.predict(faces[0].image, faces[0].box)) == 68
    with pytest.raises(WeightsError, match="without emotions"):
        model.emotion(faces[0].image)
    with pytest.raises(NotFitted):
        EmotionalDAN().emotion(faces[0].image)


def test_frames_are_made_once_for_a_run(fitted: EmotionalDAN) -> None:
    assert fitted.run_folder is not None
    with np.load(fitted.run_folder / "frames-train.npz") as kept:
        assert kept["frames"].shape == (48, 48, 48) and kept["frames"].dtype == np.uint8
        assert np.bincount(kept["labels"]).tolist() == [24, 24]


@pytest.mark.parametrize("quick", [(), (16, 32, 64, 64)])
def test_most_parameters_feed_both_heads(quick: tuple[int, ...]) -> None:
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    module = start(Config(), mean, ["a"] * 7, None)
    if quick:
        use_lean_stage(module.cascade, quick)
    count = lambda parameters: sum(p.numel() for p in parameters)  # noqa: E731
    shared = count(module.joint.shared)
    assert shared / count(module.joint.parameters()) > 0.8
    assert (count(module.cascade.parameters()) + shared) / count(module.parameters()) > 0.95


def test_a_joint_stage_of_another_build_starts_anew_behind_the_same_cascade(saved: Path) -> None:
    config = EmotionalDAN.load(saved).config
    mean = np.load(saved / "mean.npy")
    same = start(config, mean, FELT, saved)
    other = start(replace(config, maps=(8, 16, 32, 48)), mean, FELT, saved)
    for (name, one), another in zip(same.cascade.named_parameters(), other.cascade.parameters(), strict=True):
        assert torch.equal(one, another), name
    heads = [m.joint.emotion.weight for m in (same, other)]
    assert heads[0].shape == heads[1].shape and not torch.equal(*heads)
    third = start(config, mean, ("sad", "bored", "asleep"), saved)  # other labels: another head alone
    assert torch.equal(third.joint.fc1[0].weight, same.joint.fc1[0].weight)
    assert third.joint.emotion.weight.shape[0] == 3 and third.temperature == 1 != same.temperature


def test_it_sees_the_frame_of_the_stage_before_or_its_own() -> None:
    """In either it sees the same face; its own frame is the more upright."""
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    torch.manual_seed(0)
    crops = 255 * torch.rand(2, 3, 8, 8).repeat_interleave(16, 2).repeat_interleave(16, 3)
    for size in (0, 32):
        module = start(replace(Config(), size=size, reduced=0), mean, ["a"], None).eval()
        seen: list[torch.Tensor] = []
        module.joint.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        shape = module(crops)[-3]
        matrix, shift = module.frame(shape)
        shown = equalised(prepared(warp(grey(crops), matrix, shift, module.size)))
        assert module.size == (size or 64)
        assert torch.allclose(seen[0][:2, :1], shown, atol=1e-3)
        upright = module.cascade.start(module.size, module.cascade.frame_scale)
        nearest = similarity(shape @ matrix + shift, upright)[0] - torch.eye(2)
        assert (nearest.abs().max() < 1e-4) == bool(size)


def test_a_quick_cascade_keeps_what_it_can() -> None:
    """The second stage goes on with its weights, without the feature image, and gives maps as large."""
    module = start(Config(), np.random.default_rng(0).uniform(0, 1, (68, 2)), ["a"] * 7, None)
    before = module.cascade.stages[1]
    convolutions = [layer.weight for layer in before.trunk if isinstance(layer, torch.nn.Conv2d)]
    whole = sum(p.numel() for p in module.cascade.parameters())
    use_lean_stage(module.cascade, (16, 32, 64, 64))
    assert has_lean_stage(module.cascade) and not module.cascade.use_features
    after = [layer.weight for layer in module.cascade.stages[1].trunk if isinstance(layer, torch.nn.Conv2d)]
    assert torch.equal(after[0], convolutions[0][:, :4])
    assert all(torch.equal(*pair) for pair in zip(after[1:], convolutions[1:], strict=True))
    assert sum(p.numel() for p in module.cascade.parameters()) < 0.6 * whole
    first, second = module.eval().cascade(torch.zeros(3, 3, 128, 128))
    assert first.shape == second.shape == (3, 68, 2)


def test_a_cascade_is_made_quick_once(
    faces: list[Sample], saved: Path, tmp_path: Path, network: Any, by_torch: Any
) -> None:
    """From a run without it, it is learnt; from one that has it, it is there already."""
    config = EmotionalDAN.load(saved).config
    config = replace(config, quick=(4, 8, 8, 8), quick_steps=(8, 3), steps=0, minutes=0.0)
    model = EmotionalDAN(config)
    model.initial = saved
    model.fit(faces[:24])
    kept = model.save(tmp_path / "quick")
    again = start(config, np.load(kept / "mean.npy"), FELT, kept).eval()
    assert has_lean_stage(again.cascade)
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert np.abs(by_torch(again, crops)[0] - by_torch(network(model), crops)[0]).max() < 0.05
    assert np.abs(EmotionalDAN.load(kept)._run(crops)[0] - model._run(crops)[0]).max() < 0.05
    still = replace(config, cascade=replace(config.cascade, steps=(), minutes=(0.0, 0.0)))
    for more in (False, True):
        model = EmotionalDAN(replace(still, quick_again=more))
        model.initial = kept
        model.fit(faces[:24])
        same = torch.equal(network(model).cascade.stages[0].fc2.weight, again.cascade.stages[0].fc2.weight)
        assert same != more
    model = EmotionalDAN(config)
    model.initial = kept
    with pytest.raises(ConfigError, match="quick_again"):
        model.fit(faces[:24])
    with pytest.raises(WeightsError, match="quick"):
        start(replace(config, quick=()), np.load(kept / "mean.npy"), FELT, kept)


def test_a_teacher_sees_what_its_pupil_sees(fitted: EmotionalDAN, saved: Path, network: Any) -> None:
    """The same faces, changed alike; its answer replaces as much of the labels as it is trusted with."""
    assert fitted._mean is not None and fitted.markup is not None
    config = replace(fitted.config, teachers=(str(saved),), taught=1.0, smoothing=0.0, mixup=0.0, balance=0.0)
    teachers = Teachers.of(config, None, fitted._mean, FELT)
    teacher = teachers.modules[0]
    bank = data.build(network(fitted), [_boxed(seed) for seed in range(6)], FELT, fitted.markup, None)
    sampler = data.JointSampler(_no_points(), bank, 6, config.augmentation, bank.size, 1.2, 2, 0)
    batch = {name: torch.from_numpy(array) for name, array in sampler._faces(bank, 0).items()}
    task = training.JointTask(sampler, None, None, config, teachers)
    half = training.JointTask(sampler, None, None, replace(config, taught=0.5), teachers)
    with torch.no_grad():
        seen = teacher.with_heatmap(prepared(batch["face"]), batch["target"])  # the shape moves with the face
        both = [torch.softmax(teacher.joint(way)[1], -1) for way in (seen, seen.flip(3))]
    assert not torch.allclose(*both, atol=1e-3)
    told = {_which(task._targets(batch)[1], both) for _ in range(20)}
    assert told == {0, 1}  # either way round, drawn anew each time
    assert _which(half._targets(batch)[1], [(says + batch["label"]) / 2 for says in both]) in (0, 1)
    own = training.JointTask(sampler, None, None, replace(config, own_points=True), teachers)
    assert _which(own._targets(batch)[1], both) == -1  # there the shape stays: its move is what is learnt


def _which(target: torch.Tensor, options: list[torch.Tensor]) -> int:
    """Which of some answers it is; -1: none."""
    return next((i for i, says in enumerate(options) if torch.allclose(target, says, atol=1e-6)), -1)


def test_several_teachers_are_asked_in_turns(fitted: EmotionalDAN, saved: Path, network: Any) -> None:
    """Each for some of the batches; one whose frame is larger sees the same face larger."""
    assert fitted._mean is not None
    config, module = fitted.config, network(fitted)
    large = start(replace(config, size=2 * module.size), fitted._mean, FELT, None)
    teachers = Teachers([module, large])
    face = torch.rand(3, 1, module.size, module.size) * 255
    placed = module.cascade.start(module.size, 1.2).expand(3, -1, 2)
    said = torch.stack([teachers.predict(face, placed) for _ in range(40)])
    assert said.sum(-1) == pytest.approx(1, abs=1e-5)
    assert len(said.mul(1e4).round().unique(dim=0)) == 4  # two teachers, two ways round
    two = replace(config, teachers=(str(saved), str(saved)), taught=0.5)
    assert len(Teachers.of(two, None, fitted._mean, FELT).modules) == 2


def _boxed(seed: int) -> Sample:
    return replace(with_emotion(seed), box=Box.whole(72, 72))


def _no_points() -> CropSampler:
    faces = CropBank([synthetic.face(0, 72)], markup("ibug68"))
    return CropSampler(faces, 32, 1.5, 1, EmotionalDAN.tiny().config.augmentation, 0)


def test_a_training_goes_on_from_the_graph_alone(saved: Path, tmp_path: Path, by_torch: Any) -> None:
    """Where the torch weights are left out for size: the graph holds them all, its batch norms folded in."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    weights.write_card(tmp_path, weights.read_card(saved), ("model.onnx", "config.toml"))
    config, mean = EmotionalDAN.load(saved).config, np.load(saved / "mean.npy")
    kept, read = (start(config, mean, FELT, folder).eval() for folder in (saved, tmp_path))
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    for ours, theirs in zip(by_torch(kept, crops), by_torch(read, crops), strict=True):
        assert np.abs(ours - theirs).max() < 0.02
    assert torch.equal(kept.joint.fc1[0].weight, read.joint.fc1[0].weight)


def test_a_teacher_must_know_the_same_labels_and_be_whole(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--init"):
        Teachers.of(Config(), None, np.zeros((68, 2)), FELT)
    with pytest.raises(WeightsError, match="other labels"):
        Teachers.of(Config(), saved, np.zeros((68, 2)), ("sad", "bored"))
    config = Path(shutil.copytree(saved, tmp_path / "other")) / "config.toml"
    config.write_text(config.read_text("utf-8").replace("maps = [8,", "maps = [12,"), "utf-8")
    weights.write_card(config.parent, card := weights.read_card(saved), card.files)
    with pytest.raises(WeightsError, match="cannot teach"):
        Teachers.of(Config(), config.parent, np.load(saved / "mean.npy"), FELT)


def test_moves_that_do_harm_are_damped(fitted: EmotionalDAN, faces: list[Sample], network: Any) -> None:
    """With a head that moves every point far to the right, nothing but no move at all is best."""
    module, config = network(fitted), fitted.config
    kept = {name: value.clone() for name, value in module.joint.points.state_dict().items()}
    bank = CropBank(faces[:8], fitted.markup)
    sampler = CropSampler(
        bank, config.cascade.crop_size, config.cascade.crop_scale, 4, config.cascade.augmentation
    )
    with torch.no_grad():
        module.joint.points.weight.zero_()
        module.joint.points.bias.copy_(torch.tensor([50.0, 0.0]).repeat(68))
    assert training.fit_point_damping(module, sampler) == 0
    assert float(module.trust) == 0
    module.joint.points.load_state_dict(kept)


def test_what_validation_faces_have_settled_stays_without_them(
    faces: list[Sample], saved: Path, tmp_path: Path, network: Any
) -> None:
    """Trained on everything after that: the temperature, the shape head, how far the points are trusted."""
    config = replace(EmotionalDAN.load(saved).config, steps=2, even=0.5)
    config = replace(config, cascade=replace(config.cascade, steps=(), minutes=(0.0, 0.0)))
    before = start(config, np.load(saved / "mean.npy"), FELT, saved)
    model = EmotionalDAN(config)
    model.initial, model.run_folder = saved, tmp_path
    model.fit(faces)
    after = network(model)
    assert '"error": 0.0' in (tmp_path / "joint.jsonl").read_text()  # nothing to choose by: the last is kept
    assert float(before.temperature) != 1
    assert torch.equal(after.temperature, before.temperature) and torch.equal(after.trust, before.trust)
    assert torch.equal(after.shape_head.last.weight, before.shape_head.last.weight)
    assert not torch.equal(after.joint.emotion.weight, before.joint.emotion.weight)
    felt = np.array([FELT.index(s.attributes["emotion"]) for s in faces if s.attributes])
    assert torch.equal(after.bias, training.logit_adjustment(felt, 2, 0.5))


def test_labels_come_in_our_order_then_by_name() -> None:
    felt = [Sample(word, "x.png", attributes={"emotion": word}) for word in ("sad", "bored", "happy")]
    assert label_set([*felt, Sample("n", "y.png")]) == ("happy", "sad", "bored")


def test_a_heatmap_is_what_the_joint_stage_sees_if_asked_for() -> None:
    mean = np.random.default_rng(0).uniform(0, 1, (68, 2))
    config = replace(Config(), reduced=0, use_heatmap=True)
    module = start(config, mean, ["a"], None)
    placed, face = torch.rand(2, 68, 2) * 64, torch.rand(2, 1, 64, 64)
    seen = module.with_heatmap(face, placed)
    assert torch.equal(seen[:, :1], equalised(face))
    assert torch.equal(seen[:, 1:], heatmap(placed, 64, 2))
    as_it_is = start(replace(config, equalise=False), mean, ["a"], None)
    assert torch.equal(as_it_is.with_heatmap(face, placed)[:, :1], face)


def test_an_unknown_emotion_folder_offers_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "train" / "hapy" / "1.png"
    path.parent.mkdir(parents=True)
    write_image(path, np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(FormatError, match=r"'hapy'.*happy"):
        fer2013.samples(tmp_path, "train", allow_missing=True)

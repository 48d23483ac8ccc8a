"""integral: the expectation, its loss, both ways of running it, other mark-ups, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core import config  # noqa: E402
from meanshape.core.errors import ConfigError, DataSetError  # noqa: E402
from meanshape.core.geometry import apply, invert, similarity  # noqa: E402
from meanshape.core.markup import MarkUp, markup  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.core.shape import Shape  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.integral import Config, Integral, faces, training  # noqa: E402
from meanshape.methods.integral.network import IntegralNet, Look  # noqa: E402
from meanshape.methods.mean_shape import MeanShape  # noqa: E402


@pytest.fixture(scope="module")
def drawn() -> list[Sample]:
    return [synthetic.face(seed, 96) for seed in range(48)]


@pytest.fixture(scope="module")
def fitted(ready: Any) -> Integral:
    model: Integral = ready("integral").fitted
    return model


def error(model: object, samples: list[Sample], **options: object) -> float:
    wrong = [
        np.linalg.norm(model.predict(s.image, s.box, **options).points - s.shape.points, axis=1).mean()
        / s.box.size
        for s in samples
    ]
    return float(np.mean(wrong))


def five(sample: Sample) -> Sample:
    return replace(sample, id=f"five {sample.id}", shape=sample.shape.to("mtfl5"))


def test_it_beats_the_mean_shape_and_the_second_look_the_first(fitted, drawn):
    mean = error(MeanShape().fit(drawn[:36]), drawn[36:])
    assert error(fitted, drawn[36:]) < 0.85 * mean
    assert error(fitted, drawn[36:]) < error(fitted, drawn[36:], stages=1)
    with pytest.raises(ConfigError, match="2 stages"):
        fitted.predict(drawn[0].image, drawn[0].box, stages=3)


def test_the_point_is_the_mean_of_the_votes():
    """Sun 2018, equation 2, with offsets, recomputed in numpy."""
    look = Look(32, (4, 4, 4, 4), (0, 0, 0, 0), {"a": 3}).eval()
    maps = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (2, 9, 4, 4)).astype(np.float32))
    points, spread, _ = look.decode(maps)
    array = maps.numpy().astype(float)
    for n in range(2):
        for k in range(3):
            weights = np.exp(array[n, k]) / np.exp(array[n, k]).sum()
            rows, columns = np.mgrid[:4, :4]
            x = 8 * columns + 3.5 + 8 * array[n, 3 + k]
            y = 8 * rows + 3.5 + 8 * array[n, 6 + k]
            mean = np.array([(weights * x).sum(), (weights * y).sum()])
            assert np.allclose(points[n, k].numpy(), mean, atol=1e-3)
            away = np.sqrt((weights * ((x - mean[0]) ** 2 + (y - mean[1]) ** 2)).sum())
            assert spread[n, k].item() == pytest.approx(away, abs=2e-3)


def test_the_score_loss_is_the_cross_entropy_with_a_gaussian_of_one_cell():
    rng = np.random.default_rng(1)
    scores, point = rng.normal(0, 1, 25), np.array([13.2, 22.7])
    rows, columns = np.mgrid[:5, :5]
    centres = 8 * np.stack([columns, rows], -1) + 3.5
    wanted = np.exp(-0.5 * (((centres - point) / 8) ** 2).sum(-1)).ravel()
    wanted /= wanted.sum()
    expected = -(wanted * (scores - np.log(np.exp(scores).sum()))).sum()
    places = torch.tensor(np.stack([point, [-9.0, 3.0], [np.nan, np.nan]])[None], dtype=torch.float32)
    given = torch.tensor(np.stack([scores] * 3)[None], dtype=torch.float32)
    loss, counts = training.score_loss(given, places, 5)
    assert loss[0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert counts.tolist() == [[True, False, False]] and torch.isfinite(loss).all()


def test_torch_and_onnx_agree_at_any_batch(tmp_path):
    torch.manual_seed(3)
    settings = Integral.tiny().config
    kind = markup("mtfl5")
    mean = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.55], [0.35, 0.8], [0.65, 0.8]])
    module = IntegralNet(settings, torch.from_numpy(mean), kind.name, {"other": 4})
    for head in (module.first, module.second):
        torch.nn.init.normal_(head.heads["mtfl5"].weight, std=0.3)
    module.eval()
    training.Trained(module, kind, settings).save(tmp_path)
    loaded = Integral(settings)
    loaded.markup = kind
    loaded._load(tmp_path)
    rng = np.random.default_rng(0)
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, 64, 64, 3), np.uint8)
        with torch.no_grad():
            expected = module(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
        points, spread = loaded._run(crops)
        answered = [points[:, 0], points[:, 1], spread]
        assert np.abs(loaded._run(crops, stages=1)[0] - answered[0]).max() < 1e-3
        for part, true, near in zip(answered, expected, (0.1, 0.2, 0.2), strict=True):
            assert np.abs(part - true.numpy()).max() < near  # weights are halved in the file


def test_the_second_look_is_brought_back_by_the_inverse(drawn):
    """A network that answers the mean shape in its frame answers the first look's similarity of it."""
    settings = Integral.tiny().config
    store = faces.FaceStore(drawn[:4], markup("ibug68"))
    module = IntegralNet(settings, torch.from_numpy(store.mean), "ibug68", {}).eval()
    upright = module.upright()
    module.second.decode = lambda maps: (upright[None], torch.ones(1, 68), None)  # type: ignore[method-assign]
    turned = apply(np.array([[0.9, -0.5, 9], [0.5, 0.9, -6]]), (store.mean - 0.5) * 30 + 30)
    small = (torch.from_numpy(turned).float()[None] + 0.5) / module.ratio - 0.5
    module.first.decode = lambda maps: (small, torch.ones(1, 68), None)  # type: ignore[method-assign]
    _, points, spread = module(torch.zeros(1, 3, 64, 64))
    assert np.allclose(points[0].numpy(), turned, atol=0.02)
    scale = np.hypot(0.9, 0.5) * 30 * settings.frame_scale / settings.size
    assert np.allclose(spread[0].numpy(), scale, rtol=1e-3)


def test_other_mark_ups_teach_along(drawn):
    settings = replace(Integral.tiny().config, steps=3, others=0.5)
    mixed = drawn[:8] + [five(sample) for sample in drawn[8:16]]
    model = Integral(settings).fit(mixed, seed=1)
    assert model.markup.name == "ibug68"
    assert model.predict(drawn[0].image, drawn[0].box).points.shape == (68, 2)


def test_a_batch_holds_what_its_faces_hold(drawn):
    settings = replace(Integral.tiny().config, others=0.25)
    store = faces.FaceStore(drawn[:8] + [five(s) for s in drawn[8:16]], markup("ibug68"))
    sampler = faces.FaceSampler(store, settings, seed=5)
    batch, again = sampler.batch(3), sampler.batch(3)
    assert all(np.array_equal(batch[key], again[key], equal_nan=True) for key in batch)
    assert batch["rows:mtfl5"].tolist() == [12, 16] and batch["own:mtfl5"].shape == (4, 5, 2)
    target = batch["target"]
    assert np.isfinite(target[:12]).all()
    names = [30, 48, 54]  # nose tip and mouth corners; the eyes are means of lids in 68 points
    rest = np.setdiff1d(np.arange(68), names)
    assert np.isnan(target[12:, rest]).all() and np.isfinite(target[12:, names]).all()
    assert np.isfinite(batch["crop"]).all() and batch["frame"].shape == (16, 3, 32, 32)


def test_faces_that_a_model_labelled_come_at_their_share(drawn):
    sure = np.full(68, 0.9)
    by_model = [replace(s, shape=Shape(s.shape.points, s.shape.markup, confidence=sure)) for s in drawn[8:16]]
    mixed = [*drawn[:8], *by_model, *(five(s) for s in drawn[16:20])]
    store = faces.FaceStore(mixed, markup("ibug68"))
    assert store.others == [markup("mtfl5")] and len(store.groups[store.primary]) == 8
    sampler = faces.FaceSampler(store, replace(Integral.tiny().config, others=0.25, pseudo_labelled=0.5))
    chosen = sampler.choice(0) + sampler.choice(1)
    kinds = [(one.kind.name, one.own_head) for one in chosen[:16]]
    assert kinds == [("ibug68", False)] * 12 + [("mtfl5", True)] * 4
    pseudo = {id(face) for _, face in store.pseudo_labelled}
    assert {id(one.face) for one in chosen} >= pseudo  # 16 draws of 8: each came before any came again
    assert [id(one.face) in pseudo for one in chosen[:16]] == [False] * 4 + [True] * 8 + [False] * 4
    batch = sampler.batch(0)
    assert np.isfinite(batch["target"][:12]).all() and batch["rows:mtfl5"].tolist() == [12, 16]
    assert set(batch) >= {"own:mtfl5"} and "own:ibug68" not in batch


def test_labels_with_a_confidence_alone_are_labels(drawn):
    sure = np.full(68, 0.9)
    alone = [replace(s, shape=Shape(s.shape.points, s.shape.markup, confidence=sure)) for s in drawn[:4]]
    store = faces.FaceStore(alone, markup("ibug68"))
    assert len(store.groups[store.primary]) == 4 and not store.pseudo_labelled


def test_mirrored_targets_swap_sides(drawn):
    """In every view the subject's right eye is where the picture shows it: left of the left one, upright."""
    store = faces.FaceStore(drawn[:6], markup("ibug68"))
    sampler = faces.FaceSampler(store, Integral.tiny().config, seed=2)
    for step in range(6):
        batch = sampler.batch(step)
        framed = [apply(m, p) for m, p in zip(batch["to_frame"], batch["target"], strict=True)]
        for points in framed:
            assert points[36, 0] < points[45, 0] and points[36, 1] < points[57, 1]


def test_without_jitter_the_frame_is_the_first_looks(drawn):
    settings = replace(Integral.tiny().config, jitter=0.0)
    store = faces.FaceStore(drawn[:4], markup("ibug68"))
    task = training.IntegralTask(faces.FaceSampler(store, settings), None)
    module = IntegralNet(settings, torch.from_numpy(store.mean), "ibug68", {})
    batch = {k: torch.from_numpy(v) for k, v in task.batch(0).items()}
    maps = torch.randn(16, 204, 4, 4, generator=torch.Generator().manual_seed(0))
    _, matrix, shift = task.frame(module, batch, maps)
    points = module.enlarged(module.first.decode(maps)[0])
    expected = similarity(points.numpy(), module.upright().numpy())
    for n in range(16):
        ours = (batch["target"][n] @ matrix[n] + shift[n]).numpy()
        assert np.allclose(ours, apply(expected[n], batch["target"][n].numpy()), atol=0.05)


def test_unknown_points_of_the_target_lie_where_the_mean_shape_has_them(drawn):
    kind = markup("ibug68")
    store = faces.FaceStore([*drawn[:6], five(drawn[7])], kind)
    face = store.groups[markup("mtfl5")][0]
    mean = kind.convert(store.mean, "mtfl5")
    placed = apply(invert(similarity(face.own, mean)), store.mean)
    missing = np.isnan(face.target).any(1)
    assert missing.any() and np.allclose(face.outline[missing], placed[missing])


def test_pupils_come_from_the_sets_that_have_them(drawn):
    kind = markup("ibug70")
    store = faces.FaceStore([*drawn[:6], *(five(s) for s in drawn[6:])], kind)
    assert store.primary == markup("ibug68") and np.isfinite(store.mean).all()
    for pupil, lids in ((68, range(36, 42)), (69, range(42, 48))):  # the drawn eyes are the means of the lids
        assert np.allclose(store.mean[pupil], store.mean[list(lids)].mean(0), atol=0.06)
    face = store.groups[markup("mtfl5")][0]
    assert np.isfinite(face.target[[68, 69, 30, 48, 54]]).all() and np.isnan(face.target[36:48]).all()


def test_a_point_that_no_sample_has_is_named(drawn):
    kind = MarkUp("more", (*markup("ibug68").points, "third_eye"))
    with pytest.raises(DataSetError, match="third_eye"):
        faces.FaceStore(drawn[:3], kind)


def test_training_goes_on_from_saved_weights(fitted, drawn, tmp_path: Path):
    saved = fitted.save(tmp_path / "model")
    more = Integral(
        config.override(Integral.tiny().config, {"steps": "1", "learning_rate": "1e-9", "ema": "0"})
    )
    more.initial = saved
    more.fit(drawn[:36], seed=2)
    face = drawn[45]
    moved = more.predict(face.image, face.box).points - fitted.predict(face.image, face.box).points
    assert np.abs(moved).max() < 0.03 * face.box.size  # batch norms see one more batch


def test_a_start_turns_the_crop_upright(fitted, drawn):
    face = drawn[41]
    start = fitted.predict(face.image, face.box)
    placed = apply(fitted._matrix(face.box, start), start.points)
    right, left = placed[36:42].mean(0), placed[42:48].mean(0)
    assert abs(right[1] - left[1]) < 0.06 * fitted.config.crop_size
    assert isinstance(fitted.predict(face.image, face.box, start=face.shape.to("mtfl5")), Shape)


@pytest.mark.parametrize("settings", [{"size": "100"}, {"first_size": "60"}, {"crop_size": "100"}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigError):
        config.override(Config(), settings)


def test_faces_labelled_far_from_their_boxes_are_seen(drawn):
    """The mean shape then lies far from the frame, and so does what the frame sees."""
    far = [replace(s, shape=s.shape.with_points(s.shape.points + 1e6)) for s in drawn[:3]]
    store = faces.FaceStore(far, far[0].shape.markup)
    view = faces.FaceSampler(store, Config()).plain(store.groups[store.primary][0])
    assert np.abs(view.to_frame[:, 2]).max() > 1e5 and np.ptp(view.frame) > 0

"""How a confidence falls where faces are unlike those that it was learnt from, and where there are none."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from known_faces import Oracle, faces
from scipy.special import expit

from meanshape.core.errors import DataSetError, WeightsError
from meanshape.core.image import write_image
from meanshape.core.markup import markup
from meanshape.datasets import load_data
from meanshape.evaluation import domain
from meanshape.evaluation.calibration import calibrate
from meanshape.evaluation.domain import (
    learn_domain,
    photos_without_people,
    predict_views,
    scenes,
    shuffled,
    views,
)
from meanshape.evaluation.perturb import View
from meanshape.methods.shared.confidence import Confidence, Found
from meanshape.methods.shared.domain import SIDE, AlignmentCheck, Domain, Doubt, both, patch_frame, patches

KIND = markup("ibug68")


class Guess(Oracle):
    """Knows the faces of pictures as they are; of any other it thinks that the mean face stands upright.

    With `votes`, it says how they spread: little where it knows the face.
    """

    def __init__(self, samples, votes):
        super().__init__(samples)
        self.votes, self.rng = votes, np.random.default_rng(0)
        self.mean = np.mean([(s.shape.points - s.box.center) / s.box.size for s in samples], axis=0)

    def _predict_batch(self, images, boxes, starts, **options):
        found, spread = [], []
        for image, box in zip(images, boxes, strict=True):
            known = self.truth.get(image.tobytes())
            points = self.mean * box.size + box.center if known is None else known[0]
            strength = box.size * self.rng.uniform(0.002, 0.015)
            off = self.rng.normal(0, strength, (2, *points.shape))
            found.append([points + off[0] + off[1], points + off[0]])
            spread.append(np.full(len(points), strength if known else 0.2 * box.size))
        return Found(np.array(found), np.array(spread)) if self.votes else np.array(found)


@pytest.fixture(scope="module")
def rendered():
    return list(load_data("synthetic:40@72:train"))


@pytest.fixture(scope="module", params=[True, False], ids=["votes", "patches"])
def learnt(request, rendered):
    model = Guess(rendered, request.param)
    plain, _ = calibrate(model, rendered, rendered)
    return model, plain, *learn_domain(model, plain, rendered, rendered)


def test_it_falls_where_faces_are_turned_and_where_there_are_none(learnt):
    _, _, made, found = learnt
    assert (made.domain.slopes <= 0).all() and made.domain.slopes.min() < 0
    assert found["plain"]["mean"] > found["turned"]["mean"] + 10
    assert found["plain"]["mean"] > found["no face"]["mean"] + 20
    assert found["no face"]["right"] == 0
    assert set(found) >= {
        "plain",
        "tilted",
        "turned",
        "covered",
        "blurred",
        "small",
        "dark",
        "no face",
        "all faces",
    }


def test_it_tells_right_from_wrong_where_points_alone_do_not(learnt, rendered):
    model, plain, made, _ = learnt
    seen = predict_views(model, rendered[1::2], partial(views, scenes(1)), (0, 2), lambda share, text: None)
    good = seen.errors <= 5

    def mistaken(confidence):
        said = confidence(seen.found, seen.pictures)
        return float(np.mean((said - good)[np.isfinite(seen.errors)] ** 2))

    assert mistaken(made) < 0.7 * mistaken(plain)


def test_plain_faces_are_as_sure_as_before(learnt, rendered):
    model, plain, made, _ = learnt
    images, boxes = [s.pixels() for s in rendered], [s.box for s in rendered]
    answer = model._predict_batch(images, boxes, [None] * len(boxes))
    found = answer if isinstance(answer, Found) else Found(answer)
    assert abs(made(found, images).mean() - plain(found, images).mean()) < 0.02


def test_it_is_kept_in_the_folder(learnt, tmp_path, rendered):
    _, _, made, _ = learnt
    made.save(tmp_path)
    again = Confidence.load(tmp_path, KIND)
    images = [s.pixels() for s in rendered[:5]]
    points = np.stack([s.shape.points for s in rendered[:5]])
    found = Found(np.stack([points + 1, points], 1), np.full(points.shape[:2], 3.0))
    assert np.allclose(again(found, images), made(found, images), atol=0.02)
    groups = made.domain.arrays()
    assert Domain.from_arrays({}, 68) is None
    with pytest.raises(ValueError, match="other signals"):
        Domain.from_arrays({"domain": groups["domain"] | {"slopes": np.zeros(3, np.float32)}}, 68)
    if "check" in groups:
        with pytest.raises(ValueError, match="other points"):
            Domain.from_arrays(groups, 5)


def test_a_file_with_half_a_domain_is_refused(learnt, tmp_path):
    _, _, made, _ = learnt
    made.save(tmp_path)
    with np.load(tmp_path / "confidence.npz") as kept:
        left = {name: kept[name] for name in kept if not name.endswith("slopes") or "regression" in name}
    np.savez(tmp_path / "confidence.npz", **left)
    with pytest.raises(WeightsError, match="not a confidence"):
        Confidence.load(tmp_path, KIND)


def test_a_model_without_votes_does_not_use_a_confidence_that_wants_them(rendered):
    model = Guess(rendered, True)
    plain, _ = calibrate(model, rendered, rendered)
    made = replace(plain, domain=Domain.none())
    points = np.stack([s.shape.points for s in rendered[:2]])
    assert made(Found(np.stack([points, points], 1)), [s.pixels() for s in rendered[:2]]) is None


def test_the_check_learns_how_far_points_are_off():
    rng = np.random.default_rng(0)
    kinds = rng.normal(0, 1, (600, 6))
    seen = kinds @ rng.normal(0, 0.4, (6, SIDE**2)) + rng.normal(0, 0.3, (600, SIDE**2))
    log_error = np.log(5) + 0.8 * np.maximum(kinds[:, :3], 0)
    nobody = kinds[:, 5] > 1
    check = AlignmentCheck.fit(np.zeros((3, 2)), seen[:500], np.exp(log_error[:500]), nobody[:500])
    said = check.of_patches(seen[500:])
    assert all(np.corrcoef(said.points[:, k], log_error[500:, k])[0, 1] > 0.8 for k in range(3))
    assert np.mean((said.face < 0) == nobody[500:]) > 0.85
    with pytest.raises(DataSetError, match="known points"):
        AlignmentCheck.fit(np.zeros((3, 2)), seen[:500], np.full((500, 3), np.nan), nobody[:500])


def test_faces_whose_points_are_far_off_do_not_teach_what_a_face_is():
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 1, (300, SIDE**2))
    kind = rng.integers(0, 3, 300)  # a face, a face whose points are far off, nobody
    seen[:, 0] = 3 * np.array([1, -1, -1])[kind]
    errors = np.array([2.0, 50.0, 1000.0])[kind][:, None].repeat(3, 1)
    check = AlignmentCheck.fit(np.zeros((3, 2)), seen, errors, kind == 2)
    assert np.array_equal(check.of_patches(seen).face > 0, kind == 0)


def test_a_check_from_before_it_knew_of_faces_takes_them_for_granted():
    rng = np.random.default_rng(0)
    old = AlignmentCheck(
        rng.random((5, 2)), rng.normal(0, 1, (SIDE**2, 8)), np.zeros(8), rng.normal(0, 1, (8, 5)), np.zeros(5)
    )
    groups = Domain.none(old).arrays()
    read = Domain.from_arrays(groups, 5)
    assert read is not None and read.check is not None
    said = read.check.of_patches(rng.normal(0, 1, (4, SIDE**2)))
    assert said.points.shape == (4, 5) and np.isinf(said.face).all()


def test_doubt_counts_only_beyond_that_of_plain_faces():
    rng = np.random.default_rng(1)
    plain = rng.random(400) < 0.5
    doubt = rng.normal(0, 0.3, (400, 5)) + np.where(plain, 0, 2)[:, None]
    right = (rng.random((400, 5)) < np.where(plain, 0.9, 0.2)[:, None]).astype(float)
    made = Domain.fit(Doubt.of_points(doubt), np.full((400, 5), np.log(9)), right, plain)
    change = made(doubt)
    assert (change <= made.gain).all() and (change[plain] == made.gain).mean() > 0.6 and made.gain > 0
    said = 1 / (1 + np.exp(-np.log(9) - change))
    assert abs(said[~plain].mean() - 0.2) < 0.05 and abs(said[plain].mean() - 0.9) < 0.06
    assert said[plain].mean() == pytest.approx(0.9, abs=1e-6)  # as before, whatever is right here
    assert np.allclose(made(doubt + 1e6), made(doubt + 2e6))  # nothing learnt out there


def test_what_is_no_face_is_sure_of_nothing_and_faces_stay_as_sure():
    rng = np.random.default_rng(1)
    plain = rng.random(400) < 0.5
    odds = np.full((400, 5), np.log(4))
    right = (rng.random((400, 5)) < np.where(plain, 0.8, 0)[:, None]).astype(float)
    doubt = Doubt(rng.normal(0, 0.3, (400, 5)), np.where(plain, 3.0, -5.0))
    made = Domain.fit(doubt, odds, right, plain)
    said = expit(odds + made(doubt.points)) * expit(doubt.face)[:, None]
    assert said[~plain].max() < 0.01
    assert said[plain].mean() == pytest.approx(0.8, abs=1e-6)


def test_both_signals_are_a_points_own_and_its_faces():
    assert both(np.array([[1.0, 3.0]])).tolist() == [[[1, 2], [3, 2]]]


def test_patches_do_not_change_with_place_size_and_light():
    sample = faces(1)[0]
    points = sample.shape.points[None]
    frame = patch_frame(points)
    assert np.allclose(frame.min(0) + frame.max(0), SIDE - 1) and np.ptp(frame) == pytest.approx(SIDE / 1.3)
    smooth = np.fromfunction(lambda y, x, c: 90 + 60 * np.sin(x / 9) * np.cos(y / 7), (90, 120, 3))
    one = patches(frame, [smooth.astype(np.uint8)], points)
    moved = np.roll(smooth, (4, -3), (0, 1))
    assert np.allclose(patches(frame, [moved.astype(np.uint8)], points + np.array([-3, 4])), one, atol=0.05)
    assert np.allclose(patches(frame, [(smooth * 0.8 + 20).astype(np.uint8)], points), one, atol=0.1)
    assert np.isnan(patches(frame, [smooth.astype(np.uint8)], np.full((1, 68, 2), np.nan))).all()
    assert np.isnan(patches(frame, [smooth.astype(np.uint8)], np.full((1, 68, 2), 40.0))).all()


def test_a_face_that_was_cut_up_has_the_same_pixels_elsewhere(rendered):
    sample = rendered[0]
    pixels, box = sample.pixels(), sample.box
    mixed = shuffled(pixels, box, np.random.default_rng(0))
    assert mixed is not pixels and (mixed != pixels).any()
    assert np.array_equal(np.sort(mixed.ravel()), np.sort(pixels.ravel()))
    tiny = replace(box, left=1.0, top=1.0, right=3.0, bottom=3.0)
    assert np.array_equal(shuffled(pixels, tiny, np.random.default_rng(0)), pixels)


def test_views_of_a_face_are_the_same_for_the_same_seed(rendered):
    sample = rendered[0]
    view = View(sample.pixels(), sample.shape.points, sample.box)
    empty = [np.full((50, 60, 3), 7, np.uint8)]
    one, two = (list(views(empty, view, np.random.default_rng(3))) for _ in range(2))
    assert [name for name, _ in one] == [name for name, _ in two]
    assert all(
        np.array_equal(a.pixels, b.pixels) and a.box == b.box for (_, a), (_, b) in zip(one, two, strict=True)
    )
    nobody = [v for name, v in one if name == "no face"]
    assert all(one.pixels is empty[0] and one.box.right <= 60 for one in nobody[:-1])
    assert nobody[-1].pixels is not empty[0] and len(nobody) == 5


def test_photos_without_people_are_held_small_and_not_all(tmp_path, monkeypatch):
    monkeypatch.setattr(domain, "MAX_PHOTOS", 3)
    for number in range(7):
        write_image(tmp_path / f"{number}.png", np.full((40 + number, 800, 3), 30 * number, np.uint8))
    held = photos_without_people(tmp_path)
    assert [int(pixels[0, 0, 0]) for pixels in held] == [0, 90, 180]
    assert all(
        pixels.shape == (round((40 + n) * 0.4), 320, 3) for n, pixels in zip((0, 3, 6), held, strict=True)
    )


@pytest.mark.parametrize(("log_odds", "share"), [(-20.0, 0.0), (0.0, 0.5), (20.0, 1.0)])
def test_the_confidence_is_multiplied_by_how_likely_there_is_a_face(rendered, log_odds, share):
    """P(right) = P(face) P(right | face)."""
    model = Guess(rendered, False)
    plain, _ = calibrate(model, rendered, rendered)
    points = np.stack([s.shape.points for s in rendered[:3]])
    found, images = Found(np.stack([points + 1, points], 1)), [s.pixels() for s in rendered[:3]]
    bias = np.append(np.zeros(68), log_odds)
    check = AlignmentCheck(patch_frame(points), np.zeros((SIDE**2, 2)), np.zeros(2), np.zeros((2, 69)), bias)
    made = replace(plain, domain=Domain.none(check))
    assert np.allclose(made(found, images), share * plain(found, images), atol=0.002)

"""How sure a model may be of its points: what that is made of, how it is learnt, where it appears."""

import json

import numpy as np
import pytest
from known_faces import Oracle, faces

from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.errors import DataSetError, MarkUpError, WeightsError
from meanshape.core.markup import markup
from meanshape.datasets import ibug300w, load_data
from meanshape.evaluation import calibration, domain, evaluate
from meanshape.evaluation.calibration import calibrate
from meanshape.evaluation.reliability import auroc, reliability
from meanshape.methods.mean_shape import MeanShape
from meanshape.methods.shared import confidence as parts
from meanshape.methods.shared.confidence import Confidence, shape_model, signals

KIND = markup("ibug68")


class Staged(Oracle):
    """Answers the truth with noise of another strength for each face, and a stage before it worse points."""

    def __init__(self, samples, seed=0, stages=2):
        super().__init__(samples)
        self.rng, self.stages = np.random.default_rng(seed), stages

    def _predict_batch(self, images, boxes, starts, **options):
        found = []
        for image in images:
            points, number = self.truth[image.tobytes()]
            strength = 0.3 + 0.5 * (number % 5)
            off = self.rng.normal(0, strength, (2, 68, 2))
            found.append([points + off[0] + off[1], points + off[0]][-self.stages :])
        return np.array(found)


@pytest.fixture(scope="module")
def many():
    return faces(80)


@pytest.fixture(scope="module")
def learnt(many):
    return calibrate(Staged(many), many, many)


def test_a_confidence_that_was_learnt_is_right_about_other_faces(many, learnt):
    made, found = learnt
    assert made.staged and found["faces"] == 40
    assert abs(found["right"] - found["mean"]) < 4 and found["ece"] < 4
    assert found["auroc"] > found["auroc_constant"] + 10 and found["auroc_faces"] > 80


def test_without_stages_the_shape_alone_tells(many):
    made, found = calibrate(Staged(many, stages=1), many, many)
    assert not made.staged and len(made.slopes) == 3
    assert found["ece"] < 5 and found["auroc_faces"] > 70


def test_where_a_face_lies_how_large_and_how_turned_does_not_count(many):
    shapes = shape_model(np.stack([s.shape.points for s in many]), KIND)
    points = np.stack([s.shape.points for s in many[:3]])
    before = points + np.random.default_rng(0).normal(0, 1, points.shape)
    turn = 2.5 * np.array([[0.8, 0.6], [-0.6, 0.8]])
    plain = signals(shapes, points, before)
    assert plain.shape == (3, 68, 5)
    assert np.allclose(plain, signals(shapes, points @ turn + 70, before @ turn + 70))
    assert np.allclose(plain[..., :3], signals(shapes, points))


def test_more_doubt_never_makes_surer(learnt, many):
    made, _ = learnt
    assert (made.slopes <= 0).all()
    points = many[0].shape.points[None]
    off = points.copy()
    off[0, 30] += 8
    assert made.of_points(off, off)[0, 30] < made.of_points(points, points)[0, 30]
    assert (made.of_points(points, points + 6) <= made.of_points(points, points)).all()
    assert (
        made.of_points(points, points)[0, 36] != made.of_points(points, points)[0, 0]
    )  # another residual or constant


def test_two_numbers_suit_it_to_other_faces(many):
    class Worse(Staged):
        def _predict_batch(self, images, boxes, starts, **options):
            if self.truth[images[0].tobytes()][1] < 100:
                return super()._predict_batch(images, boxes, starts, **options)
            found = super()._predict_batch(images, boxes, starts, **options)
            return found + self.rng.normal(0, 1.2, found.shape[-2:])

    others = faces(120, seed=3)[40:]
    all_faces = [*many, *[others[0]] * 20, *others]
    plain, _ = calibrate(Worse(all_faces), many, many)
    made, found = calibrate(Worse(all_faces), many, many, others)
    assert np.allclose(made.slopes * plain.slopes.sum(), plain.slopes * made.slopes.sum())
    assert found["faces"] == 40 and abs(found["right"] - found["mean"]) < 4


def test_nonsense_has_no_confidence(learnt):
    made, _ = learnt
    same = np.full((1, 68, 2), 4.0)
    assert (made.of_points(same, same) == 0).all()
    assert (made.of_points(np.full((1, 68, 2), np.nan), same) == 0).all()


def test_it_is_kept_in_the_folder_of_a_model(tmp_path, many, learnt):
    made, _ = learnt
    points = np.stack([s.shape.points for s in many[:4]])
    made.save(tmp_path)
    again = Confidence.load(tmp_path, KIND)
    assert np.allclose(again.of_points(points, points + 1), made.of_points(points, points + 1), atol=2e-3)
    with pytest.raises(WeightsError, match="other points than mtfl5"):
        Confidence.load(tmp_path, markup("mtfl5"))
    np.savez(tmp_path / parts.FILE, **{"shapes.mean": np.zeros(2)})
    with pytest.raises(WeightsError, match="not a confidence"):
        Confidence.load(tmp_path, KIND)


def test_a_model_says_it_with_its_points(tmp_path, many, learnt):
    model = Staged(many)
    assert model.predict(many[0].image, many[0].box).confidence is None
    model.confidence = learnt[0]
    shape = model.predict(many[0].image, many[0].box)
    assert shape.confidence.shape == (68,) and 0 <= shape.confidence.min() < shape.confidence.max() <= 1
    assert shape.to("mtfl5").confidence[0] == shape.confidence[36:42].min()
    model.stages = 1  # it wants to know the stage before
    assert model.predict(many[0].image, many[0].box).confidence is None
    model.stages = 2
    sure = [model.predict(sample.image, sample.box).confidence.mean() for sample in many[:5]]
    assert np.argmin(sure) == 4  # the face with the largest errors


def test_a_saved_model_keeps_it_and_a_fit_forgets_it(tmp_path, many, learnt):
    model = MeanShape().fit(many)
    model.confidence = Confidence(
        learnt[0].shapes, learnt[0].slopes[:3], learnt[0].low[:3], learnt[0].high[:3], learnt[0].base
    )
    model.save(tmp_path / "model")
    again = MeanShape.load(tmp_path / "model")
    said = again.predict(many[0].image, many[0].box).confidence
    assert np.allclose(said, model.predict(many[0].image, many[0].box).confidence, atol=2e-3)
    assert again.fit(many).predict(many[0].image, many[0].box).confidence is None


def test_an_evaluation_measures_it(many, learnt):
    model = Staged(many, seed=1)
    assert evaluate(model, many).to_dict()["confidence"] is None
    model.confidence = learnt[0]
    found = evaluate(model, many).to_dict()["confidence"]
    assert found["faces"] == 80 and found["ece"] < 5 and len(found["predicted"]) == 10
    assert json.loads(json.dumps(found)) == found


def test_measures_by_hand():
    sure = np.array([[0.9, 0.9, 0.1, 0.1]])
    found = reliability(sure, np.array([[1.0, 9.0, 9.0, np.nan]]))
    assert (found["faces"], found["right"], found["mean"]) == (1, 33.33, 63.33)
    assert found["auroc"] == 75.0 and found["auroc_faces"] is None
    assert found["ece"] == pytest.approx((10 + 90 + 10) / 3, abs=0.01)
    assert reliability(sure, np.full((1, 4), np.nan)) == {}
    assert auroc(np.array([3.0, 1, 2]), np.array([True, False, False])) == 100.0


def test_what_it_cannot_learn_from_is_said(many):
    with pytest.raises(DataSetError, match="40 faces"):
        calibrate(Staged(many), many[:30], many)
    with pytest.raises(DataSetError, match="what shapes"):
        calibrate(Staged(many), many, many[:5])
    with pytest.raises(DataSetError, match="some are right"):
        calibrate(Oracle(many), many, many)
    five = faces(80, markup="mtfl5")
    with pytest.raises(MarkUpError, match="do not tell"):
        calibrate(Staged(many), five, five)


def test_the_command_writes_it_into_the_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST", 1)
    monkeypatch.setattr(domain, "FEWEST", 1)
    ibug300w.miniature(tmp_path / "data")
    data = f"ibug300w:{tmp_path / 'data'}"
    monkeypatch.setattr("meanshape.datasets.load_data", lambda text: load_data(text, allow_missing=True))
    monkeypatch.setattr(
        "meanshape.apps.cli.evaluate.read", lambda text, *rest: load_data(text, allow_missing=True)
    )
    folder = MeanShape().fit(load_data(f"{data}:train", allow_missing=True)).save(tmp_path / "model")
    plot = tmp_path / "plot.svg"
    asked = ["calibrate", str(folder), "--data", f"{data}:train", "--plot", str(plot)]
    assert main(asked) == 0
    assert "ECE" in capsys.readouterr().out and plot.read_text("utf-8").startswith("<svg")
    card = weights.verify(folder)
    assert parts.FILE in card.files and card.more["confidence"]["data"] == "ibug300w:train"
    assert MeanShape.load(folder).predict(np.zeros((40, 40, 3), np.uint8)).confidence.shape == (68,)


def test_points_that_nobody_annotated_get_a_confidence_too():
    """70 points learnt on faces with 68: pupils are placed as the model places them, and count nothing."""
    rng = np.random.default_rng(0)
    shapes = rng.normal(0, 1, (30, 70, 2)) * 0.05 + rng.normal(0, 1, (1, 70, 2))
    angle = 0.4
    turn = 3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    whole = calibration.completed(shapes[:5, :68] @ turn + 7, np.arange(68), shapes)
    assert np.allclose(whole[:, :68], shapes[:5, :68] @ turn + 7)
    assert np.abs(whole[:, 68:] - (shapes[:5, 68:] @ turn + 7)).max() < 1.0  # of a face of about 6
    kind = markup("ibug70")
    right = np.full((30, 70), np.nan)
    right[:, :68] = rng.random((30, 68)) < 0.7
    made = Confidence.fit(kind, shape_model(shapes, kind), shapes, None, right)
    assert made.base.shape == (70,) and np.isfinite(made.base).all()
    assert np.allclose(made.base[68:], np.median(made.base), atol=1.0)


def test_a_truth_that_is_no_part_of_the_models_points_is_refused():
    model = MeanShape()
    model.markup = markup("ibug70")
    assert calibration.annotated_points(model, markup("ibug68")).tolist() == list(range(68))
    assert calibration.annotated_points(model, markup("ibug51")).tolist() == list(range(17, 68))
    with pytest.raises(MarkUpError, match="do not tell"):
        calibration.annotated_points(model, markup("lfpw29"))

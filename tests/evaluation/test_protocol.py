"""Which box a model gets, what it is scored on, and what happens to what is missing."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_faces import Finder, Oracle, faces

import meanshape as ms
from meanshape.apps.cli.evaluate import remarks
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, DataSetError, MarkUpError, NotFitted
from meanshape.core.face import Emotion
from meanshape.core.image import read_image
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import cnn_facepoint, load_data
from meanshape.datasets.parts.boxes import canonical_box_from_doubled
from meanshape.evaluation import Remembered, evaluate, find_start
from meanshape.evaluation.starts import penalty_shape
from meanshape.methods.mean_shape import MeanShape

GREY = np.zeros((60, 80, 3), np.uint8)
CANONICAL = Box(1, 2, 30, 40)
FIVE = np.array([[30, 20], [50, 20], [40, 30], [32, 40], [48, 40]], float)


def moved(points, number):
    """Every point 5 pixels off."""
    return points + np.array([3, 4])


def test_the_truth_is_measured_without_error(samples):
    found = evaluate(Oracle(samples), samples)
    assert found.nme() == pytest.approx(0, abs=1e-12)
    assert (found.norm, found.auc(), found.failure_rate()) == ("inter_ocular", 100, 0)
    assert found.ids == tuple(sample.id for sample in samples)
    assert (found.about.model, found.about.bytes, found.about.box) == ("oracle", None, "truth")


def test_a_known_error_is_measured_by_every_normaliser(samples):
    found = evaluate(Oracle(samples, moved), samples)
    assert np.allclose(found.errors, 5)
    points = np.stack([sample.shape.points for sample in samples])
    eyes = np.linalg.norm(points[:, 36:42].mean(1) - points[:, 42:48].mean(1), axis=1)
    size = np.ptp(points, 1)
    assert found.nme("inter_ocular") == pytest.approx(
        100 * np.mean(5 / np.linalg.norm(points[:, 36] - points[:, 45], axis=1))
    )
    assert found.nme("inter_pupil") == pytest.approx(100 * np.mean(5 / eyes))
    assert found.nme("box_diagonal") == pytest.approx(100 * np.mean(5 / np.hypot(*size.T)))
    assert found.nme("box_size") == pytest.approx(100 * np.mean(5 / np.sqrt(size.prod(1))))
    assert found.nme("box_width") == pytest.approx(100 * np.mean(5 / size[:, 0]))


def test_a_model_gets_pixels_and_the_canonical_box_alone(samples):
    model = Oracle(samples)
    evaluate(model, samples)
    shown = model.given[-len(samples) :]
    for (pixels, box), sample in zip(shown, samples, strict=True):
        assert np.array_equal(pixels, sample.pixels())
        assert box == sample.box


@pytest.mark.parametrize(
    ("sample", "truth", "given"),
    [
        (Sample("own", GREY, None, CANONICAL, own_box=Box(0, 0, 9, 9)), Box(0, 0, 9, 9), CANONICAL),
        (Sample("canonical", GREY, None, CANONICAL), CANONICAL, CANONICAL),
        (Sample("nothing", GREY), Box(-0.5, -0.5, 79.5, 59.5), Box(-0.5, -0.5, 79.5, 59.5)),
        (
            Sample("five", GREY, Shape(FIVE, "mtfl5")),
            Box(20, 10, 60, 50),
            canonical_box_from_doubled(Box(20, 10, 60, 50)),
        ),
    ],
)
def test_the_truth_box(sample, truth, given):
    start = find_start(sample, sample.pixels())
    assert (start.truth, start.given) == (truth, given)


def test_without_a_box_68_points_have_their_tight_box(samples):
    bare = Sample("bare", samples[0].image, samples[0].shape)
    start = find_start(bare, bare.pixels())
    assert start.truth == start.given == samples[0].shape.box()
    single = np.full((68, 2), np.nan)
    single[3] = 5
    alone = Sample("alone", GREY, Shape(single))
    assert find_start(alone, GREY).given == Box.whole(80, 60)


def test_the_sets_own_box_width_divides_errors(tmp_path):
    found = load_data(f"cnn_facepoint:{cnn_facepoint.miniature(tmp_path)}:train")
    model = MeanShape().fit(found)
    result = evaluate(model, found)
    assert result.norm == "inter_pupil"
    widths = [sample.own_box.width for sample in found]
    assert result.lengths("box_width").tolist() == pytest.approx(widths)
    assert widths != pytest.approx([sample.box.width for sample in found])
    line = (tmp_path / "trainImageList.txt").read_text().splitlines()[0].split()
    first = next(s for s in found if s.id in line[0].replace("\\", "/"))
    assert first.own_box.width == float(line[2]) - float(line[1])


def test_the_best_found_box_is_taken(samples):
    boxes = {
        s.pixels().tobytes(): [s.box.shifted(9, 0), s.box.shifted(2, 0), s.box.shifted(500, 0)]
        for s in samples
    }
    model = Oracle(samples)
    found = evaluate(model, samples, box="detector", detector=Finder(boxes))
    assert not found.missed.any()
    given = [box for _, box in model.given[-len(samples) :]]
    for box, sample in zip(given, samples, strict=True):
        assert box.as_list() == pytest.approx(sample.box.shifted(2, 0).as_list())
    assert found.lengths("box_width").tolist() == pytest.approx([s.box.width for s in samples])
    assert (found.about.box, found.about.detector) == ("detector", "whole_image")


def test_a_missed_face_is_scored_with_the_mean_shape_in_the_whole_picture(samples):
    boxes = {s.pixels().tobytes(): [s.box] for s in samples}
    first, second = samples[:2]
    boxes[first.pixels().tobytes()] = []
    far = second.box.shifted(second.box.width * 0.6, 0)  # IoU 0.25
    boxes[second.pixels().tobytes()] = [far]
    assert far.iou(second.box) == pytest.approx(0.25)
    found = evaluate(Oracle(samples), samples, box="detector", detector=Finder(boxes))
    assert found.missed.tolist() == [True, True, False, False, False, False]
    assert np.isnan(found.seconds[:2]).all() and (found.seconds[2:] > 0).all()
    shape = Box.whole(120, 90).absolute(penalty_shape(first.shape.markup, samples))
    expected = np.linalg.norm(shape - first.shape.points, axis=1)
    assert found.errors[0].tolist() == pytest.approx(expected.tolist())
    assert found.per_face()[0] > 10
    assert found.to_dict()["missed"] == 2


def test_a_face_without_numbers_is_a_missed_face(samples):
    def refuses_hard_points(points, number):
        return np.where(np.arange(68)[:, None] == 8, np.nan, points) if number == 1 else points

    found = evaluate(Oracle(samples, refuses_hard_points), samples)
    assert found.missed.tolist() == [False, True, False, False, False, False]
    assert found.per_face()[1] > 10
    assert found.per_face()[[0, 2, 3, 4, 5]].max() < 1e-9


def test_the_mean_shape_of_missed_faces_fits_every_mark_up(samples):
    whole = penalty_shape(samples[0].shape.markup, samples)
    assert whole.shape == (68, 2) and (whole > 0).all() and (whole < 1).all()
    assert np.allclose((whole * (-1, 1) + (1, 0))[list(samples[0].shape.markup.mirror)], whole, atol=1e-3)
    five = faces(markup="mtfl5")
    assert np.allclose(penalty_shape(five[0].shape.markup, five)[2], whole[30])
    many = faces(markup="lfpw29")
    full = [
        Sample(s.id, s.image, Shape(np.nan_to_num(s.shape.points, nan=50.0), "lfpw29"), s.box) for s in many
    ]
    assert np.isfinite(penalty_shape(full[0].shape.markup, full)).all()


def test_a_richer_model_is_scored_in_the_datas_mark_up(samples):
    five = faces(markup="mtfl5")
    found = evaluate(Oracle(samples, moved), five)
    assert (found.markup.name, found.norm, found.errors.shape) == ("mtfl5", "inter_pupil", (6, 5))
    assert np.allclose(found.errors, 5)


def test_richer_data_are_reduced_to_the_models_mark_up(samples):
    found = evaluate(Oracle(samples, moved, "mtfl5"), samples)
    assert (found.markup.name, found.norm) == ("mtfl5", "inter_pupil")
    assert np.allclose(found.errors, 5)
    corners = [np.linalg.norm(s.shape.points[36] - s.shape.points[45]) for s in samples]
    assert found.lengths("inter_ocular").tolist() == pytest.approx(corners)


def test_points_that_a_conversion_cannot_give_do_not_count(samples):
    full = faces(markup="lfpw29")
    truth = [
        Sample(s.id, s.image, Shape(np.nan_to_num(s.shape.points, nan=50.0), "lfpw29"), s.box) for s in full
    ]
    found = evaluate(Oracle(samples), truth)
    assert not found.missed.any()
    assert np.isnan(found.errors).sum(1).tolist() == [2] * 6
    assert found.nme() == pytest.approx(0, abs=1e-9)


def test_mark_ups_that_do_not_meet_are_an_error(samples):
    other = [Sample(s.id, s.image, Shape(np.full((73, 2), 9.0), "imm73"), s.box) for s in samples]
    with pytest.raises(MarkUpError, match=r"lfpw29.*imm73"):
        evaluate(Oracle(samples, markup="lfpw29"), other)
    with pytest.raises(DataSetError, match="one mark-up"):
        evaluate(Oracle(samples), [*samples, *faces(markup="mtfl5")])


def test_a_broken_picture_is_reported_counted_and_left_out(samples, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    mixed = [samples[0], Sample("broken", broken, samples[0].shape, samples[0].box), *samples[1:]]
    found = evaluate(Oracle(samples), mixed)
    assert found.ids == tuple(s.id for s in samples)
    plain = found.to_dict()
    assert (plain["count"], list(plain["broken"])) == (6, ["broken"])
    with pytest.raises(DataSetError, match="none of 1 pictures"):
        evaluate(Oracle(samples), mixed[1:2])
    with pytest.raises(DataSetError, match="no samples"):
        evaluate(Oracle(samples), [])


def test_two_faces_of_one_id_are_both_kept(samples):
    twice = [samples[0], *(Sample(samples[0].id, s.image, s.shape, s.box) for s in samples[1:3])]
    assert evaluate(Oracle(samples), twice).ids == ("face0", "face0#2", "face0#3")


def test_time_is_that_of_predict_alone(samples):
    class Slow(Sample):
        __slots__ = ()

        def pixels(self):
            time.sleep(0.03)
            return super().pixels()

    def slowly(points, number):
        time.sleep(0.004)
        return points

    slow = [Slow(s.id, s.image, s.shape, s.box) for s in samples]
    model = Oracle(samples, slowly)
    found = evaluate(model, slow)
    assert 4 <= found.to_dict()["ms_per_face"] < 30
    assert len(model.given) == len(samples) + 2  # two to warm up, which no clock saw


def test_what_a_model_says_of_a_face_is_held_against_the_labels(samples):
    class Talker(Oracle):
        def attributes(self, image, box):
            glasses = "glasses" if box.left % 2 > 1 else "no glasses"
            return {
                "emotion": Emotion("happy"),
                "smile": {"smiling": 0.2, "not smiling": 0.8},
                "glasses": glasses,
                "age": 3,
            }

    labels = [
        {"emotion": "happy" if n % 2 else "sad", "smile": "not smiling", "gender": "male"} for n in range(6)
    ]
    labelled = [Sample(s.id, s.image, s.shape, s.box, a) for s, a in zip(samples, labels, strict=True)]
    plain = evaluate(Talker(samples), labelled).to_dict()
    assert plain["accuracy"] == {"emotion": 50, "smile": 100}
    assert plain["balanced_accuracy"] == {"emotion": 50, "smile": 100}
    assert set(plain["by"]) == {"gender"}
    assert plain["unknown_labels"] == {}
    faceless = [Sample(s.id, s.image, None, None, s.attributes) for s in labelled]
    plain = evaluate(Talker(samples), faceless).to_dict()
    assert (plain["nme"]["inter_ocular"], plain["accuracy"]["emotion"]) == (None, 50)


def test_one_look_serves_several_models(samples):
    finder = Finder({s.pixels().tobytes(): [s.box] for s in samples})
    shared = Remembered(finder)
    for _ in range(2):
        found = evaluate(Oracle(samples), samples, box="detector", detector=shared)
    assert finder.looks == len(samples)
    assert found.about.detector == "whole_image"


def test_a_folder_has_a_name_and_bytes(samples, tmp_path):
    folder = MeanShape().fit(samples).save(tmp_path / "mean")
    found = ms.evaluate(folder, samples, data="drawn", split="all")
    size = sum(path.stat().st_size for path in Path(folder).iterdir() if path.name != "card.toml")
    assert (found.about.bytes, found.about.model) == (size, str(folder))
    assert (found.to_dict()["data"], found.to_dict()["split"]) == ("drawn", "all")
    assert isinstance(found, ms.Evaluation)


def test_threads_are_set_and_put_back(samples):
    seen = []
    before = cv2.getNumThreads()

    def look(points, number):
        seen.append(cv2.getNumThreads())
        return points

    model = Oracle(samples, look)
    evaluate(model, samples, threads=1)
    assert set(seen) == {1}
    assert cv2.getNumThreads() == before
    with pytest.raises(ConfigError, match="from 1 on"):
        evaluate(model, samples, threads=0)


def test_progress_ends_at_one(samples):
    steps = []
    evaluate(Oracle(samples), samples, progress=lambda share, text: steps.append(share))
    assert steps[-1] == 1 and steps == sorted(steps)


def test_wrong_calls(samples):
    with pytest.raises(NotFitted):
        evaluate(MeanShape(), samples)
    with pytest.raises(DataSetError, match="'truth' or 'detector'"):
        evaluate(Oracle(samples), samples, box="guess")


def test_labels_that_a_model_was_never_taught_do_not_count(samples):
    """It is measured on the labels that both know, by all its answers; the others are counted apart."""

    class Feeling(Oracle):
        def attributes(self, image, box):
            return {"emotion": Emotion("happy", {"happy": 0.5, "sad": 0.3, "neutral": 0.2})}

    felt = ["happy", "contempt", "contempt", "sad", "happy", "happy"]
    labelled = [
        Sample(s.id, s.image, s.shape, s.box, {"emotion": e}) for s, e in zip(samples, felt, strict=True)
    ]
    found = evaluate(Feeling(samples), labelled)
    plain = found.to_dict()
    assert plain["count"] == 6 and plain["unknown_labels"] == {"emotion": {"contempt": 2}}
    assert plain["accuracy"] == {"emotion": 75} and plain["balanced_accuracy"] == {"emotion": 50}
    assert "2 contempt" in " ".join(remarks([found]))


@pytest.mark.parametrize("quarters", [0, 1, 2])
def test_a_detectors_faces_are_those_of_the_pipeline(quarters):
    """Also in a photo that lies on its side or stands on its head."""
    pixels = np.rot90(read_image(Path(__file__).parents[2] / "examples" / "astronaut.jpg"), quarters).copy()
    pipeline = ms.Pipeline(model="cpr")
    seen = pipeline(pixels).faces[0].shape
    sample = Sample("astronaut", pixels, seen)
    found = evaluate(pipeline.model, [sample], box="detector", detector=Remembered(pipeline.detector))
    assert not found.missed.any()
    assert np.nanmax(found.errors) < 1e-6

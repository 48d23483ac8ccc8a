"""`evaluate --by`: errors by groups of faces, recall by groups for detectors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, UnknownName
from meanshape.core.face import Face
from meanshape.core.origin import Origin
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import fgnet, synthetic, widerface
from meanshape.detectors.base import FaceDetector
from meanshape.evaluation import evaluate
from meanshape.evaluation.detection import detect_all, match
from meanshape.evaluation.slices import FEW, group, known_groups, ordered
from meanshape.methods.mean_shape import MeanShape


def aged(ages):
    """Return samples that differ in their ages alone."""
    box, pixels = Box(10, 10, 50, 60), np.zeros((70, 60, 3), np.uint8)
    shape = Shape(box.absolute(np.random.default_rng(0).random((5, 2))), "mtfl5")
    return [Sample(f"{n}", pixels, shape, box, {} if a is None else {"age": a}) for n, a in enumerate(ages)]


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("age", 0, "0 to 3"),
        ("age", 3, "3 to 13"),
        ("age", 69, "60 and more"),
        ("yaw", -31.0, "30 to 45"),
        ("yaw", 15.0, "15 to 30"),
        ("blur", 2, "heavy blur"),
        ("occlusion", 0, "not hidden"),
        ("ethnicity", "white", "white"),
        ("invalid", 1, "1"),
        ("age", None, None),
        ("age", float("nan"), None),
    ],
)
def test_a_value_belongs_to_one_group(name, value, label):
    sample = Sample("a", np.zeros((9, 9, 3), np.uint8), attributes={name: value})
    assert group([sample], name) == (label,)


def test_groups_are_in_the_order_of_their_size():
    samples = aged([70, 1, 30, 2, None])
    assert ordered("age", group(samples, "age")) == ["0 to 3", "20 to 40", "60 and more"]
    assert known_groups(samples) == ["age"]


def test_size_and_hidden_follow_from_box_and_shape():
    sample = aged([1])[0]
    shape = Shape(sample.shape.points, "mtfl5", visible=[True, True, False, True, True])
    assert group([sample, replace(sample, shape=shape)], "hidden") == (None, "10 to 25")
    assert group([sample, replace(sample, own_box=Box(0, 0, 5, 5))], "size") == ("40 to 60", "0 to 10")


def test_a_slice_has_the_faces_of_its_group_alone():
    samples = aged([1] * 40 + [30] * 10 + [None] * 5)
    far = [
        replace(s, shape=Shape(s.shape.points + 3.0, "mtfl5")) if s.attributes.get("age") == 30 else s
        for s in samples
    ]
    model = MeanShape().fit(samples)
    found = evaluate(model, far, by=["age"])
    young, older = found.slices("age")["0 to 3"], found.slices("age")["20 to 40"]
    assert (young.count, older.count, young.few, older.few) == (40, 10, False, True)
    assert young.nme == pytest.approx(0, abs=1e-6) and older.nme > 1
    assert older.interval[0] <= older.nme <= older.interval[1]
    assert found.to_dict()["slices"]["age"]["20 to 40"]["count"] == 10 < FEW
    assert len(found) == 55


def test_labels_are_counted_by_group():
    class Says(MeanShape):
        def attributes(self, image, box):
            return {"emotion": "happy"}

    samples = [
        replace(
            s,
            attributes={
                "emotion": "happy" if n % 4 else "sad",
                "near_duplicate": "none" if n < 20 else "in train",
            },
        )
        for n, s in enumerate(aged([1] * 40))
    ]
    samples = [
        replace(s, attributes={**s.attributes, "emotion": "happy"}) if n >= 20 else s
        for n, s in enumerate(samples)
    ]
    found = evaluate(Says().fit(samples), samples, by=["near_duplicate"])
    right = {label: one.accuracy["emotion"] for label, one in found.slices("near_duplicate").items()}
    assert right == {"in train": 100.0, "none": 75.0}


def test_what_nobody_says_is_an_error_before_the_work():
    with pytest.raises(UnknownName, match="age"):
        evaluate(MeanShape().fit(aged([1, 2])), aged([1, 40]), by=["agee"])
    with pytest.raises(UnknownName):
        evaluate(MeanShape().fit(aged([1, 2])), aged([1, 40]), by=["hidden"])


def test_rendered_faces_tell_what_hides_their_points():
    samples = synthetic.samples(count=8, size=48)
    found = evaluate(MeanShape().fit(samples), samples, by=["hidden", "yaw"])
    assert sum(one.count for one in found.slices("hidden").values()) == 8
    assert sum(one.count for one in found.slices("yaw").values()) == 8


def test_the_command_prints_a_table_for_each(tmp_path, capsys):
    root = fgnet.miniature(tmp_path / "fgnet")
    model = MeanShape().fit(fgnet.samples(root)).save(tmp_path / "mean")
    path = tmp_path / "found.json"
    asked = ["evaluate", str(model), "--data", f"fgnet:{root}", "--by", "age", "--by", "person"]
    assert main([*asked, "--json", str(path)]) == 0
    text = capsys.readouterr().out
    assert "by age:" in text and "by person:" in text and "fewer than 30 faces" in text
    stored = json.loads(path.read_text("utf-8"))["results"][0]["slices"]
    assert list(stored["age"]) == ["0 to 3", "3 to 13", "20 to 40"]
    assert stored["person"]["001"]["count"] == 2


class Fixed(FaceDetector):
    """Answers the same boxes whatever the picture."""

    name = "fixed"

    def __init__(self, *boxes):
        self.boxes = boxes

    def _detect(self, image, **options):
        return [Face(replace(box, score=1 - 0.1 * n)) for n, box in enumerate(self.boxes)]


@pytest.fixture
def wider(tmp_path):
    """Two photos: two faces and one that does not count; one face."""
    for name in ("a", "b"):
        Image.new("RGB", (120, 90)).save(tmp_path / f"{name}.jpg")
    rows = [
        "a.jpg 3",
        "10 10 30 30 0 0 0",
        "60 10 30 30 2 1 0",
        "10 60 20 20 0 0 1",
        "b.jpg 1",
        "70 50 30 30 2 2 0",
    ]
    (tmp_path / "faces.txt").write_text("\n".join(rows) + "\n", "utf-8")
    return tmp_path


def test_recall_by_blur_and_boxes_without_a_face(wider):
    detector = Fixed(Box(10, 10, 40, 40), Box(12, 60, 30, 80), Box(90, 0, 120, 20))
    found = detect_all(detector, widerface.samples(wider), ["blur", "size"])
    assert found.found.tolist() == [True, False, False]
    assert found.recall() == pytest.approx(100 / 3)
    assert found.false.tolist() == [1, 3]  # the invalid face of the first photo is neither
    blur = found.slices("blur")
    assert (blur["clear"]["recall"], blur["heavy blur"]["recall"]) == (100.0, 0.0)
    assert blur["clear"]["few"] and blur["heavy blur"]["count"] == 2


def test_a_face_is_found_once():
    face = Box(0, 0, 10, 10)
    assert match([face, face], [face], []) == ([True], 1)
    assert match([face], [], [face]) == ([], 0)
    assert match([], [face], []) == ([False], 0)


def test_the_command_measures_detectors_on_boxes(wider, tmp_path, capsys):
    path = tmp_path / "found.json"
    asked = [
        "evaluate",
        "whole_image",
        "--data",
        f"widerface:{wider}",
        "--by",
        "occlusion",
        "--json",
        str(path),
    ]
    assert main(asked) == 0
    assert "3 faces of 2 photos" in capsys.readouterr().out
    stored = json.loads(path.read_text("utf-8"))["detectors"][0]
    assert stored["detector"] == "whole_image" and stored["slices"]["occlusion"]["not hidden"]["count"] == 1
    assert stored["recall"] == 0 and stored["false_per_photo"] == 1


def test_a_detector_that_has_learnt_from_the_faces_is_marked(wider, tmp_path, capsys, monkeypatch):
    learnt = property(
        lambda self: Origin(learnt_from=("widerface:train",), chosen_by=("widerface:validation",))
    )
    monkeypatch.setattr(registry.detector("whole_image"), "origin", learnt)
    (wider / "validation.txt").write_text("b.jpg\n", "utf-8")
    found = {}
    for split in ("train", "validation"):
        asked = ["evaluate", "whole_image", "--data", f"widerface:{wider}:{split}", "--allow-missing"]
        assert main([*asked, "--json", str(tmp_path / "found.json")]) == 0
        found[split] = json.loads((tmp_path / "found.json").read_text("utf-8"))["detectors"][0]
    assert (found["train"]["seen"], found["validation"]["seen"]) == (True, False)
    assert (found["train"]["chosen"], found["validation"]["chosen"]) == (False, True)
    train, validation = capsys.readouterr().out.split("widerface:validation")
    assert "whole_image *" in train and "* has learnt from these faces" in train
    assert "has learnt" not in validation and "whole_image: not learnt from" in validation


def test_models_and_detectors_are_measured_apart(wider, tmp_path, capsys):
    root = fgnet.miniature(tmp_path / "fgnet")
    asked = ["evaluate", "mtcnn", "--data", f"widerface:{wider}", "--box", "detector"]
    assert main(asked) == 6
    assert "leave out --box" in capsys.readouterr().err
    asked = ["evaluate", "mtcnn", "--data", f"widerface:{wider}", "--data", f"fgnet:{root}"]
    assert main(asked) == ConfigError.exit_code
    assert "apart from detectors" in capsys.readouterr().err

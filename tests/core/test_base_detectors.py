import json

import numpy as np
import pytest

from meanshape import formats
from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import (
    BoxError,
    ConfigError,
    FormatError,
    ImageError,
    MeanshapeWarning,
    ResultError,
)
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.folder import BY_HAND
from meanshape.detectors import base
from meanshape.detectors.base import best_first
from meanshape.detectors.given import Given
from meanshape.detectors.whole_image import WholeImage

IMAGE = np.zeros((40, 30, 3), np.uint8)
ONE, TWO = Box(1, 2, 3, 4, 0.2), Box(5, 6, 9, 9, 0.8)


def test_the_whole_picture_is_one_face():
    (face,) = WholeImage().detect(IMAGE)
    assert face.box.as_list() == [-0.5, -0.5, 29.5, 39.5]
    assert face.score == 1
    with pytest.raises(ImageError):
        WholeImage().detect("not there.png")


def test_best_come_first():
    small, large, unsure = Face(Box(0, 0, 1, 1, 0.5)), Face(Box(0, 0, 2, 2, 0.5)), Face(Box(0, 0, 9, 9))
    assert best_first([unsure, small, large]) == (large, small, unsure)


def test_a_box_is_its_own_canonical_box_unless_the_card_says_more(monkeypatch):
    assert WholeImage().canonical(ONE) == ONE
    monkeypatch.setattr(base, "_canonical", base._canonical.__wrapped__)  # which remembers cards
    monkeypatch.setattr(registry, "card", lambda kind, name: {"canonical": [0.5, 0.5, 1.0, 1.5]})
    assert WholeImage().canonical(Box(0, 0, 10, 20)) == Box(5, 10, 10, 30)


def test_options_that_a_detector_does_not_know_are_errors():
    for detector in (WholeImage(), Given([ONE])):
        assert detector.detect(IMAGE, source="a.jpg")
        with pytest.raises(ConfigError, match=f"detector {detector.name} takes no min_face"):
            detector.detect(IMAGE, min_face=50)
        assert not detector.takes("min_face")


def test_boxes_for_every_picture():
    faces = Given([ONE, TWO]).detect(IMAGE)
    assert [face.box for face in faces] == [TWO, ONE]


def test_boxes_by_path_by_name_and_by_stem():
    for names in (("a.jpg", "x/a.jpg"), ("x/a.jpg", "a.jpg")):  # the one is called as the other's file is
        both = Given(dict(zip(names, (ONE, TWO), strict=True)))
        assert [both.detect(name)[0].box for name in names] == [ONE, TWO] and both.detect("y/a.jpg") == ()
    given = Given({"photos/a.jpg": ONE, "photos/b.jpg": [TWO], "other/b.png": []})
    for way in ("photos/a.jpg", "photos\\a.jpg", "elsewhere/a.jpg", "a"):
        assert [face.box for face in given.detect(way)] == [ONE]
    assert [face.box for face in given.detect("photos/b.jpg")] == [TWO]
    assert given.detect("b.jpg")[0].box == TWO
    assert given.detect("b") == ()  # which of the two?
    assert given.detect("c.jpg") == ()
    with pytest.raises(BoxError, match="path"):
        given.detect(IMAGE)


def test_boxes_of_the_truth():
    shape = Shape([(0, 0), (4, 0), (2, 2), (0, 4), (4, 4)], "mtfl5")
    given = Given.from_samples(
        [Sample("1", "a/x.jpg", shape), Sample("2", "a/y.jpg", shape, ONE), Sample("3", "a/y.jpg", box=TWO)]
    )
    assert given.detect("a/x.jpg")[0].box == Box(0, 0, 4, 4)
    assert [face.box for face in given.detect("y.jpg")] == [TWO, ONE]
    assert given.detect("1")[0].box == Box(0, 0, 4, 4)


def test_boxes_from_files(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text(
        "image,left,top,right,bottom,score\na.jpg,1,2,3,4,0.2\na.jpg,5,6,9,9,0.8\nb.jpg,1,2,3,4,\n"
    )
    lines = tmp_path / "boxes.jsonl"
    found = [
        Prediction((Face(ONE), Face(TWO)), (9, 9), "a.jpg"),
        Prediction((Face(Box(1, 2, 3, 4)),), (9, 9), "b.jpg"),
        Prediction((), (9, 9), "c.jpg"),
    ]
    lines.write_text("\n".join(json.dumps(one.to_dict()) for one in found) + "\n\n")
    for path in (table, lines):
        given = Given.from_file(path)
        assert [face.box for face in given.detect("a.jpg")] == [TWO, ONE]
        assert given.detect("b.jpg")[0].box == Box(1, 2, 3, 4)
        assert given.detect("c.jpg") == ()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_boxes_of_predictions_are_those_of_their_points(tmp_path, suffix):
    """What `meanshape detect` writes are its detector's boxes, from the forehead to the chin."""
    points = np.column_stack([np.arange(68) % 7, np.arange(68) % 9]) + 20.0
    face = Face(Box(18, 0, 28, 30), Shape(points, "ibug68"), 0.5)
    path = tmp_path / f"boxes{suffix}"
    formats.write(path, [Prediction((face,), (99, 99), "a.jpg", "dan")])
    (found,) = Given.from_file(path).detect("a.jpg")
    assert found.box == Box(20, 20, 26, 28, 0.5) and found.score == 0.5
    five = Face(face.box, Shape(points[:5], "mtfl5"), 0.5)
    formats.write(path, [Prediction((five,), (99, 99), "a.jpg", "mtcnn")])
    with pytest.warns(MeanshapeWarning, match="1 boxes are taken to be tight around eyebrows and chin"):
        assert Given.from_file(path).detect("a.jpg")[0].box.as_list() == face.box.as_list()
    if suffix == ".jsonl":
        formats.write(path, [Prediction((five,), (99, 99), "a.jpg", BY_HAND)])
        assert Given.from_file(path).detect("a.jpg")[0].box.as_list() == face.box.as_list()


@pytest.mark.parametrize("name", ["a\u2028b.jpg", "a\x85b.jpg", "a\nb.jpg"])
def test_boxes_of_photos_with_line_breaks_in_their_names(tmp_path, name):
    (tmp_path / "boxes.csv").write_text(f'image,left,top,right,bottom\n"{name}",0,0,4,4\n', "utf-8")
    found = Prediction((Face(Box(0, 0, 4, 4)),), (9, 9), name)
    (tmp_path / "boxes.jsonl").write_text(json.dumps(found.to_dict(), ensure_ascii=False), "utf-8")
    for path in (tmp_path / "boxes.csv", tmp_path / "boxes.jsonl"):
        assert Given.from_file(path).detect(name)[0].box == Box(0, 0, 4, 4)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.csv", "image,left,top,right,bottom\na.jpg,1,2,3,4\na.jpg,1,2,x,4\n", 3),
        ("a.csv", "image,left,top\na.jpg,1,2\n", 2),
        ("a.csv", "image,left,top,right,bottom\na.jpg,3,2,1,4\n", 2),
        ("a.jsonl", '\n{"source": "a.jpg"}\n', 2),
        ("a.jsonl", "{", 1),
        ("a.jsonl", '{"source": "a", "faces": [{"box": [1, 2, 3]}]}', 1),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=rf"a\.\w+, line {line}: ") as caught:
        Given.from_file(tmp_path / name)
    assert caught.value.line == line


@pytest.mark.parametrize(("found", "kind"), [([ONE], "Box"), ([(1, 2, 3, 4)], "tuple"), (None, "NoneType")])
def test_a_detector_of_ones_own_that_returns_something_else_is_named(found, kind):
    class Other(WholeImage):
        name = "other"

        def _detect(self, image):
            return found

    with pytest.raises(ResultError, match=f"detector other has to return Faces, not {kind}"):
        Other().detect(IMAGE)

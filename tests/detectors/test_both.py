"""MTCNN, and Glance where MTCNN is sure of no face or where there may be many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import meanshape as ms
from meanshape import Box, Face
from meanshape.core import weights
from meanshape.core.errors import ConfigError
from meanshape.core.image import Pixels, read_image
from meanshape.detectors.both import STRICT, Both

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
pytestmark = pytest.mark.skipif(
    not {"mtcnn", "glance"} <= {*weights.names(), *weights.detector_names()},
    reason="the package has no weights of mtcnn or glance",
)


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


def tilted(degrees: float) -> Pixels:
    photo = read_image(PHOTO)
    high, wide = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), degrees, 0.7)
    return np.asarray(cv2.warpAffine(photo, turn, (wide, high), borderValue=(127, 127, 127)), np.uint8)


def silent(name: str, found: list[Face]) -> Any:
    """Return what stands for a detector and finds this."""

    class Told:
        min_face = 40.0

        def detect(self, image: Pixels, **asked: Any) -> list[Face]:
            self.asked = asked
            return found

        def scores(self, image: Pixels, boxes: list[Box]) -> list[float]:
            return [found[0].score or 0.0] * len(boxes)

        def canonical(self, box: Box) -> Box:
            return box.scaled(0.5)

    Told.__name__ = name
    return Told()


def test_glance_is_not_asked_where_mtcnn_is_sure(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    found = both.detect(PHOTO)
    monkeypatch.setattr(both, "glance", None)
    assert both.detect(PHOTO) == found == both.mtcnn.detect(PHOTO) and len(found) == 1


def test_a_tilted_face_is_found_by_glance_in_the_boxes_of_mtcnn(both: Both) -> None:
    pixels = tilted(50)
    assert not both.mtcnn.detect(pixels)
    (face,), (known,) = both.detect(pixels), both.glance.detect(pixels)
    assert both.canonical(face.box).as_list() == pytest.approx(both.glance.canonical(known.box).as_list())
    assert face.score == face.box.score == known.score and face.shape == known.shape


@pytest.mark.parametrize(("score", "count"), [(STRICT - 0.01, 0), (STRICT, 1)])
def test_glance_must_be_surer_than_alone(
    both: Both, score: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(both, "mtcnn", silent("MTCNN", []))
    told = silent("Glance", [Face(Box(10, 10, 50, 50), score=score)])
    monkeypatch.setattr(both, "glance", told)
    assert len(both.detect(np.zeros((80, 80, 3), np.uint8), min_face=30)) == count
    assert told.asked == {"min_face": 30}


def test_a_face_that_both_see_is_one(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(10, 10, 50, 50)
    monkeypatch.setattr(both, "mtcnn", silent("MTCNN", [Face(both.head(box), score=0.9)]))
    other = Face(box.scaled(2).shifted(2, 1), score=0.95)
    apart = Face(box.scaled(2).shifted(90, 0), score=0.92)
    monkeypatch.setattr(both, "glance", silent("Glance", [other, apart]))
    found = both.detect(np.zeros((80, 200, 3), np.uint8))
    assert [face.score for face in found] == [0.95, 0.92]
    assert both.canonical(found[0].box).as_list() == pytest.approx(box.shifted(2, 1).as_list())


@pytest.mark.parametrize(
    ("scores", "min_face", "asked"),
    [([0.995], None, False), ([0.995, 0.98], None, False), ([0.995, 0.99], None, True), ([0.98], None, True),
     ([0.995], 39, True), ([0.995], 40, False)],
)  # fmt: skip
def test_glance_is_asked_where_there_may_be_many(
    both: Both, scores: list[float], min_face: float | None, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [Face(Box(10 + 60 * n, 10, 50 + 60 * n, 60), score=score) for n, score in enumerate(scores)]
    more = Face(Box(200, 10, 240, 50), score=0.8)
    monkeypatch.setattr(both, "mtcnn", silent("MTCNN", known))
    monkeypatch.setattr(both, "glance", silent("Glance", [more]))
    found = both.detect(
        np.zeros((80, 300, 3), np.uint8), **({} if min_face is None else {"min_face": min_face})
    )
    doubted = max(scores) < both.sure  # then Glance has to be surer
    assert [face.score for face in found] == scores + [0.8] * (asked and not doubted)
    assert hasattr(both.glance, "asked") == asked


def test_a_face_inside_another_is_none(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Face(Box(10 + 110 * n, 10, 110 + 110 * n, 130), score=0.999) for n in range(2)]
    inside = Face(both.glance.head(both.canonical(Box(40, 40, 70, 76))), score=0.95)
    monkeypatch.setattr(both, "mtcnn", silent("MTCNN", known))
    monkeypatch.setattr(both, "glance", silent("Glance", [inside]))
    assert list(both.detect(np.zeros((150, 300, 3), np.uint8))) == known


def test_a_followed_face_has_the_better_score(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = tilted(50)
    box = both.canonical(both.detect(pixels)[0].box)
    monkeypatch.setattr(both, "mtcnn", silent("MTCNN", [Face(box, score=0.2)]))
    assert both.scores(pixels, [box])[0] > 0.9
    away = Box(5, 5, 60, 60)
    assert both.scores(pixels, [away])[0] < 0.5
    monkeypatch.undo()
    upright = both.canonical(both.detect(PHOTO)[0].box)
    monkeypatch.setattr(both, "glance", silent("Glance", [Face(away, score=0.3)]))
    assert both.scores(read_image(PHOTO), [upright]) == both.mtcnn.scores(read_image(PHOTO), [upright])


def test_it_carries_the_terms_and_the_work_of_both(both: Both) -> None:
    assert not both.origin.commercial_use
    assert {*both.mtcnn.origin.learnt_from, *both.glance.origin.learnt_from} <= {*both.origin.learnt_from}
    work = [one.looked_at(640, 480, 40) for one in (both, both.mtcnn, both.glance)]
    assert work[0] == work[1] + work[2]
    with pytest.raises(ConfigError, match="not permissive"):
        ms.Pipeline("both", "dan_synthetic", licence="permissive")
    with pytest.raises(ConfigError, match="at least 12"):
        both.detect(PHOTO, min_face=8)


def test_it_is_the_default() -> None:
    assert ms.Pipeline().detector.name == "both"
    assert len(ms.detect(tilted(50)).faces) == 1
    assert not ms.detect(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)).faces

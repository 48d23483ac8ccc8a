"""What a search may take: memory does not grow with the photo, and how much it looks at is known before."""

from __future__ import annotations

import numpy as np
import pytest

from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import WeightsError
from meanshape.datasets.synthetic import face
from meanshape.detectors.mtcnn import MTCNN
from meanshape.methods.mtcnn import cascade, pyramid
from meanshape.methods.mtcnn.cascade import Scan, Windows

pytestmark = pytest.mark.skipif("mtcnn" not in weights.names(), reason="the package has no weights of mtcnn")


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN(min_face=20)


@pytest.fixture(scope="module")
def crowd() -> np.ndarray:
    """Twelve faces of 60 pixels."""
    one = face(1, 80, occlusion=0, yaw=0, emotion="neutral", degrade=False).pixels()
    return np.ascontiguousarray(np.tile(one, (3, 4, 1)))


def found(detector: MTCNN, pixels: np.ndarray) -> list[Box]:
    return [one.box for one in detector.detect(pixels)]


def test_tiles_see_what_the_whole_canvas_shows(
    detector: MTCNN, crowd: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, seen = found(detector, crowd), []
    answer = detector.cascade.pnet

    def counted(pixels: np.ndarray) -> object:
        seen.append(pixels.shape[2] * pixels.shape[3])
        return answer(pixels)

    monkeypatch.setattr(detector.cascade, "pnet", counted)
    monkeypatch.setattr(cascade, "TILE", 5000)  # narrower than the canvas, too
    tiled = found(detector, crowd)
    assert len(seen) > 10 and max(seen) < 10_000
    assert len(tiled) == len(whole) > 3
    edges = [np.array([box.as_list() for box in some]) for some in (whole, tiled)]
    assert np.abs(edges[0] - edges[1]).max() < 0.01


def test_of_very_many_windows_the_best_are_compared(
    detector: MTCNN, crowd: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops, net = cascade.Crops(crowd), detector.cascade
    scan = Scan(20, 0.72, 4)
    every = cascade._slide(crops, net.pnet, scan, 0.1)
    monkeypatch.setattr(cascade, "SEEN", 50)
    best = cascade._slide(crops, net.pnet, scan, 0.1)
    assert len(every.scores) > 200 and len(best.scores) == 50
    assert np.array_equal(np.sort(best.scores), np.sort(every.scores)[-50:])
    assert len(found(detector, crowd)) > 2


def test_windows_are_merged_a_few_at_a_time_and_to_the_same(
    detector: MTCNN, crowd: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def proposed() -> Windows:
        return cascade.propose(cascade.Crops(crowd), detector.cascade.pnet, Scan(20, 0.72, 4), 0.1, 0.5)

    whole, largest = proposed(), 0
    overlap = cascade._overlap

    def watched(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal largest
        largest = max(largest, len(a) * len(b))
        return overlap(a, b)

    monkeypatch.setattr(cascade, "_overlap", watched)
    monkeypatch.setattr(cascade, "PAIRS", 3000)
    parts = proposed()
    assert 0 < largest <= 3000
    assert np.allclose(parts.boxes, whole.boxes) and np.array_equal(parts.scores, whole.scores)
    monkeypatch.setattr(cascade, "MOST", 7)
    few = proposed()
    assert np.allclose(few.boxes, whole.boxes[:7])


@pytest.mark.parametrize("size", [(40_000, 120), (120, 40_000)])
def test_faces_at_both_ends_of_a_very_long_picture(detector: MTCNN, size: tuple[int, int]) -> None:
    """OpenCV remaps no side of more than 32,766 pixels."""
    pixels = face(1, 120, occlusion=0, yaw=0, emotion="neutral", degrade=False).pixels()
    picture = np.full((size[1], size[0], 3), 110, np.uint8)
    picture[:120, :120] = picture[-120:, -120:] = pixels[:120, :120]
    boxes = [box for box in found(detector, picture) if box.score is not None and box.score > 0.9]
    ends = sorted(max(box.center) for box in boxes)
    assert len(ends) == 2 and ends[0] < 120 and ends[1] > 39_880


def test_crops_beyond_a_very_long_picture_are_grey() -> None:
    crops = cascade.Crops(np.full((30, 40_000, 3), 9, np.uint8))
    inside, beside, above = crops(
        np.array([[39_900.0, 2, 39_924, 26], [41_000, 2, 41_024, 26], [100, -90, 124, -66]]), 24
    )
    assert (inside == 9).all() and (beside == pyramid.GREY).all() and (above == pyramid.GREY).all()


def test_how_much_is_looked_at_is_known_before(detector: MTCNN) -> None:
    for width, height in ((640, 480), (4000, 3000), (40_000, 120)):
        area, scale = width * height, 12 / (20 * detector.cascade.config.stretch)
        assert detector.looked_at(width, height) >= area * scale**2
    small, large = (detector.looked_at(1000, 1000, min_face) for min_face in (40, 20))
    assert 3 < large / small < 5
    assert detector.looked_at(4, 4) == 0


def test_a_network_whose_windows_stand_otherwise_is_refused(detector: MTCNN, crowd: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="stride"):
        cascade.propose(cascade.Crops(crowd), detector.cascade.pnet, Scan(20, 0.72, 2), 0.1)

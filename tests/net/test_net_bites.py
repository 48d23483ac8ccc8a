"""That the net bites: faults planted between picture and network, each of which the figures must show."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from figures import differences, of_detector, of_model

pytestmark = pytest.mark.data
STORED = json.loads(Path(__file__).with_name("figures.json").read_text("utf-8"))
WARP, REMAP, RESIZE = cv2.warpAffine, cv2.remap, cv2.resize


def moved(name, found):
    """Return what the net would report."""
    return differences(name, found, STORED[name])


def half_a_pixel(monkeypatch):
    """Crops look half a pixel too far to the right and down."""

    def warp(image, matrix, *rest, **options):
        matrix = np.array(matrix, float)
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5)
        return WARP(image, matrix, *rest, **options)

    monkeypatch.setattr(cv2, "warpAffine", warp)
    monkeypatch.setattr(cv2, "remap", lambda image, x, y, *r, **o: REMAP(image, x + 0.5, y + 0.5, *r, **o))


def another_scale(monkeypatch):
    """Crops are 1 % larger about their centre."""

    def warp(image, matrix, size, *rest, **options):
        matrix, centre = np.array(matrix, float), (np.array(size) - 1) / 2
        matrix[:, 2] -= 0.01 * matrix[:, :2] @ centre
        matrix[:, :2] *= 1.01
        return WARP(image, matrix, size, *rest, **options)

    def larger(places):
        return places + np.float32(0.01) * (places - places.mean((0, 1))) if places.size else places

    def remap(image, x, y, *rest, **options):
        return REMAP(image, *(larger(m) for m in (x, y)), *rest, **options)

    monkeypatch.setattr(cv2, "warpAffine", warp)
    monkeypatch.setattr(cv2, "remap", remap)


def another_range(monkeypatch):
    """Grey values are 3 % too small, as if divided by another number."""

    def darker(act):
        def acted(*rest, **options):
            found = act(*rest, **options)
            return (found * np.float32(0.97)).astype(found.dtype)

        return acted

    monkeypatch.setattr(cv2, "warpAffine", darker(WARP))
    monkeypatch.setattr(cv2, "remap", darker(REMAP))
    monkeypatch.setattr(cv2, "resize", darker(RESIZE))


@pytest.mark.parametrize("fault", [half_a_pixel, another_scale, another_range])
@pytest.mark.parametrize("name", ["aam", "cpr", "dan", "mtcnn", "tcdcn"])
def test_a_fault_in_the_crop_shows(name, fault, monkeypatch):
    fault(monkeypatch)
    assert moved(f"model {name}", of_model(name))


def test_a_fault_in_the_detector_s_pictures_shows(monkeypatch):
    another_range(monkeypatch)
    assert moved("detector mtcnn", of_detector("mtcnn"))


def test_a_box_a_hundredth_larger_shows(monkeypatch):
    from meanshape.detectors.mtcnn import MTCNN

    canonical = MTCNN.canonical
    monkeypatch.setattr(MTCNN, "canonical", lambda self, box: canonical(self, box).scaled(1.01))
    assert moved("detector mtcnn", of_detector("mtcnn"))

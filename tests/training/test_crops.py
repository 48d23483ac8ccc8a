"""Crops in memory: which samples they are of, and where points lie in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meanshape.core.errors import DataSetError
from meanshape.core.geometry import apply, square_matrix
from meanshape.core.image import warp
from meanshape.datasets.synthetic import face
from meanshape.training.crops import CropStore, refuse_none


def test_crops_keep_the_order_and_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    faces = [face(seed, 64) for seed in range(3)]
    (tmp_path / "cut.png").write_bytes(b"no picture")
    samples = [faces[0], replace(faces[1], id="broken", image=tmp_path / "cut.png"), faces[2]]
    store = CropStore(samples, [sample.box for sample in faces], 40, 1.6)
    assert (store.kept, store.broken, len(store)) == ([0, 2], ["broken"], 2)
    placed = store.placed([sample.shape.points for sample in faces])
    for image, points, sample in zip(store.images, placed, (faces[0], faces[2]), strict=True):
        matrix = square_matrix(sample.box, 1.6, 40)
        assert np.array_equal(image, warp(sample.pixels(), matrix, (40, 40)))
        assert np.array_equal(points, apply(matrix, sample.shape.points))


def test_crops_are_cut_as_was_asked() -> None:
    sample = face(0, 64)
    store = CropStore([sample], [sample.box], 20, 1.0, lambda pixels, matrix, side: pixels[:side, :side, 0])
    assert np.array_equal(store.images[0], sample.pixels()[:20, :20, 0])


def test_no_face_at_all_is_an_error() -> None:
    refuse_none([1], [], "a box")
    with pytest.raises(DataSetError, match="among 2 samples: each needs a box"):
        refuse_none([], [face(0, 64)] * 2, "a box")

"""The mean shape on the real photos beside the checkout, where there are any: figures that must not move."""

import numpy as np
import pytest
from real_data import DATA

from meanshape.datasets import load_data
from meanshape.evaluation import evaluate
from meanshape.evaluation.starts import penalty_shape
from meanshape.methods.mean_shape import MeanShape

pytestmark = pytest.mark.data


def test_300w_validation():
    mean = MeanShape().fit(load_data(f"ibug300w:{DATA / '300w'}:train"))
    found = evaluate(mean, load_data(f"ibug300w:{DATA / '300w'}:validation"))
    assert len(found) == 300
    assert found.nme() == pytest.approx(18.17, abs=0.02)
    assert found.nme("inter_pupil") == pytest.approx(25.23, abs=0.03)
    factor = found.lengths("inter_ocular") / found.lengths("inter_pupil")
    assert np.median(factor) == pytest.approx(1.386, abs=0.002)
    # what a missed face is scored with is this mean shape, made its own mirror image
    assert np.abs(penalty_shape(found.markup, []) - mean.mean).max() < 0.015


def test_cnn_facepoint_validation_by_the_lists_own_boxes():
    samples = load_data(f"cnn_facepoint:{DATA / 'mtfl'}:validation")
    found = evaluate(MeanShape().fit(samples), samples[::10])
    rows = [line.split() for line in (DATA / "mtfl" / "trainImageList.txt").read_text().splitlines()]
    widths = {row[0].replace("\\", "/").rsplit(".", 1)[0]: float(row[2]) - float(row[1]) for row in rows}
    assert found.lengths("box_width").tolist() == [widths[name] for name in found.ids]
    assert found.nme("box_width") == pytest.approx(7.5, abs=0.5)

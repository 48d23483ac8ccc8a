"""The copies beside the checkout, where there are any."""

from collections import Counter

import numpy as np
import pytest
from real_data import DATA

from meanshape.datasets import cnn_facepoint, fer2013, helen29, ibug300w, imm, load_data, mtfl
from meanshape.datasets.parts.boxes import canonical_box_from_five
from meanshape.datasets.parts.check import look_at
from meanshape.datasets.parts.duplicates import near_between, perceptual_hash

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def train():
    return ibug300w.samples(DATA / "300w", "train")


def test_300w_has_its_split_to_tune_on(train):
    validation = load_data(f"ibug300w:{DATA / '300w'}:validation")
    assert (len(train), len(validation)) == (1709, 300)
    assert not {s.id for s in train} & {s.id for s in validation}
    whole = load_data(f"ibug300w:{DATA / '300w_photos'}:validation")
    assert [s.id for s in whole] == [s.id for s in validation]
    for crop, photo in zip(validation, whole, strict=True):
        shapes = [(s.shape.points - s.box.center) / s.box.width for s in (crop, photo)]
        assert np.abs(shapes[0] - shapes[1]).max() < 0.02


def test_mtfl_counts_from_one_where_the_other_list_counts_from_zero():
    ours = mtfl.samples(DATA / "mtfl", "validation")
    theirs = {s.id: s for s in cnn_facepoint.samples(DATA / "mtfl", "validation")}
    assert len(ours) == len(theirs) == 1000
    assert max(np.abs(s.shape.points - theirs[s.id].shape.points).max() for s in ours) < 1e-5
    turned = {label: [] for label in mtfl.card.labels["pose"]}
    for s in ours:
        right, left, nose = s.shape.points[:3]
        turned[s.attributes["pose"]].append((nose[0] - (right[0] + left[0]) / 2) / np.hypot(*(left - right)))
    assert np.median(turned["left"]) < -0.2
    assert np.median(turned["right"]) > 0.2


def test_boxes_from_five_points_fit_real_faces(train):
    iou = [canonical_box_from_five(s.shape.to("mtfl5").points).iou(s.box) for s in train[::7]]
    assert np.mean(iou) > 0.88
    assert np.quantile(iou, 0.05) > 0.79


def test_mapped_boxes_are_unbiased():
    samples = cnn_facepoint.samples(DATA / "mtfl", "validation")
    boxes = [(s.box, canonical_box_from_five(s.shape.points)) for s in samples]
    off = np.array([np.subtract(b.as_list(), c.as_list()) / c.size for b, c in boxes])
    assert np.abs(np.median(off, axis=0)).max() < 0.02


@pytest.mark.parametrize(
    ("module", "folder", "count"),
    [(ibug300w, "300w_photos", 300), (imm, "imm_frontal", 120), (helen29, "helen29", 348)],
)
def test_the_small_copies_are_without_fault(module, folder, count):
    assert len(module.samples(DATA / folder)) == count
    assert module.verify(DATA / folder) == []


def test_fer2013_has_its_official_counts():
    everything = fer2013.samples(DATA / "fer2013")
    disgust = [s for s in everything if s.split == "train" and s.attributes["emotion"] == "disgust"]
    assert (len(everything), len(disgust)) == (28709 + 3589, 436)


def test_fer2013_trains_on_nothing_that_nearly_repeats_a_validation_face():
    train, both = (fer2013.samples(DATA / "fer2013", split) for split in ("train", "trainval"))
    validation = fer2013.samples(DATA / "fer2013", "validation")
    assert (len(train), len(validation), len(both)) == (28709 - 504, 3589, 32298 - 504)
    told = Counter(sample.attributes["near_duplicate"] for sample in validation)
    assert told == {"in train": 352, "none": 3237}
    # what the list says is what hashes say, on a part: the repeated faces, and some of train
    repeated = {
        s.id: perceptual_hash(s.pixels()) for s in validation if s.attributes["near_duplicate"] != "none"
    }
    some = {s.id: perceptual_hash(s.pixels()) for s in train[::40]}
    assert near_between(repeated, some) == []


@pytest.mark.parametrize(
    ("module", "folder", "count"),
    [
        (ibug300w, "300w", 2009),
        (mtfl, "mtfl", 10000),
        (cnn_facepoint, "mtfl", 10000),
        (fer2013, "fer2013", 32298),
    ],
)
def test_the_large_copies_are_whole_and_some_photos_without_fault(module, folder, count):
    """`meanshape data verify` decodes them all, which takes minutes, and finds no fault either."""
    survey = module.survey(DATA / folder)
    assert (len(survey.found), survey.missing, survey.broken) == (count, [], [])
    assert [problem for sample in survey.found[::250] for problem in look_at(sample)] == []


def test_helen29_is_in_the_order_of_lfpw_and_mostly_in_whole_pixels():
    samples = helen29.samples(DATA / "helen29")
    points = np.stack([s.shape.points for s in samples])
    assert np.mean(points == np.round(points)) > 0.7
    right, left = samples[0].shape.markup.right_eye, samples[0].shape.markup.left_eye
    assert np.mean(points[:, right[0], 0] < points[:, left[0], 0]) == 1
    tip = points[:, samples[0].shape.markup.points.index("nose_tip")]
    assert np.mean((tip[:, 0] > points[:, 8, 0]) & (tip[:, 0] < points[:, 9, 0])) > 0.98

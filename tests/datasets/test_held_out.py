"""What a training never gets: validation samples, and photos that an `exclude.txt` names."""

from __future__ import annotations

import pytest
from real_data import DATA

from meanshape.core import registry
from meanshape.core.errors import DataSetError
from meanshape.datasets import helen29, ibug300w, load_data, mtfl
from meanshape.formats.text import write_text

LISTED = ["afw", "cnn_facepoint", "helen", "helen29", "ibug300w", "lfpw", "mtfl"]
"""Sets without an official validation split, which honour a list."""


def ids(samples):
    return {sample.id for sample in samples}


@pytest.mark.parametrize("name", LISTED)
def test_train_is_without_the_validation_list_and_trainval_is_both(name, tmp_path):
    module = registry.dataset(name)
    root = module.miniature(tmp_path)
    train, validation, both = (
        ids(module.samples(root, split, allow_missing=True)) for split in ("train", "validation", "trainval")
    )
    assert validation and train and not train & validation
    assert both == train | validation


@pytest.mark.parametrize("place", ["in the root", "above it"])
@pytest.mark.parametrize("name", ["ibug300w", "mtfl", "cnn_facepoint", "helen29", "fer2013", "folder", "imm"])
def test_an_excluded_photo_trains_nothing(name, place, tmp_path):
    module = registry.dataset(name)
    root = module.miniature(tmp_path / "data" / name)
    split = "train" if "train" in module.card.splits else "all"
    before = module.samples(root, split, allow_missing=True)
    gone = before[0]
    base = root if place == "in the root" else root.parent
    relative = gone.image.relative_to(base).as_posix()
    write_text(base / "exclude.txt", f"# copies of test photos\n{relative}\n")
    for asked in (split, None):
        assert gone.id not in ids(module.samples(root, asked, allow_missing=True))
    assert len(module.samples(root, split, allow_missing=True)) == len(before) - 1


def test_an_excluded_photo_is_not_missing(tmp_path):
    root = imm_root = registry.dataset("imm").miniature(tmp_path)
    write_text(imm_root / "exclude.txt", "01_01.jpg\n")
    found = registry.dataset("imm").survey(root, "all")
    assert found.expected == 120  # the copy is what it is; only a training does without
    with pytest.raises(DataSetError, match="1 of 120 samples are here, 118 missing"):
        registry.dataset("imm").samples(root, "all")


def test_official_test_splits_stay_as_published(tmp_path):
    root = mtfl.miniature(tmp_path)
    test = mtfl.samples(root, "test", allow_missing=True)
    write_text(root / "exclude.txt", "".join(f"{sample.id}\n" for sample in test))
    assert ids(mtfl.samples(root, "test", allow_missing=True)) == ids(test)


def test_a_part_of_300w_as_root_honours_the_lists_above_it(tmp_path):
    root = ibug300w.miniature(tmp_path / "300w")
    held_out = ids(ibug300w.samples(root, "validation"))
    gone = ibug300w.samples(root, "train")[0]
    write_text(tmp_path / "exclude.txt", f"300w/{gone.id}.jpg\n")
    for name in ("helen", "lfpw", "afw"):
        for place in (root, root / name):
            train = load_data(f"{name}:{place}:train", allow_missing=True)
            assert train and not ids(train) & (held_out | {gone.id})


def test_helen29_holds_out_what_300w_beside_it_validates_on(tmp_path):
    root = helen29.miniature(tmp_path / "helen29")
    (root / "validation.txt").unlink()
    with pytest.raises(DataSetError, match="no official validation split"):
        helen29.samples(root, "validation")
    assert len(helen29.samples(root, "train", allow_missing=True)) == 3
    write_text(tmp_path / "300w" / "validation.txt", "afw/100_1\nhelen/trainset/200_1\nlfpw/trainset/x\n")
    assert ids(helen29.samples(root, "validation")) == {"100_1", "200_1"}
    assert ids(helen29.samples(root, "train")) == {"300_1"}


@pytest.mark.data
@pytest.mark.parametrize(
    ("data", "train", "validation"),
    [
        ("ibug300w:300w", 1709, 300),
        ("helen:300w", 732, 138),
        ("helen:300w/helen", 732, 138),
        ("lfpw:300w/lfpw", None, None),
        ("afw:300w/afw", None, None),
        ("mtfl:mtfl", 8999, 1000),
        ("cnn_facepoint:mtfl", 8999, 1000),
        ("helen29:helen29", 320, 28),
    ],
)
def test_the_real_lists_are_honoured(data, train, validation):
    name, _, where = data.partition(":")
    kept, tuned = (
        ids(load_data(f"{name}:{DATA / where}:{split}", allow_missing=True))
        for split in ("train", "validation")
    )
    both = ids(load_data(f"{name}:{DATA / where}:trainval", allow_missing=True))
    assert not kept & tuned and both == kept | tuned
    assert train is None or (len(kept), len(tuned)) == (train, validation)
    assert "net_7876/1865_0_0" not in both
    listed = set((DATA / "300w" / "validation.txt").read_text("utf-8").split())
    assert not kept & listed
    assert not {f"helen/trainset/{i}" for i in kept} & listed

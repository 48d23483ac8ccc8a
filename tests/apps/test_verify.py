"""`meanshape data verify`: what is found wrong with a copy."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core.errors import ConfigError, DataSetError
from meanshape.datasets import folder, imm, mtfl
from meanshape.formats import pts


@pytest.fixture
def clean(tmp_path):
    """A copy of a set without faults."""
    root = mtfl.miniature(tmp_path / "mtfl")
    return root


def test_nothing_is_wrong_in_a_clean_copy(clean, capsys):
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0
    text = capsys.readouterr()
    assert "0 faults" in text.err and "validation" in text.out


def test_what_is_wrong_is_found(clean, capsys):
    (clean / "lfw_5590/face_0.jpg").unlink()
    (clean / "lfw_5590/face_1.jpg").write_bytes(b"no picture")
    text = (clean / "testing.txt").read_text("utf-8").splitlines()
    words = text[0].split()
    words[1:11] = [str(float(word) + 700) for word in words[1:11]]
    (clean / "testing.txt").write_text("\n".join([" ".join(words), *text[1:]]), "utf-8")
    assert main(["data", "verify", f"mtfl:{clean}"]) == 4
    out = capsys.readouterr().out
    for line in ("missing: lfw_5590/face_0.jpg", "corrupt: lfw_5590/face_1", "outside: AFLW/0000-image0"):
        assert line in out


def test_it_counts_and_finds_near_duplicates(tmp_path, capsys):
    root = imm.miniature(tmp_path)
    with Image.open(root / "01_01.jpg") as picture:
        picture.resize((320, 240)).save(root / "03_01.jpg", quality=60)
    shutil.copy(root / "asf/01_01.asf", root / "asf/03_01.asf")
    assert main(["data", "verify", f"imm:{root}"]) == 4
    text = capsys.readouterr()
    assert "count: split 'all': 3 of 120 samples are here" in text.out
    assert "duplicate: 01_01 and 03_01" in text.out


def test_near_duplicates_alone_are_wrong_only_if_asked(clean):
    with Image.open(clean / "AFLW/0001-image1.jpg") as picture:
        picture.save(clean / "AFLW/0002-image2.jpg", quality=70)
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0
    assert main(["data", "verify", f"mtfl:{clean}", "--strict"]) == 4


def test_near_duplicates_across_splits_are_counted_and_kept_from_training(clean, capsys):
    rng = np.random.default_rng(0)
    for sample in mtfl.samples(clean):  # drawn faces are near one another
        noise = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        noise.resize((150, 140)).save(sample.image)
    train, validation = mtfl.samples(clean, "train"), mtfl.samples(clean, "validation")
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0
    assert "no photo nearly repeats one of another split" in capsys.readouterr().out
    with Image.open(validation[0].image) as picture:
        picture.save(train[0].image, quality=70)
    path = clean / "exclude.txt"
    assert main(["data", "verify", f"mtfl:{clean}", "--exclude", str(path)]) == 0
    told = capsys.readouterr().out
    assert "across splits: 1 of 2 photos of validation are nearly repeated by 1 of train" in told
    assert f"{train[0].id}.jpg\n" in path.read_text("utf-8")
    assert [s.id for s in mtfl.samples(clean, "train")] == [s.id for s in train[1:]]
    assert main(["data", "verify", f"mtfl:{clean}"]) == 0  # what is left out is no fault of the copy
    away = ["data", "verify", f"mtfl:{clean}", "--exclude", str(clean / "lists" / "exclude.txt")]
    assert main(away) == ConfigError.exit_code
    assert "not below its folder" in capsys.readouterr().err


def test_a_folder_that_is_not_divided_has_no_fault(tmp_path, capsys):
    root = folder.miniature(tmp_path / "mine") / "train"
    assert main(["data", "verify", f"folder:{root}"]) == 0
    said = capsys.readouterr()
    assert "0 faults" in said.err and re.search(r"all +2 +-", said.out)
    (root / "train.txt").write_text("one photo\n")
    assert main(["data", "verify", f"folder:{root}"]) == 4
    assert "extra: more/another photo is in no split" in capsys.readouterr().out


def test_labels_that_do_not_say_their_mark_up_are_verified_with_it(tmp_path, capsys):
    root = folder.miniature(tmp_path / "mine") / "train"
    for path in root.rglob("*.pts"):
        pts.write_points(path, pts.read_points(path)[:4])
    (tmp_path / "four.toml").write_text('points = ["left_a", "right_a", "b", "c"]')
    assert main(["data", "verify", f"folder:{root}"]) == 4
    assert "no mark-up has 4 points" in capsys.readouterr().out
    assert main(["data", "verify", f"folder:{root}", "--markup", str(tmp_path / "four.toml")]) == 0
    said = capsys.readouterr()
    assert "0 faults" in said.err and re.search(r"all +2 +-", said.out)
    assert main(["data", "verify", f"mtfl:{tmp_path}", "--markup", "ibug68"]) == DataSetError.exit_code
    assert "mtfl has its own mark-up, mtfl5" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("nothing", "does not exist"), ("broken", "not JSON")])
def test_what_cannot_be_looked_at_is_said_once(tmp_path, capsys, name, said):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "labels.jsonl").write_text('{"x"')
    assert main(["data", "verify", f"folder:{tmp_path / name}"]) == DataSetError.exit_code
    out, err = capsys.readouterr()
    assert said in out and said not in err and "1 fault," in err

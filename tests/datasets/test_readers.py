"""What is particular to single data sets."""

import itertools
import os
import shutil

import numpy as np
import pytest

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import (
    afw,
    cnn_facepoint,
    fer2013,
    folder,
    helen,
    ibug300w,
    lfpw,
    load_data,
    mtfl,
    thinned,
)
from meanshape.datasets.parts.boxes import canonical_box_of
from meanshape.datasets.parts.drawing import draw, five
from meanshape.formats import pts


@pytest.fixture
def faces300(tmp_path):
    return ibug300w.miniature(tmp_path / "300w")


@pytest.fixture
def faces5(tmp_path):
    return mtfl.miniature(tmp_path / "mtfl")


def ids(samples):
    return [sample.id for sample in samples]


# 300-W


def test_300w_is_put_together_from_its_parts(faces300):
    common = ibug300w.samples(faces300, "common", allow_missing=True)
    assert {i.rpartition("/")[0] for i in ids(common)} == {"lfpw/testset", "helen/testset"}
    full = ibug300w.samples(faces300, "full", allow_missing=True)
    assert {s.split for s in full} == {"common", "challenging"}
    private = ibug300w.samples(faces300, "private", allow_missing=True)
    assert private[0].id == "300W/01_Indoor/image_0001"
    (faces300 / "300W").rename(faces300 / "was")
    for part in (faces300 / "was").iterdir():
        part.rename(faces300 / part.name)
    assert ids(ibug300w.samples(faces300, "private", allow_missing=True)) == ids(private)


def test_300w_boxes_are_the_tight_boxes(faces300):
    sample = ibug300w.samples(faces300, "train")[0]
    assert sample.box == Box.around(sample.shape.points)
    assert sample.own_box is None


def test_300w_lists_are_the_truth_about_train(faces300):
    train, validation = (ids(ibug300w.samples(faces300, name)) for name in ("train", "validation"))
    assert (len(train), len(validation)) == (6, 3)
    assert "afw/image_0003" in validation
    assert set(ids(ibug300w.samples(faces300, "trainval"))) == {*train, *validation}
    (faces300 / "afw/image_0001.jpg").unlink()
    with pytest.raises(
        DataSetError, match=r"5 of 6 samples are here, 1 missing \(first: afw/image_0001: no photo"
    ):
        ibug300w.samples(faces300, "train")
    assert len(ibug300w.samples(faces300, "train", allow_missing=True)) == 5


def test_300w_without_lists_counts_against_the_card(faces300):
    (faces300 / "train.txt").unlink()
    with pytest.raises(DataSetError, match="6 of 3145 samples are here, 3139 missing"):
        ibug300w.samples(faces300, "train")
    (faces300 / "validation.txt").unlink()
    with pytest.raises(DataSetError, match="9 of 3148 samples are here, 3139 missing; --allow-missing"):
        ibug300w.samples(faces300, "train")
    assert len(ibug300w.samples(faces300, "train", allow_missing=True)) == 9
    with pytest.raises(DataSetError, match=r"holds no validation\.txt"):
        ibug300w.samples(faces300, "validation", allow_missing=True)
    with pytest.raises(DataSetError, match="6 of 554 samples are here, 548 missing"):
        ibug300w.samples(faces300, "common")
    shutil.rmtree(faces300 / "ibug")
    with pytest.raises(DataSetError, match="0 of 135") as error:
        ibug300w.samples(faces300, "challenging", allow_missing=True)
    assert "--allow-missing" not in str(error.value)


def test_lists_may_come_from_windows(faces300):
    text = (faces300 / "validation.txt").read_text("utf-8")
    before = ids(ibug300w.samples(faces300, "validation"))
    rows = ["# by photo", *(f".\\{row.replace('/', chr(92))}.JPG" for row in text.split())]
    (faces300 / "validation.txt").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    assert ids(ibug300w.samples(faces300, "validation")) == before


def test_any_split_may_have_a_list(faces300):
    (faces300 / "common.txt").write_text("helen/testset/image_0002\n", "utf-8")
    assert ids(ibug300w.samples(faces300, "common")) == ["helen/testset/image_0002"]


def test_photos_may_be_png_or_jpg_in_any_case(faces300):
    before = ids(ibug300w.samples(faces300))
    (faces300 / "ibug/image_0001.jpg").rename(faces300 / "ibug/image_0001.JPG")
    (faces300 / "ibug/image_0002.pts").rename(faces300 / "ibug/image_0002.PTS")
    (faces300 / "ibug/image_092 _01.pts").write_bytes((faces300 / "ibug/image_0003.pts").read_bytes())
    shutil.copy(faces300 / "lfpw/testset/image_0001.png", faces300 / "ibug/image_092 _01.png")
    assert set(ids(ibug300w.samples(faces300))) - set(before) == {"ibug/image_092 _01"}


def test_photos_without_labels_and_stray_files_are_no_samples(faces300):
    before = ids(ibug300w.samples(faces300))
    shutil.copy(faces300 / "afw/image_0001.jpg", faces300 / "afw/other.jpg")
    (faces300 / "afw/Thumbs.db").write_bytes(b"")
    (faces300 / "afw/._image_0001.pts").write_bytes(b"\x00")
    assert ids(ibug300w.samples(faces300)) == before


def test_a_label_with_another_number_of_points_is_named(faces300):
    path = faces300 / "helen/trainset/image_0001.pts"
    pts.write_points(path, pts.read_points(path)[:49])
    with pytest.raises(FormatError, match=r"image_0001\.pts: wanted 68 points, got 49"):
        ibug300w.samples(faces300, "train")


@pytest.mark.parametrize(("module", "inside"), [(lfpw, "lfpw"), (helen, "helen"), (afw, "afw")])
def test_a_part_is_a_set_of_its_own_from_either_root(faces300, module, inside):
    above = module.samples(faces300, "trainval")
    below = module.samples(faces300 / inside, "trainval")
    assert ids(above) == ids(below)
    assert all(i.startswith(inside) for i in ids(above))
    assert ids(module.samples(faces300 / inside, "train")) == [
        i for i in ids(ibug300w.samples(faces300, "train")) if i.startswith(inside)
    ]


# MTFL and CNN_FacePoint


def test_mtfl_speaks_in_words_and_in_pixels(faces5):
    first, second = mtfl.samples(faces5, "train")[:2]
    assert first.attributes == {
        "gender": "male",
        "smile": "not smiling",
        "glasses": "glasses",
        "pose": "left profile",
    }
    assert second.attributes["gender"] == "female"
    assert second.id == "lfw_5590/face_1"
    drawn = five(draw(faces5 / "again.png", seed=0))
    assert np.allclose(first.shape.points, drawn, atol=1e-6)
    twin = cnn_facepoint.samples(faces5, "train")[0]
    assert twin.id == first.id
    assert np.allclose(twin.shape.points, first.shape.points, atol=1e-5)
    assert twin.box == first.box


def test_mtfl_test_has_no_boxes_and_training_only_those_of_the_other_list(faces5):
    assert {sample.box for sample in mtfl.samples(faces5, "test")} == {None}
    assert ids(mtfl.samples(faces5, "test"))[0] == "AFLW/0000-image0"
    (faces5 / "trainImageList.txt").unlink()
    assert {sample.box for sample in mtfl.samples(faces5, "trainval")} == {None}


def test_the_box_of_the_list_is_kept_and_mapped(faces5):
    line = (faces5 / "trainImageList.txt").read_text("utf-8").split("\n")[0].split()
    left, right, top, bottom = map(float, line[1:5])
    sample = mtfl.samples(faces5, "train")[0]
    assert sample.own_box == Box(left, top, right, bottom)
    assert sample.box == sample.own_box.part(mtfl.card.box)
    assert sample.box.width > sample.own_box.width


def test_without_names_for_validation_all_are_for_training(faces5):
    (faces5 / "validation_names.txt").unlink()
    assert len(mtfl.samples(faces5, "train")) == len(cnn_facepoint.samples(faces5, "train")) == 6
    for module in (mtfl, cnn_facepoint):
        with pytest.raises(DataSetError, match=r"no official validation split.*validation_names.txt"):
            module.samples(faces5, "validation")


def test_the_archive_may_have_a_folder_of_its_own(faces5):
    (faces5.parent / "up").mkdir()
    faces5.rename(faces5.parent / "up" / "MTFL")
    assert len(mtfl.samples(faces5.parent / "up", "test")) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (" AFLW\\a.jpg " + "1 " * 13, "wanted a path and 14 numbers"),
        ("AFLW/a.jpg " + "1 " * 9 + "x 1 1 1 1", "wanted a number, got 'x'"),
        ("AFLW/a.jpg " + "1 " * 13 + "2.5", "whole numbers"),
        ("AFLW/a.jpg " + "nan " * 10 + "1 1 1 1", "finite"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(faces5, line, says):
    path = faces5 / "testing.txt"
    path.write_text(path.read_text("utf-8") + line, "utf-8")
    with pytest.raises(FormatError, match=says) as error:
        mtfl.samples(faces5, "test")
    assert error.value.line == 4


def test_a_code_without_a_word_is_refused(faces5):
    path = faces5 / "testing.txt"
    first, *others = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([first[:-1] + "9", *others]), "utf-8")
    with pytest.raises(FormatError, match=r"AFLW/0000-image0\.jpg: pose is 9, wanted 1 to 5"):
        mtfl.samples(faces5, "test")


def test_an_upside_down_box_is_refused(tmp_path):
    root = cnn_facepoint.miniature(tmp_path)
    path = root / "testImageList.txt"
    path.write_text(path.read_text("utf-8") + "net_7876/x.jpg 9 3 1 5" + " 1" * 10, "utf-8")
    with pytest.raises(FormatError, match="is empty"):
        cnn_facepoint.samples(root, "test")


# FER2013


def test_fer2013_folds_the_names_of_emotions(tmp_path):
    root = fer2013.miniature(tmp_path)
    samples = fer2013.samples(root, "validation", allow_missing=True)
    assert {sample.attributes["emotion"] for sample in samples} == set(fer2013.card.labels["emotion"])
    assert samples[0].pixels().shape == (48, 48, 3)
    assert (samples[0].shape, samples[0].box) == (None, None)
    (root / "test").rename(root / "PrivateTest")
    assert len(fer2013.samples(root, "test", allow_missing=True)) == 14
    (root / "PrivateTest/boredom").mkdir()
    with pytest.raises(FormatError, match="no emotion is called 'boredom'"):
        fer2013.samples(root, "test", allow_missing=True)


def test_fer2013_as_first_published(tmp_path):
    rows = ["emotion,pixels,Usage"]
    rows += [
        f"{n},{' '.join(['7'] * 2303 + [str(n)])},{use}"
        for n, use in enumerate(("Training", "PublicTest", "PrivateTest"))
    ]
    (tmp_path / "fer2013.csv").write_text("\n".join(rows), "utf-8")
    samples = fer2013.samples(tmp_path)
    assert [(s.attributes["emotion"], s.split) for s in samples] == [
        ("anger", "train"),
        ("disgust", "validation"),
        ("fear", "test"),
    ]
    assert samples[2].pixels()[47, 47, 0] == 2
    (tmp_path / "fer2013.csv").write_text("\n".join([*rows, "9,1 2,Training"]), "utf-8")
    with pytest.raises(FormatError) as error:
        fer2013.samples(tmp_path)
    assert error.value.line == 5


# the user's own


def prediction(name, *shapes):
    return Prediction(tuple(Face(shape.box(), shape) for shape in shapes), (150, 140), name)


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "mein Ordner"
    shapes = [Shape(draw(root / f"bilder/é {n}.png", seed=n), "ibug68") for n in range(2)]
    return root, shapes


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_folder_with_a_table(own, suffix):
    root, (one, other) = own
    formats.write(
        root / f"labels{suffix}", [prediction("bilder/é 0.png", one, other), prediction("bilder\\é 1", other)]
    )
    samples = load_data(f"folder:{root}")
    assert ids(samples) == ["bilder/é 0", "bilder/é 0#2", "bilder/é 1"]
    assert np.allclose(samples[1].shape.points, other.points, atol=1e-6)
    assert samples[0].box == samples[0].shape.box()
    assert ids(load_data(f"folder:{root / f'labels{suffix}'}")) == ids(samples)
    formats.write(root / f"more{suffix}", [])
    with pytest.raises(DataSetError, match="name the one that is meant"):
        folder.samples(root)


def test_a_folder_wants_a_photo_for_each_label(own):
    root, (one, other) = own
    formats.write(root / "labels.csv", [prediction("bilder/é 0.png", one), prediction("weg.jpg", other)])
    with pytest.raises(
        DataSetError,
        match=r"1 of 2 samples are here, 1 missing \(first: weg.jpg: no photo at .*weg.jpg: names count from",
    ):
        folder.samples(root)
    assert len(folder.samples(root, allow_missing=True)) == 1


def test_a_folder_of_any_mark_up(own):
    root, (one, _) = own
    pts.write_points(root / "bilder/é 0.pts", five(one.points))
    (sample,) = folder.samples(root)
    assert sample.shape.markup.name == "mtfl5"
    assert sample.box is None
    pts.write_points(root / "bilder/é 0.pts", one.points[:7])
    with pytest.raises(FormatError, match="no mark-up has 7 points"):
        folder.samples(root)
    pts.write_points(root / "bilder/é 0.pts", one.points[17:])
    assert load_data(f"folder:{root}", markup="ibug51")[0].shape.markup.name == "ibug51"
    with pytest.raises(DataSetError, match="has its own mark-up, ibug68"):
        load_data(f"ibug300w:{root}", markup="mtfl5")


def test_a_folder_with_lists(own):
    root, shapes = own
    for number, shape in enumerate(shapes):
        pts.write_points(root / f"bilder/é {number}.pts", shape.points)
    (root / "train.txt").write_text("bilder/é 1.png\n", "utf-8")
    (sample,) = folder.samples(root, "train")
    assert (sample.id, sample.split) == ("bilder/é 1", "train")
    with pytest.raises(DataSetError, match=r"neither a folder test/ nor a list test\.txt"):
        folder.samples(root, "test")
    (root / "train.txt").write_text("bilder/é 1\nbilder/é 7\n", "utf-8")
    with pytest.raises(DataSetError, match="1 of 2 samples"):
        folder.samples(root, "train")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    "source", ["../private/x.png", "{root}/private/x.png", "in/../../private/x.png", "a\0b.png"]
)
def test_labels_reach_no_photo_outside_their_folder(tmp_path, suffix, source):
    shape = Shape(draw(tmp_path / "private/x.png", seed=1), "ibug68")
    labels = tmp_path / f"in/labels{suffix}"
    formats.write(labels, [prediction(source.format(root=tmp_path), shape)])
    for root in (labels, labels.parent):
        with pytest.raises(FormatError, match="not below the folder of these labels"):
            folder.samples(root)
    (tmp_path / "in/private").symlink_to(tmp_path / "private")  # the user's own doing
    formats.write(labels, [prediction(str(tmp_path / "in/private/x.png"), shape)])
    assert ids(folder.samples(labels)) == ["private/x"]


def test_lists_reach_no_photo_outside_their_folder(tmp_path):
    root = mtfl.miniature(tmp_path / "mtfl")
    draw(tmp_path / "x.jpg", seed=1)
    path = next(root.rglob("testing.txt"))
    path.write_text(f"../x.jpg {path.read_text().splitlines()[0].split(maxsplit=1)[1]}\n")
    with pytest.raises(DataSetError, match=r"x.jpg: no photo"):
        mtfl.samples(root, "test")


def test_a_pipe_or_a_folder_called_like_a_mark_up_is_passed_over(own):
    root, (one, _) = own
    pts.write_points(root / "bilder/é 0.pts", one.points)
    (root / "points.toml").mkdir()
    (root / "config.toml").write_text("[tool]\npoints = [3]\n")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "a.toml")
    assert ids(folder.samples(root)) == ["bilder/é 0"]


def test_70_points_beside_a_photo_are_read_with_the_face_box_of_their_68(tmp_path):
    points = draw(tmp_path / "a.png", seed=1)
    pts.write_points(tmp_path / "a.pts", np.vstack([points, points[36:48].reshape(2, 6, 2).mean(1)]))
    (sample,) = folder.samples(tmp_path)
    assert sample.shape.markup.name == "ibug70" and sample.box == Box.around(points)
    with_five = Shape(five(points), "mtfl5")
    assert canonical_box_of(sample.shape) == sample.box != canonical_box_of(with_five)


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (7, 5), (300, 60), (4, 4), (3, 9)])
def test_so_many_faces_are_taken_as_were_asked_for(count, limit):
    faces = [Sample(str(number), "a.jpg") for number in range(count)]
    taken = [int(sample.id) for sample in thinned(faces, limit)]
    assert len(taken) == min(count, limit) and taken[0] == 0
    steps = {later - before for before, later in itertools.pairwise(taken)}
    assert max(steps) - min(steps) <= 1
    assert thinned(faces, None) == faces

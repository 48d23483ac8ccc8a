"""What is particular to the layouts of single data sets: databases, MATLAB's files, videos, gaps."""

import sqlite3
import sys
from contextlib import closing

import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError, MissingExtra
from meanshape.datasets import (
    affectnet,
    aflw,
    aflw2000,
    afw6,
    bioid,
    celeba,
    ckplus48,
    cofw,
    helen29,
    helen194,
    ibug300vw,
    lfpw35,
    lfw,
    load_data,
    muct,
    multipie,
    put,
    wflw,
    widerface,
    xm2vts,
)
from meanshape.datasets.parts import mat
from meanshape.datasets.parts.drawing import draw
from meanshape.formats import pts


def by_id(samples):
    return {sample.id: sample for sample in samples}


def test_aflw_is_read_from_its_database_without_writing(tmp_path):
    root = aflw.miniature(tmp_path)
    before = (root / "data/aflw.sqlite").read_bytes()
    first, second, _ = aflw.samples(root, "all")
    assert first.id == "0/image00000#39341"
    assert np.isnan(first.shape["left_ear"]).all() and not np.isnan(second.shape.points).any()
    assert first.own_box == Box(30, 25, 120, 115)
    assert first.attributes["gender"] == "male" and second.attributes["glasses"] == "glasses"
    assert first.attributes["aflw_yaw"] == pytest.approx(np.degrees(-0.2))
    assert (root / "data/aflw.sqlite").read_bytes() == before
    with closing(sqlite3.connect(root / "data/aflw.sqlite")) as database, database:
        database.execute("UPDATE FeatureCoords SET feature_id = 40 WHERE face_id = 39342 AND feature_id = 2")
    with pytest.raises(FormatError, match="feature_id is 40"):
        aflw.samples(root)
    (root / "data/aflw.sqlite").write_bytes(b"no database at all, just text " * 40)
    with pytest.raises(FormatError, match="not the database of AFLW"):
        aflw.samples(root)


def test_cofw_pictures_lie_in_the_container(tmp_path):
    root = cofw.miniature(tmp_path)
    colour, grey = cofw.samples(root, "train", allow_missing=True)
    assert colour.pixels().shape == grey.pixels().shape == (140, 150, 3)
    assert np.ptp(grey.pixels(), axis=2).max() == 0 < np.ptp(colour.pixels(), axis=2).max()
    assert np.flatnonzero(~colour.shape.visible).tolist() == [0, 7, 14, 21, 28]
    assert colour.own_box == Box(19, 19, 109, 109)
    path = root / "COFW_train_color.mat"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FormatError, match=r"not a MATLAB file of version 7\.3"):
        cofw.samples(root, "train")


@pytest.mark.parametrize(("module", "extra"), [(cofw, "mat73"), (afw6, "mat73")])
def test_without_h5py_the_line_to_install_it_is_said(tmp_path, monkeypatch, module, extra):
    root = module.miniature(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=rf"pip install 'meanshape\[{extra}\]'"):
        module.samples(root)
    assert module.card.extra == extra


def test_afw_lists_several_faces_of_a_photo_and_hidden_points(tmp_path):
    samples = by_id(afw6.samples(afw6.miniature(tmp_path)))
    assert list(samples) == ["0", "1", "1#2"]
    assert samples["1"].image == samples["1#2"].image
    assert np.isnan(samples["1#2"].shape["mouth_center"]).all()
    assert samples["1"].own_box.left == samples["1"].own_box.left.__round__()


def test_300vw_frames_come_from_video_or_folder(tmp_path):
    root = ibug300vw.miniature(tmp_path)
    samples = by_id(ibug300vw.samples(root, "train", allow_missing=True))
    assert list(samples) == ["001/000001", "001/000002", "002/000001", "002/000002"]
    drawn = [draw(tmp_path / f"{n}.png", n) for n in range(2)]
    for number in (1, 0, 1):  # frames may be asked for in any order
        sample = samples[f"001/{number + 1:06d}"]
        assert np.allclose(sample.shape.points, drawn[number])
        x, y = drawn[number][30].astype(int)
        assert sample.pixels()[y, x].max() < 60 < sample.pixels()[y + 3, x + 3].min()
    (root / "001/vid.avi").unlink()
    with pytest.raises(DataSetError, match="001/000001: no photo"):
        ibug300vw.samples(root, "train")


def test_300vw_a_playlist_is_no_video(tmp_path):
    """OpenCV would read the file that it names."""
    root = ibug300vw.miniature(tmp_path)
    (root / "001/vid.avi").rename(root / "001/other.avi")
    (root / "001/vid.avi").write_text("ffconcat version 1.0\nfile other.avi\n")
    with pytest.raises(DataSetError, match="001/000001: no photo"):
        ibug300vw.samples(root, "train")


def test_multipie_has_three_kinds_of_labels(tmp_path):
    root = multipie.miniature(tmp_path)
    front, part, profile = multipie.samples(root)
    assert (front.shape.markup.name, profile.shape.markup.name) == ("ibug68", "multipie39")
    assert np.flatnonzero(np.isnan(part.shape.points[:, 0])).tolist() == [60, 64]
    assert front.attributes["camera"] == "051" and front.box is not None and profile.box is None
    with pytest.raises(DataSetError, match="its own mark-up, ibug68, multipie39"):
        load_data(f"multipie:{root}", markup="ibug68")
    (root / "labels/051/odd_lm.mat").write_bytes(b"")
    with pytest.raises(FormatError, match="SUBJECT_SESSION_RECORDING_CAMERA_LAMP"):
        multipie.samples(root)


def test_muct_passes_over_mirrored_rows_and_unseen_points(tmp_path):
    root = muct.miniature(tmp_path)
    path = root / "muct-landmarks/muct76-opencv.csv"
    lines = path.read_text("utf-8").splitlines()
    cells = lines[1].split(",")
    cells[2:4] = ["0", "0"]
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]), "utf-8")
    first, second = muct.samples(root)
    assert np.isnan(first.shape.points[0]).all() and not np.isnan(second.shape.points).any()
    assert second.attributes == {
        "person": "001",
        "light": "s",
        "camera": "b",
        "gender": "male",
        "glasses": "glasses",
    }
    path.write_text("\n".join([*lines, "oops,0,1"]), "utf-8")
    with pytest.raises(FormatError, match="i000qa-fn, got 'oops'"):
        muct.samples(root)


def test_bioid_without_points_has_eyes(tmp_path):
    root = bioid.miniature(tmp_path)
    whole = bioid.samples(root)[0]
    (root / "points_20/bioid_0000.pts").unlink()
    eyes = bioid.samples(root)[0]
    assert np.isnan(eyes.shape.points[2:]).all()
    assert np.abs(eyes.shape.points[:2] - whole.shape.points[:2]).max() <= 0.5  # whole pixels
    assert eyes.shape["right_pupil"][0] < eyes.shape["left_pupil"][0]
    (root / "BioID_0000.eye").write_text("#LX\tLY\tRX\tRY\n1\t2\t3", "utf-8")
    with pytest.raises(FormatError, match="wanted LX LY RX RY"):
        bioid.samples(root)


def test_lfpw_rows_are_means_and_say_what_is_hidden(tmp_path):
    samples = by_id(lfpw35.samples(lfpw35.miniature(tmp_path)))
    assert list(samples) == ["train/0001", "train/0002", "test/0001", "test/0002"]
    assert samples["train/0002"].image.name == "an address.jpg"
    assert samples["train/0001"].shape.visible.all() and not samples["train/0002"].shape.visible.any()
    assert (
        samples["test/0001"].shape.to("lfpw29")["nose_tip"].tolist()
        == samples["test/0001"].shape["nose_tip"].tolist()
    )


def test_helen_splits_by_its_lists(tmp_path):
    root = helen194.miniature(tmp_path)
    assert [s.id for s in helen194.samples(root, "test", allow_missing=True)] == ["2002_1"]
    (root / "testnames.txt").unlink()
    with pytest.raises(DataSetError, match=r"holds no testnames\.txt"):
        helen194.samples(root, "test")


def test_wflw_subsets_are_those_with_the_code(tmp_path):
    root = wflw.miniature(tmp_path)
    whole = wflw.samples(root, "test", allow_missing=True)
    blurred = wflw.samples(root, "test_blur", allow_missing=True)
    assert len(whole) == 2 and [s.attributes["blur"] for s in blurred] == ["blurred"]
    assert whole[0].own_box.iou(whole[0].shape.box()) > 0.9
    assert np.isfinite(whole[0].shape.to("ibug68").points).all()


def test_widerface_has_faces_and_photos_without_any(tmp_path):
    root = widerface.miniature(tmp_path)
    samples = widerface.samples(root, "validation", allow_missing=True)
    assert [s.id.rpartition("_")[2] for s in samples] == ["2#1", "2#2", "1#1"]
    assert samples[1].own_box == Box(49, 30, 119, 110) and samples[1].shape is None
    path = root / "wider_face_split/wider_face_val_bbx_gt.txt"
    path.write_text(path.read_text("utf-8").replace("\n1\n", "\n2\n"), "utf-8")
    with pytest.raises(FormatError, match="wanted 10 numbers"):
        widerface.samples(root, "validation")


def test_a_part_of_widerface_is_read_from_one_list(tmp_path):
    for name in ("a b.jpg", "c.jpg"):
        draw(tmp_path / name, 3)
    text = "# file, number\na b.jpg 2\n10 20 30 40 1 0 0\n1 2 0 4 0 0 1\nc.jpg 1\n5 6 7.5 8 2 1 0\n"
    (tmp_path / "faces.txt").write_text(text, "utf-8")
    (tmp_path / "validation.txt").write_text("c\n", "utf-8")
    train = widerface.samples(tmp_path, "train")
    assert [s.id for s in train] == ["a b#1", "a b#2"] and train[1].own_box is None
    assert train[0].attributes == {"blur": 1, "occlusion": 0, "invalid": 0}
    assert [s.own_box for s in widerface.samples(tmp_path, "validation")] == [Box(5, 6, 12.5, 14)]
    assert len(widerface.samples(tmp_path)) == 3


def test_celeba_has_boxes_splits_and_attributes(tmp_path):
    root = celeba.miniature(tmp_path)
    samples = celeba.samples(root, "validation", allow_missing=True)
    assert [s.id for s in samples] == ["000003", "000004"]
    assert samples[0].own_box == Box(30, 20, 120, 120)
    assert samples[1].attributes == {"gender": "female", "smile": "smiling", "glasses": "no glasses"}
    (root / "Img/img_celeba").rename(root / "Img/img_align_celeba")
    name = "list_landmarks_celeba.txt"
    (root / "Anno" / name).rename(root / "Anno" / name.replace("celeba", "align_celeba"))
    assert {s.own_box for s in celeba.samples(root)} == {None}


def test_affectnet_has_emotions_and_what_is_none(tmp_path):
    one, other = affectnet.samples(affectnet.miniature(tmp_path), "train", allow_missing=True)
    assert one.attributes == {"emotion": "anger", "valence": -0.5, "arousal": 0.25}
    assert other.attributes == {"emotion": "no face"}
    assert one.own_box == Box(30, 25, 120, 115) and one.box == one.shape.box()


def test_ck_folds_the_names_of_emotions(tmp_path):
    root = ckplus48.miniature(tmp_path)
    samples = ckplus48.samples(root)
    assert {s.attributes["emotion"] for s in samples} >= {"sad", "happy", "contempt"}
    assert samples[0].attributes["person"] == "S010"
    (root / "CK+48/boredom").mkdir()
    with pytest.raises(FormatError, match="no emotion is called 'boredom'"):
        ckplus48.samples(root)


def test_lfw_splits_by_its_lists(tmp_path):
    root = lfw.miniature(tmp_path)
    assert [s.attributes["person"] for s in lfw.samples(root, "train", allow_missing=True)] == [
        "Anna_Muster",
        "Anna_Muster",
        "Bo_Li",
    ]
    (root / "peopleDevTest.txt").unlink()
    with pytest.raises(DataSetError, match=r"peopleDevTest\.txt"):
        lfw.samples(root, "test")


def test_put_reads_files_with_thirty_points_alone(tmp_path):
    root = put.miniature(tmp_path)
    assert len(put.samples(root)) == 2
    path = root / "landmarks/00010001.yml"
    path.write_text(path.read_text("utf-8").rpartition("      y:")[0], "utf-8")
    with pytest.raises(FormatError, match="wanted 30 points"):
        put.samples(root)


def test_angles_of_aflw2000_are_in_degrees(tmp_path):
    first = aflw2000.samples(aflw2000.miniature(tmp_path))[0]
    assert first.attributes["aflw2000_yaw"] == pytest.approx(np.degrees(-0.2))


def test_files_of_the_wrong_matlab_version_are_named(tmp_path):
    root = helen29.miniature(tmp_path)
    with mat.h5(root / "helen.mat", "w") as file:
        file["imgs"] = [1]
    with pytest.raises(FormatError, match="not a MATLAB file of version 5"):
        helen29.samples(root)


def test_fgnet_points_are_not_shifted(tmp_path):
    """The .pts of FGnet are taken as they are; those of iBUG count from 1."""
    root = xm2vts.miniature(tmp_path)
    on_disk = pts.read_points(root / "points/000_1_1.pts") + pts.ORIGIN
    assert np.array_equal(xm2vts.samples(root)[0].shape.points, on_disk)


@pytest.mark.parametrize("name", [n for n in registry.names("datasets") if n not in ("folder", "synthetic")])
def test_what_we_have_no_copy_of_says_where_its_layout_is_known_from(name):
    card = registry.card("datasets", name)
    at_hand = {
        "ibug300w", "afw", "helen", "lfpw", "mtfl", "cnn_facepoint", "fer2013", "imm", "helen29", "fgnet",
        "infanface", "scut_fbp5500", "webmorph",
    }  # fmt: skip
    assert (name in at_hand) == ("sources" not in card)
    assert card["faults"] and card["licence"]


@pytest.mark.parametrize(
    "name", ["xm2vts", "imm", "imm58", "put", "fgnet", "scut_fbp5500", "webmorph", "infanface", "ibug300w"]
)
def test_labels_are_found_whatever_the_case_of_their_suffix(tmp_path, name):
    module = registry.dataset(name)
    root = module.miniature(tmp_path)
    wanted = [sample.id for sample in module.survey(root).found]
    for path in sorted(root.rglob("*")):
        if path.suffix in (".pts", ".asf", ".yml"):
            path.rename(path.with_suffix(path.suffix.upper()))
    assert wanted and [sample.id for sample in module.survey(root).found] == wanted

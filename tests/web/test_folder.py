"""Labels corrected by hand: saved whole, never over somebody else's, ready to train on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.apps.web.folder import ConflictError, Folder
from meanshape.apps.web.labels import LABELS
from meanshape.apps.web.server import create_app
from meanshape.core.box import Box
from meanshape.core.errors import (
    ConfigError,
    FormatError,
    ShapeError,
    UnknownName,
)
from meanshape.core.face import Face
from meanshape.core.image import write_image
from meanshape.core.markup import load_markup, markup
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.datasets.folder import BY_HAND
from meanshape.datasets.synthetic import face
from meanshape.formats import jsonl
from meanshape.inference import Pipeline


def faces(label: Any) -> list[dict[str, Any]]:
    return [{"points": face.shape.points.tolist(), "visible": None} for face in label.faces]


def test_points_are_placed_saved_and_read_back(folder: Folder) -> None:
    label = folder.label("0.png")
    assert len(label.faces) == 1 and label.version == "" and 0 < label.confidence <= 1
    moved = faces(label)
    moved[0]["points"][30] = [101.25, 99.5]
    moved[0]["visible"] = [True] * 67 + [False]
    version = folder.save("0.png", "", moved)
    again = Folder(folder.root, folder.kind).label("0.png")
    assert again.version == version
    assert again.faces[0].shape.points[30].tolist() == [101.25, 99.5]
    assert again.faces[0].shape.visible.sum() == 67
    (sample,) = load_data(f"folder:{folder.root}")
    assert sample.shape == again.faces[0].shape


def test_the_face_box_stays_with_points_that_do_not_show_it(photos: Path, tmp_path: Path) -> None:
    """Four corners of eyes say nothing of the box of their face: training must learn in the detector's."""
    root = tmp_path / "eyes"
    shutil.copytree(photos, root)
    (root / "corners.toml").write_text(
        'points = ["right_outer", "right_inner", "left_inner", "left_outer"]\nmirror = [3, 2, 1, 0]\n'
    )
    folder = Folder(root, load_markup(root / "corners.toml"), Pipeline())
    (face,) = folder.label("0.png").faces
    row = [[60, 80], [90, 80], [110, 80], [140, 80.5]]
    folder.save("0.png", "", [{"points": row, "box": face.box.as_list()}])
    (sample,) = load_data(f"folder:{root}")
    assert sample.box == Box(*face.box.as_list()) and sample.box.height > 60
    with pytest.raises(ShapeError, match="a box is"):
        folder.save("1.png", "", [{"points": row, "box": [1, 2]}])


def test_a_mark_up_that_shares_nine_of_the_68_takes_the_box_that_is_sent(
    photos: Path, tmp_path: Path
) -> None:
    root = tmp_path / "muct"
    shutil.copytree(photos, root)
    folder = Folder(root, markup("muct76"), None)
    rows = np.random.default_rng(0).uniform(60, 120, (76, 2)).tolist()
    folder.save("0.png", "", [{"points": rows, "box": [50, 40, 150, 160]}])
    assert load_data(f"folder:{root}")[0].box == Box(50, 40, 150, 160)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("cpr", ["--set", "sizes=40,56", "--set", "scales=1.2,1.2", "--set", "stages=1,1"]),
        ("asm", ["--set", "faces=60", "--set", "modes=3"]),
        ("dan", ["--preset", "few", "--init", "dan", "--set", "steps=1,1", "--set", "batch=4"]),
    ],
)
def test_points_of_ones_own_are_learnt_even_without_eyes(
    tmp_path: Path, method: str, options: list[str]
) -> None:
    """Of a mouth alone, in the face's box; `dan` keeps what it knows of faces, and learns the points anew."""
    pytest.importorskip("torch") if method == "dan" else None
    (tmp_path / "mouth.toml").write_text(
        'points = ["right_corner", "top", "left_corner", "bottom"]\nmirror = [2, 1, 0, 3]\n'
    )
    kind, lines = load_markup(tmp_path / "mouth.toml"), []
    for seed in range(6):
        sample = face(seed, 96, occlusion=0, yaw=0)
        write_image(tmp_path / f"{seed}.png", sample.pixels())
        label = Face(sample.box, Shape(sample.shape.points[[48, 51, 54, 57]], kind))
        lines.append(Prediction((label,), (96, 96), f"{seed}.png", BY_HAND))
    jsonl.write(tmp_path / LABELS, lines)
    run = tmp_path / "run"
    assert main(["train", method, "--data", f"folder:{tmp_path}", "--out", str(run), *options]) == 0
    found = ms.load(run).predict(sample.image, sample.box)
    assert found.markup == kind
    assert found.points == pytest.approx(sample.shape.points[[48, 51, 54, 57]], abs=0.25 * sample.box.size)


def test_nobody_is_overwritten_unseen(folder: Folder) -> None:
    mine, theirs = folder.label("0.png"), folder.label("0.png")
    first = folder.save("0.png", theirs.version, faces(theirs))
    with pytest.raises(ConflictError, match="saved elsewhere"):
        folder.save("0.png", mine.version, faces(mine))
    other = Folder(folder.root, folder.kind)  # another server on the same folder
    changed = faces(theirs)
    changed[0]["points"][0][0] += 5
    second = other.save("0.png", first, changed)
    with pytest.raises(ConflictError):
        folder.save("0.png", first, faces(mine))
    assert folder.label("0.png").version == second


def full(*given: Any, **more: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_save_that_fails_leaves_what_was_there(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    label = folder.label("0.png")
    version = folder.save("0.png", "", faces(label))
    before = (folder.root / LABELS).read_bytes()

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(Exception, match="No space left"):
        folder.save("0.png", version, [])
    monkeypatch.undo()
    assert (folder.root / LABELS).read_bytes() == before
    assert Folder(folder.root, folder.kind).label("0.png").version == version


def test_the_least_certain_come_first_and_the_done_last(folder: Folder) -> None:
    for name in folder.photos:
        folder.label(name)
    rows = folder.overview()
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    first = rows[0]["name"]
    folder.save(first, "", faces(folder.label(first)))
    rows = folder.overview()
    assert rows[-1]["name"] == first and rows[-1]["done"]


def test_points_that_are_not_there_and_faces_that_go(folder: Folder) -> None:
    label = folder.label("1.png")
    gone = faces(label)
    gone[0]["points"][5] = [None, None]
    folder.save("1.png", folder.save("1.png", "", gone), [])
    assert folder.label("1.png").faces == ()
    version = folder.label("1.png").version
    folder.save("1.png", version, gone)
    assert np.isnan(folder.label("1.png").faces[0].shape.points[5]).all()


def test_pts_files_hold_one_whole_face(folder: Folder) -> None:
    other = Folder(folder.root, folder.kind, folder.pipeline, labels="pts")
    label = other.label("2.png")
    version = other.save("2.png", label.version, faces(label))
    assert (folder.root / "2.pts").exists() and not (folder.root / LABELS).exists()
    assert version and other.label("2.png").version == version
    with pytest.raises(FormatError, match="one face"):
        other.save("2.png", version, [])


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "none.png", ""])
def test_only_photos_of_the_folder_have_names(folder: Folder, name: str) -> None:
    with pytest.raises(UnknownName):
        folder.label(name)
    with pytest.raises(UnknownName):
        folder.save(name, "", [])


def test_links_that_lead_out_are_not_listed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out.png").symlink_to(photos / "0.png")
    with pytest.raises(ConfigError, match="no pictures"):
        Folder(tmp_path / "in", markup("ibug68"))


@pytest.mark.parametrize(
    "face",
    [{}, {"points": [[1, 2]]}, {"points": "x"}, {"points": [["a", "b"]] * 68}, {"points": [[1, 2, 3]] * 68}],
)
def test_points_that_cannot_be_are_refused(folder: Folder, face: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        folder.save("0.png", "", [face])


def test_a_mark_up_of_ones_own_starts_from_what_was_labelled(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "three.toml").write_text('points = ["left_eye", "right_eye", "mouth"]\n')
    kind = markup(str(tmp_path / "three.toml"))
    own = Folder(folder.root, kind, folder.pipeline)
    (found,) = folder.label("0.png").faces
    box = found.box
    left, right, mouth = box.relative(own.place("0.png", box).points)
    assert 0.6 < left[0] < 0.9 and 0.1 < right[0] < 0.4 and abs(mouth[0] - 0.5) < 0.1  # the subject's left
    assert max(left[1], right[1]) < 0.35 < 0.55 < mouth[1]
    own.save("0.png", "", [{"points": [[30, 40], [70, 40], [50, 80]]}])
    placed = own.place("1.png", box)
    assert placed.points == pytest.approx(box.absolute([[0, 0], [1, 0], [0.5, 1]]))
    assert json.loads((folder.root / LABELS).read_text())["faces"][0]["shape"]["markup"] == "three"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode here")
def test_a_name_that_is_not_utf8_can_be_asked_for(photos: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(photos / "0.png", tmp_path / name)
    folder = Folder(tmp_path, markup("mtfl5"))
    with TestClient(create_app(folder=folder), base_url="http://localhost") as client:
        (row,) = client.get("/v1/folder").json()["photos"]
        assert row["name"] == r"caf\udce9.png"
        asked = {"name": row["name"]}
        assert client.get("/v1/folder/photo", params=asked).status_code == 200
        five = [[10, 10], [30, 10], [20, 20], [12, 30], [28, 31]]
        face = {"points": five, "box": [0, 0, 40, 40]}
        sent = {"version": "", "faces": [face]}
        assert client.put("/v1/folder/label", params=asked, json=sent).status_code == 200
        conflict = client.put("/v1/folder/label", params=asked, json=sent)
        assert conflict.status_code == 409 and r"caf\udce9.png" in conflict.json()["error"]
    (sample,) = load_data(f"folder:{tmp_path}")
    assert Path(sample.image).name == name

"""Saves that are answered are on the disk; what was put in a folder leads nowhere else."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from meanshape.apps.cli import main
from meanshape.apps.web.first import ellipse, named_like
from meanshape.apps.web.folder import LOCK, ConflictError, Folder
from meanshape.apps.web.labels import LABELS, pts_names
from meanshape.apps.web.server import create_app
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError, MeanshapeError, OutputError
from meanshape.core.face import Emotion, Face
from meanshape.core.markup import _OWN, MarkUp, markup
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets import load_data
from meanshape.datasets.folder import BY_HAND
from meanshape.evaluation.starts import mean_face
from meanshape.formats import jsonl, pts


def faces(label: Any) -> list[dict[str, Any]]:
    return [{"points": face.shape.points.tolist(), "visible": None} for face in label.faces]


def full(*given: Any, **more: Any) -> None:
    raise OSError(28, "No space left on device")


def line(source: str | None, shift: float, **more: Any) -> str:
    shape = Shape(np.arange(10).reshape(5, 2) + shift, "mtfl5")
    return jsonl.render(Prediction((Face(shape.box(), shape, **more),), (200, 200), source, BY_HAND))


def points(shift: float) -> list[dict[str, Any]]:
    return [{"points": (np.arange(10).reshape(5, 2) + shift).tolist(), "visible": None}]


@pytest.fixture
def five(photos: Path, tmp_path: Path) -> Path:
    """A folder of photos, to be opened with five points and no model."""
    root = tmp_path / "five"
    shutil.copytree(photos, root)
    return root


@pytest.mark.parametrize("labels", ["jsonl", "pts"])
def test_a_save_that_failed_is_not_remembered_and_can_be_tried_again(
    five: Path, labels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(five, markup("mtfl5"), labels=labels)
    before = sorted(path.name for path in five.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        for _ in range(2):
            with pytest.raises(OutputError, match="No space left"):
                folder.save("0.png", "", points(3))
        assert folder.label("0.png").version == "" and not any(row["done"] for row in folder.overview())
    assert sorted(path.name for path in five.iterdir()) == before
    assert (
        folder.save("0.png", "", points(3))
        == Folder(five, markup("mtfl5"), labels=labels).label("0.png").version
    )
    assert folder.overview()[-1]["done"]


def test_a_full_disk_is_told_and_the_save_tried_again(five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(create_app(folder=Folder(five, markup("mtfl5"))), base_url="http://localhost")
    label = {"version": "", "faces": points(3)}
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        answer = client.put("/v1/folder/label", params={"name": "0.png"}, json=label)
        assert answer.status_code == 507 and "No space left" in answer.json()["error"]
        assert str(five) not in answer.text
    assert client.put("/v1/folder/label", params={"name": "0.png"}, json=label).status_code == 200


@pytest.mark.parametrize("labels", ["jsonl", "pts"])
def test_all_saves_of_two_servers_are_there(five: Path, labels: Any) -> None:
    """Sixty photos, two servers, four clients each: what was answered is on the disk."""
    for number in range(60):
        shutil.copy(five / "0.png", five / f"{number:02d}.png")
    servers = [Folder(five, markup("mtfl5"), labels=labels) for _ in range(2)]

    def work(number: int) -> str:
        return servers[number % 2].save(f"{number:02d}.png", "", points(number))

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(work, range(60)))
    again = Folder(five, markup("mtfl5"), labels=labels)
    for number, version in enumerate(versions):
        label = again.label(f"{number:02d}.png")
        assert label.version == version and label.faces[0].shape.points[0].tolist() == [number, number + 1]
    assert not (five / LOCK).exists()


def test_a_change_that_looks_like_none_is_seen_before_a_save(five: Path) -> None:
    """Two writes in one tick of the clock, of one size: the file's times and size say nothing."""
    mine, theirs = Folder(five, markup("mtfl5")), Folder(five, markup("mtfl5"))
    version = mine.save("0.png", "", points(1))
    state = (five / LABELS).stat()
    theirs.label("0.png")
    theirs.save("0.png", version, points(2))
    (five / LABELS).write_bytes((five / LABELS).read_bytes())
    os.utime(five / LABELS, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(ConflictError):
        mine.save("0.png", version, points(3))
    mine.save("1.png", "", points(4))
    assert Folder(five, markup("mtfl5")).label("0.png").faces[0].shape.points[0, 0] == 2


def test_lines_of_other_photos_and_of_none_are_kept(five: Path) -> None:
    """And a photo on several lines has the faces of all."""
    others = [
        line(None, 1),
        line("gone.png", 2),
        line(None, 1),
        line("0.png", 3),
        line("1.png", 4),
        line("0.png", 5),
    ]
    (five / LABELS).write_text("\n".join(others))
    folder = Folder(five, markup("mtfl5"))
    both = folder.label("0.png")
    assert [face.shape.points[0, 0] for face in both.faces] == [3, 5]
    folder.save("1.png", folder.label("1.png").version, points(6))
    text = (five / LABELS).read_text().splitlines()
    assert text[:4] + text[5:] == others[:4] + others[5:]
    folder.save("0.png", both.version, faces(both))
    assert (five / LABELS).read_text().splitlines()[:3] == others[:3]
    assert len(Folder(five, markup("mtfl5")).label("0.png").faces) == 2
    assert len((five / LABELS).read_text().splitlines()) == 5


def test_what_else_was_known_of_a_face_is_kept(five: Path) -> None:
    (five / LABELS).write_text(
        line("0.png", 3, attributes={"glasses": "no"}, emotion=Emotion("happy", {"happy": 1}))
    )
    client = TestClient(create_app(folder=Folder(five, markup("mtfl5"))), base_url="http://localhost")
    label = client.get("/v1/folder/label", params={"name": "0.png"}).json()
    (face,) = label["faces"]
    sent = points(4)[0] | {key: face[key] for key in ("emotion", "attributes")}
    version = label["version"]
    assert (
        client.put("/v1/folder/label?name=0.png", json={"version": version, "faces": [sent]}).status_code
        == 200
    )
    (kept,) = Folder(five, markup("mtfl5")).label("0.png").faces
    assert dict(kept.attributes) == {"glasses": "no"} and kept.emotion.label == "happy"
    deep: Any = "x"
    for _ in range(2000):
        deep = [deep]
    wrong = [3, {"deep": deep}, {"number": math.nan}, {"object": object()}]
    more = [{"attributes": one} for one in wrong] + [
        {"emotion": {}},
        {"emotion": {"label": "x", "probabilities": 1}},
    ]
    for one in more:
        with pytest.raises(MeanshapeError):
            Folder(five, markup("mtfl5")).save("1.png", "", [points(4)[0] | one])


def test_a_face_that_nobody_looked_at_is_kept_and_does_not_train(five: Path) -> None:
    folder = Folder(five, markup("mtfl5"))
    version = folder.save("0.png", "", [points(1)[0], points(9)[0] | {"checked": False}])
    assert (row := folder.overview()[0]) and (row["name"], row["done"], row["checked"]) == ("0.png", False, 1)
    (sample,) = load_data(f"folder:{five}")
    assert sample.shape.points[0, 0] == 1
    label = Folder(five, markup("mtfl5")).label("0.png")
    assert len(label.faces) == 2 and dict(label.faces[1].attributes) == {"checked": "no"}
    folder.save("0.png", version, [points(1)[0], points(9)[0]])
    assert folder.overview()[-1]["done"] and len(load_data(f"folder:{five}")) == 2


def test_labels_of_other_points_are_not_opened(five: Path) -> None:
    (five / LABELS).write_text(line(None, 1) + "\n" + line("0.png", 3))
    with pytest.raises(
        FormatError, match=r"labels.jsonl, line 1: points of mtfl5, not of ibug68; .*--markup mtfl5"
    ):
        Folder(five, markup("ibug68"))
    (five / "1.pts").write_text("1 2\n3 4\n")
    with pytest.raises(FormatError, match=r"1.pts: a shape of mtfl5"):
        Folder(five, markup("mtfl5"), labels="pts")


def test_pts_files_of_photos_that_differ_in_their_suffix(five: Path) -> None:
    names = ["a.jpg", "a.png", "sub/a.webp", "sub/a.bmp", "b.png", "b.png.jpg"]
    (five / "sub").mkdir()
    for name in names:
        (five / name).write_bytes((five / "0.png").read_bytes())
    assert pts_names(five, names) == {
        "a.jpg": "a.pts",
        "a.png": "a.png.pts",
        "sub/a.webp": "sub/a.webp.pts",
        "sub/a.bmp": "sub/a.pts",
        "b.png": "b.pts",
        "b.png.jpg": "b.png.jpg.pts",
    }
    folder = Folder(five, markup("mtfl5"), labels="pts")
    for number, name in enumerate(names):
        folder.save(name, "", points(number))
    for number, name in enumerate(names):
        assert folder.label(name).faces[0].shape.points[0, 0] == number
    read = {
        Path(s.image).relative_to(five).as_posix(): s for s in load_data(f"folder:{five}", markup="mtfl5")
    }
    assert {name: read[name].shape.points[0, 0] for name in names} == dict(zip(names, range(6), strict=True))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_what_was_put_in_a_photos_place_is_not_served(five: Path, tmp_path: Path) -> None:
    """Links out of the folder, or a folder's in it, pipes, nothing: 404 or 422, no path of this machine."""
    (tmp_path / "private").mkdir()
    shutil.copy(five / "0.png", tmp_path / "private/3.png")
    (five / "sub").mkdir()
    for name in ("sub/3.png", "4.png", "5.png", "6.png", "7.bmp"):
        shutil.copy(five / "0.png", five / name)
    (five / "8.png").symlink_to("sub/3.png")
    client = TestClient(create_app(folder=Folder(five, markup("mtfl5"))), base_url="http://localhost")
    assert client.get("/v1/folder/photo", params={"name": "8.png"}).status_code == 200  # a link inside
    shutil.move(five / "sub", five / "old")
    (five / "sub").symlink_to(tmp_path / "private")
    (five / "4.png").unlink()
    (five / "4.png").symlink_to(tmp_path / "private/3.png")
    (five / "5.png").unlink()
    os.mkfifo(five / "5.png")
    (five / "6.png").unlink()
    (five / "7.bmp").write_bytes(b"no picture")
    for name in ("sub/3.png", "8.png", "4.png", "5.png", "6.png", "7.bmp"):
        sent = {"version": "", "faces": points(1)}
        box = {"left": 1, "top": 1, "right": 9, "bottom": 9}
        answers = [
            client.put("/v1/folder/label", params={"name": name}, json=sent),
            client.post("/v1/folder/place", params={"name": name} | box),
            client.get("/v1/folder/photo", params={"name": name}),
            client.get("/v1/folder/label", params={"name": name}),
        ]
        for answer in answers:
            assert answer.status_code in (404, 422) and str(tmp_path) not in answer.text, answer.text
            assert answer.json()["error"].startswith(name)
    assert not (tmp_path / "private/3.pts").exists() and not (five / LABELS).exists()


def test_labels_are_neither_read_nor_written_through_a_link(five: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text(line("0.png", 1))
    folder = Folder(five, markup("mtfl5"))
    (five / LABELS).symlink_to(tmp_path / "private")
    with pytest.raises(FormatError, match="a link"):
        folder.save("0.png", "", points(3))
    with pytest.raises(FormatError, match="a link"):
        Folder(five, markup("mtfl5"))
    (five / LABELS).unlink()
    (five / LOCK).symlink_to(tmp_path / "new")
    with pytest.raises(OutputError):
        folder.save("0.png", "", points(3))
    assert not (tmp_path / "new").exists()


def test_points_start_where_their_names_belong() -> None:
    """The example of the docs is the right way up, and no point hides another."""
    known = markup("ibug68")
    faces_ = np.array(mean_face(known))
    names = ("left_eye", "right_eye", "nose", "mouth", "left_pupil", "left_ear", "right_ear", "scar")
    found = dict(
        zip(names, named_like(MarkUp("mine", names, mirror=tuple(range(8))), known, faces_), strict=True)
    )
    assert found["left_eye"][0] > found["nose"][0] > found["right_eye"][0]
    assert found["left_eye"][1] < found["nose"][1] < found["mouth"][1]
    assert np.abs(found["left_pupil"] - found["left_eye"]).max() < 0.1
    assert found["left_ear"][0] > 0.5 > found["right_ear"][0]
    apart = np.array(list(found.values()))
    distances = np.hypot(*(apart[:, None] - apart[None]).transpose(2, 0, 1)) + np.eye(8)
    assert distances.min() > 0.015
    assert named_like(known, known, faces_) == pytest.approx(faces_)
    assert named_like(MarkUp("x", ("p1", "p2")), known, faces_) == pytest.approx(ellipse(2))


@pytest.fixture
def opened(five: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Folder | int]:
    """Return what `meanshape annotate` would serve, or its exit code."""

    def annotate(*words: str) -> Folder | int:
        served: list[Folder] = []
        monkeypatch.setattr("meanshape.apps.cli.annotate.run", lambda *given: served.append(given[4]))
        code = main(["annotate", str(five), "--empty", *words])
        return served[0] if served else code

    return annotate


EYES = 'points = ["left_eye", "right_eye"]\n# a remark\n'


def test_a_folder_opens_again_with_its_own_mark_up(
    five: Path, opened: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "eyes.toml").write_text(EYES)
    assert opened() == 6 and "say which points there are" in capsys.readouterr().err
    folder = opened("--markup", str(tmp_path / "eyes.toml"))
    folder.save("0.png", "", [{"points": [[60, 40], [30, 41]], "box": [10, 10, 90, 90]}])
    _OWN.clear()  # as in a new process
    assert opened().label("0.png").faces[0].shape.markup.points == ("left_eye", "right_eye")
    assert "eyes.toml" in capsys.readouterr().err
    _OWN.clear()
    assert opened("--markup", "eyes").kind.name == "eyes"
    (five / "other.toml").write_text('points = ["nose"]\n')
    assert opened().kind.name == "eyes"  # the labels say which
    (five / LABELS).unlink()
    assert opened() == 6 and "eyes, other: say which" in capsys.readouterr().err
    assert opened("--markup", "ibug68").kind.name == "ibug68"


def test_labels_of_the_packages_points_are_opened_with_them(five: Path, opened: Any) -> None:
    (five / LABELS).write_text(line("0.png", 3))
    assert opened().kind.name == "mtfl5"


def test_the_labels_that_are_there_are_opened(five: Path, opened: Any, capsys: Any) -> None:
    """Points of 300-W, with a model of 70 points; training reads what was saved, or asks which."""
    pts.write_points(five / "0.pts", np.arange(136).reshape(68, 2))
    folder = opened()
    assert (folder.labels, folder.kind.name) == ("pts", "ibug68")
    assert folder.label("0.png").faces[0].shape.points[1].tolist() == [2, 3]
    assert "the labels are the .pts files" in capsys.readouterr().err
    folder = opened("--labels", "jsonl", "--markup", "mtfl5")
    assert f"name {five / LABELS}" in capsys.readouterr().err
    folder.save("1.png", "", points(3))
    with pytest.raises(DataSetError, match=r"holds labels\.jsonl and \.pts files; name folder:"):
        load_data(f"folder:{five}")
    assert [sample.id for sample in load_data(f"folder:{five / LABELS}")] == ["1"]
    assert opened().labels == "jsonl" and opened("--labels", "pts").labels == "pts"
    assert opened("--labels", "csv") == 6
    (five / LABELS).unlink()
    (five / "points.csv").write_text("of another program")  # .pts files count, as ever
    assert [sample.id for sample in load_data(f"folder:{five}")] == ["0"]


def test_files_in_capitals_are_labels_too(five: Path, opened: Any) -> None:
    (five / "0.png").rename(five / "A.PNG")
    pts.write_points(five / "A.PTS", np.arange(136).reshape(68, 2))
    assert [sample.id for sample in load_data(f"folder:{five}")] == ["A"]
    folder = opened()
    label = folder.label("A.PNG")
    moved = [{"points": (label.faces[0].shape.points + 1).tolist(), "visible": None}]
    folder.save("A.PNG", label.version, moved)
    assert [path.name for path in five.iterdir() if path.suffix.lower() == ".pts"] == ["A.PTS"]
    assert main(["data", "convert", str(five), str(five / "all.csv")]) == 0
    (sample,) = load_data(f"folder:{five}")
    assert sample.shape.points[0].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "sub/../../outside", "a/b"])
def test_a_mark_up_writes_no_file_elsewhere(
    five: Path, opened: Any, tmp_path: Path, name: str, capsys: Any
) -> None:
    (five / "sub").mkdir()
    (tmp_path / "evil.toml").write_text(f'name = "{name}"\n{EYES}')
    before = sorted(tmp_path.rglob("*"))
    assert opened("--markup", str(tmp_path / "evil.toml")) == 8
    assert "cannot be called" in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before


def test_a_mark_up_replaces_nothing_but_an_older_one(
    five: Path, opened: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "eyes.toml").write_text(EYES)
    (five / "eyes.toml").write_text("[project]\nname = 'mine'\n")
    assert opened("--markup", str(tmp_path / "eyes.toml")) == 6
    assert "this file is no mark-up" in capsys.readouterr().err
    assert (five / "eyes.toml").read_text().startswith("[project]")
    (five / "eyes.toml").write_text(EYES)
    assert opened("--markup", str(five / "eyes.toml")).kind.name == "eyes"
    assert (five / "eyes.toml").read_text() == EYES  # its remarks, too
    (tmp_path / "eyes.toml").write_text('points = ["left_eye", "right_eye", "nose"]\n')
    assert len(opened("--markup", str(tmp_path / "eyes.toml")).kind) == 3
    assert "nose" in (five / "eyes.toml").read_text()


def test_boxes_without_points_are_kept(five: Path) -> None:
    """The page shows faces with points; a save must not lose the others."""
    shape = Shape(np.arange(10).reshape(5, 2) + 3, "mtfl5")
    both = Face(Box(1, 1, 9, 9), score=0.5), Face(shape.box(), shape)
    jsonl.write(five / LABELS, [Prediction(both, (200, 200), "0.png")])
    folder = Folder(five, markup("mtfl5"))
    folder.save("0.png", folder.label("0.png").version, points(7))
    moved, box = Folder(five, markup("mtfl5")).label("0.png").faces
    assert moved.shape.points[0, 0] == 7
    assert (box.shape, box.score, box.box.as_list()) == (None, 0.5, [1, 1, 9, 9])

"""Outputs appear whole or not at all, and a run that was stopped goes on."""

import json

import pytest

from meanshape import Box, ConfigError, Face, FormatError, OutputError, Prediction, Shape, formats
from meanshape.inference.outputs import Printed, Told, Written, check_points

SOURCES = ["a/1.jpg", "b/1.jpg", "c.jpg"]


def prediction(source, faces=1, error=None, model="m"):
    shape = Shape([(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)], "mtfl5")
    found = tuple(Face(Box(0, 0, 10, 12), shape) for _ in range(faces))
    return Prediction(found, (20, 20), source, model, 0.1, error)


def sources(path):
    return [json.loads(line)["source"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "new/folder/out.jsonl"])
def test_nothing_is_seen_until_all_is_done(tmp_path, name):
    target = tmp_path / name
    out = Written(target, SOURCES, "m")
    for source in SOURCES:
        out.add(prediction(source))
        assert not target.exists()
    out.finish()
    assert [p.source for p in formats.read(target)] == SOURCES
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_an_older_output_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    out = Written(target, SOURCES, "m")
    out.add(prediction("x"))
    out.discard()
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_resume_skips_what_the_output_has(tmp_path, name):
    target = tmp_path / name
    first = Written(target, SOURCES, "m")
    first.add(prediction("a/1.jpg"))
    first.finish()
    again = Written(target, SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg"}
    again.add(prediction("b/1.jpg"))
    again.finish()
    assert [p.source for p in formats.read(target)] == ["a/1.jpg", "b/1.jpg"]


def test_resume_goes_on_from_a_killed_run_and_drops_half_a_line(tmp_path):
    target = tmp_path / "out.jsonl"
    killed = Written(target, SOURCES, "m")
    killed.add(prediction("a/1.jpg"))
    killed.add(prediction("b/1.jpg", error="broken", faces=0))
    killed.add(prediction("c.jpg"))
    killed.close()
    whole = killed.journal.read_text()
    killed.journal.write_text(whole[:-40])
    again = Written(target, SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg"}  # what was broken is tried again, what was cut off too
    again.add(prediction("b/1.jpg"))
    again.add(prediction("c.jpg"))
    again.finish()
    assert sources(target) == SOURCES and not killed.journal.exists()


def test_resume_with_nothing_to_resume_is_a_fresh_run(tmp_path):
    out = Written(tmp_path / "out.jsonl", SOURCES, "m", resume=True)
    assert out.done == set()
    out.close()
    assert list(tmp_path.iterdir()) == []


def test_resume_refuses_another_model(tmp_path):
    first = Written(tmp_path / "out.jsonl", SOURCES, "m")
    first.add(prediction("c.jpg"))
    first.finish()
    before = (tmp_path / "out.jsonl").read_text()
    with pytest.raises(ConfigError, match="model m, not other"):
        Written(tmp_path / "out.jsonl", SOURCES, "other", resume=True)
    assert (tmp_path / "out.jsonl").read_text() == before and len(list(tmp_path.iterdir())) == 1


def test_pts_files_are_named_after_their_photos_and_none_is_lost(tmp_path):
    (tmp_path / "pts").mkdir()
    out = Written(f"{tmp_path}/pts/", SOURCES, "m")
    for source, faces in zip(SOURCES, (2, 1, 0), strict=True):
        out.add(prediction(source, faces))
    out.finish()
    assert sorted(p.name for p in (tmp_path / "pts").iterdir()) == ["1.face2.pts", "1.pts", "b-1.pts"]
    again = Written(tmp_path / "pts", SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg", "b/1.jpg"}
    again.close()


def test_a_pts_file_for_one_photo_has_the_name_that_was_asked_for(tmp_path):
    for given, wanted in (
        (["c.jpg"], ["x.face2.pts", "x.pts"]),
        (SOURCES, ["x-1.face2.pts", "x-1.pts", "x-b-1.pts"]),
    ):
        folder = tmp_path / str(len(given))
        out = Written(folder / "x.pts", given, "m")
        out.add(prediction(given[0], 2))
        if len(given) > 1:
            out.add(prediction(given[1], 1))
        out.finish()
        assert sorted(p.name for p in folder.iterdir()) == wanted


def test_what_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(OutputError, match="not a folder"):
        Written(tmp_path / "file" / "out.jsonl", SOURCES, "m")
    with pytest.raises(OutputError, match="cannot be written"):
        Written("/proc/none/out.jsonl", SOURCES, "m")
    with pytest.raises(OutputError, match="folder"):
        Written(tmp_path / "dir.jsonl", SOURCES, "m")
    with pytest.raises(FormatError, match=r"did you mean '.jsonl'"):
        Written(tmp_path / "out.jsonll", SOURCES, "m")


def test_pts_cannot_hold_holes():
    check_points("x.csv", holes=True)
    check_points("x.pts", holes=False)
    with pytest.raises(FormatError, match="leaves points out"):
        check_points("x.pts", holes=True)


def test_printed_is_json_lines_and_told_is_words(capsys):
    Printed().add(prediction("a.jpg"))
    assert json.loads(capsys.readouterr().out)["source"] == "a.jpg"
    Told().add(prediction("a.jpg", 2))
    assert capsys.readouterr().out.startswith("a.jpg: 2 faces\n  from (0, 0) to (10, 12), 5 points\n")

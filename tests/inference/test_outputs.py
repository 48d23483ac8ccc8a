"""Outputs appear whole or not at all, and a run that was stopped goes on."""

import json
import os
import sys

import pytest

from meanshape import Box, ConfigError, Face, FormatError, OutputError, Prediction, Shape, formats
from meanshape.core.errors import MissingExtra
from meanshape.formats import jsonl
from meanshape.inference.outputs import FileWriter, check_points
from meanshape.inference.printing import JsonLinesPrinter, SummaryPrinter

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
    out = FileWriter(target, SOURCES, "m")
    for source in SOURCES:
        out.add(prediction(source))
        assert not target.exists()
    out.finish()
    assert [p.source for p in formats.read(target)] == SOURCES
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_an_older_output_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    out = FileWriter(target, SOURCES, "m")
    out.add(prediction("x"))
    out.discard()
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_resume_skips_what_the_output_has(tmp_path, name):
    target = tmp_path / name
    first = FileWriter(target, SOURCES, "m")
    first.add(prediction("a/1.jpg"))
    first.finish()
    again = FileWriter(target, SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg"}
    again.add(prediction("b/1.jpg"))
    again.finish()
    assert [p.source for p in formats.read(target)] == ["a/1.jpg", "b/1.jpg"]


def test_resume_goes_on_from_a_killed_run_and_drops_half_a_line(tmp_path):
    target = tmp_path / "out.jsonl"
    killed = FileWriter(target, SOURCES, "m")
    killed.add(prediction("a/1.jpg"))
    killed.add(prediction("b/1.jpg", error="broken", faces=0))
    killed.add(prediction("c.jpg"))
    killed.close()
    whole = killed.journal.read_text()
    killed.journal.write_text(whole[:-40])
    again = FileWriter(target, SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg"}  # what was broken is tried again, what was cut off too
    again.add(prediction("b/1.jpg"))
    again.add(prediction("c.jpg"))
    again.finish()
    assert sources(target) == SOURCES and not killed.journal.exists()


def test_resume_with_nothing_to_resume_is_a_fresh_run(tmp_path):
    out = FileWriter(tmp_path / "out.jsonl", SOURCES, "m", resume=True)
    assert out.done == set()
    out.close()
    assert list(tmp_path.iterdir()) == []


def test_resume_refuses_another_model(tmp_path):
    first = FileWriter(tmp_path / "out.jsonl", SOURCES, "m")
    first.add(prediction("c.jpg"))
    first.finish()
    before = (tmp_path / "out.jsonl").read_text()
    with pytest.raises(ConfigError, match="model m, not other"):
        FileWriter(tmp_path / "out.jsonl", SOURCES, "other", resume=True)
    assert (tmp_path / "out.jsonl").read_text() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", [s for s in formats.SUFFIXES if s not in (".pts", ".parquet", ".ljson")])
def test_resume_refuses_points_of_another_mark_up(tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    first = FileWriter(target, SOURCES, "m")
    first.add(prediction("c.jpg"))
    first.finish()
    before = target.read_bytes()
    with pytest.raises(ConfigError, match="the mark-up mtfl5, not ibug51"):
        FileWriter(target, SOURCES, "m", resume=True, markup="ibug51")
    assert target.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    again = FileWriter(target, SOURCES, "m", resume=True, markup="mtfl5")
    assert again.done == {"c.jpg"}
    again.close()


def test_pts_files_are_named_after_their_photos_and_none_is_lost(tmp_path):
    (tmp_path / "pts").mkdir()
    out = FileWriter(f"{tmp_path}/pts/", SOURCES, "m")
    for source, faces in zip(SOURCES, (2, 1, 0), strict=True):
        out.add(prediction(source, faces))
    out.finish()
    assert sorted(p.name for p in (tmp_path / "pts").iterdir()) == ["1.face2.pts", "1.pts", "b-1.pts"]
    again = FileWriter(tmp_path / "pts", SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg", "b/1.jpg"}
    again.close()


def test_points_of_photos_that_nobody_named_are_not_lost(tmp_path):
    first = FileWriter(f"{tmp_path}/pts/", SOURCES, "m")
    first.add(prediction("a/1.jpg"))
    first.close()
    again = FileWriter(f"{tmp_path}/pts/", ["b/1.jpg"], "m", resume=True)  # of other photos than before
    again.add(prediction("b/1.jpg"))
    again.finish()
    assert sorted(p.name for p in (tmp_path / "pts").iterdir()) == ["1.pts", "a-1.pts"]
    for target in (tmp_path / "pts", tmp_path / "x.pts"):
        with pytest.raises(OutputError, match=r"named after photos.*write .jsonl"):
            FileWriter(target, [], "m")


@pytest.mark.parametrize("name", ["run.v2", "1.5"])
def test_a_folder_that_is_there_is_one_whatever_its_name(tmp_path, name):
    with pytest.raises(FormatError, match="a new folder ends with /"):
        FileWriter(tmp_path / name, ["c.jpg"], "m")
    (tmp_path / name).mkdir()
    out = FileWriter(tmp_path / name, ["c.jpg"], "m")
    out.add(prediction("c.jpg"))
    out.finish()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["c.pts"]


def test_a_pts_file_for_one_photo_has_the_name_that_was_asked_for(tmp_path):
    out = FileWriter(tmp_path / "x.pts", ["c.jpg"], "m")
    out.add(prediction("c.jpg", 2))
    out.finish()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.face2.pts", "x.pts"]
    assert out.written == f"{tmp_path / 'x.pts'} (2 files, one a face)"


@pytest.mark.parametrize(("name", "says"), [("x.pts", "name a folder, .*x/"), ("x.ljson", "write .jsonl")])
def test_a_file_of_one_photo_is_not_written_for_many(tmp_path, name, says):
    with pytest.raises(OutputError, match=f"one {name[1:]} file cannot hold the labels of 3 photos; {says}"):
        FileWriter(tmp_path / name, SOURCES, "m")
    assert not list(tmp_path.iterdir())


def test_what_a_format_needs_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="parquet"):
        FileWriter(tmp_path / "x.parquet", SOURCES, "m")


@pytest.mark.parametrize(("name", "kind"), [("x.json", "COCO"), ("x.xml", "dlib"), ("x.cvat.xml", "CVAT")])
def test_what_a_file_became_is_said(tmp_path, name, kind):
    out = FileWriter(tmp_path / name, SOURCES, "m")
    out.add(prediction("c.jpg"))
    out.finish()
    assert out.written.startswith(f"{tmp_path / name} ({kind}")


def test_what_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(OutputError, match="not a folder"):
        FileWriter(tmp_path / "file" / "out.jsonl", SOURCES, "m")
    with pytest.raises(OutputError, match="cannot be written"):
        FileWriter("/proc/none/out.jsonl", SOURCES, "m")
    with pytest.raises(OutputError, match="folder"):
        FileWriter(tmp_path / "dir.jsonl", SOURCES, "m")
    with pytest.raises(FormatError, match=r"did you mean '.jsonl'"):
        FileWriter(tmp_path / "out.jsonll", SOURCES, "m")


def test_pts_cannot_hold_holes():
    check_points("x.csv", holes=True)
    check_points("x.pts", holes=False)
    with pytest.raises(FormatError, match="leaves points out"):
        check_points("x.pts", holes=True)


def test_printed_is_json_lines_and_told_is_words(capsys):
    JsonLinesPrinter().add(prediction("a.jpg"))
    assert json.loads(capsys.readouterr().out)["source"] == "a.jpg"
    SummaryPrinter().add(prediction("a.jpg", 2))
    assert capsys.readouterr().out.startswith("a.jpg: 2 faces\n  from (0, 0) to (10, 12), 5 points\n")


def test_a_journal_cut_anywhere_is_resumed(tmp_path):
    """Also in the middle of a character, and with lines that two runs tore."""
    target = tmp_path / "out.jsonl"
    names = ["é/眼.jpg", "b.jpg"]
    first = FileWriter(target, names, "m")
    for name in names:
        first.add(prediction(name))
    first.close()
    whole = first.journal.read_bytes()
    line = whole.index(b"\n") + 1
    cuts = [*range(whole.index("é".encode()) - 1, whole.index("眼".encode()) + 5), line - 1, line, line + 9]
    for cut in cuts:
        first.journal.write_bytes(whole[:cut])
        again = FileWriter(target, names, "m", resume=True)
        assert again.done == ({names[0]} if cut >= line else set()), cut
        again.close()
    first.journal.write_bytes(b"\xff\n" + whole[:20] + whole[line:] + b"\0\0\0\n" + whole[:line])
    again = FileWriter(target, names, "m", resume=True)
    assert again.done == {names[0]}
    again.add(prediction(names[1]))
    again.finish()
    assert sources(target) == names


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_any_name_is_resumed(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    names = [" a.jpg", "a.jpg", "  b .jpg ", "'c,\"\n;.jpg", "=d.jpg", "\u2028e\x85.jpg"]
    first = FileWriter(tmp_path / name, names, "m")
    for source in names:
        first.add(prediction(source))
    first.finish()
    again = FileWriter(tmp_path / name, names, "m", resume=True)
    assert again.done == set(names)
    again.finish()
    assert [p.source for p in formats.read(tmp_path / name)] == names


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out/"])
def test_one_run_writes_to_an_output_the_second_is_told(tmp_path, name):
    target = f"{tmp_path}/{name}"
    first = FileWriter(target, SOURCES, "m")
    first.add(prediction("a/1.jpg"))
    for resume in (False, True):
        with pytest.raises(OutputError, match="another run is writing to it"):
            FileWriter(target, SOURCES, "m", resume=resume)
    first.add(prediction("c.jpg"))
    first.close()
    second = FileWriter(target, SOURCES, "m", resume=True)
    assert second.done == {"a/1.jpg", "c.jpg"}
    second.finish()
    FileWriter(target, SOURCES, "m").discard()
    assert not list(tmp_path.rglob("*.lock"))


def test_a_run_that_could_not_begin_holds_nothing(tmp_path):
    (tmp_path / "out.jsonl").write_text("no JSON\n")
    for _ in range(2):
        with pytest.raises(FormatError):
            FileWriter(tmp_path / "out.jsonl", SOURCES, "m", resume=True)
    FileWriter(tmp_path / "out.jsonl", SOURCES, "m").close()


def test_long_names_have_files(tmp_path):
    names = [f"{letter * 125}{end}.jpg" for letter in ("é", "x" * 2) for end in "ab"] + ["z" * 255]
    out = FileWriter(f"{tmp_path}/pts/", names, "m")
    for name in names:
        out.add(prediction(name, faces=3))
    out.finish()
    assert len(list((tmp_path / "pts").iterdir())) == 15


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("resume", [False, True])
def test_links_and_pipes_in_the_journals_place_are_not_written_to(tmp_path, resume):
    (tmp_path / "secret").write_text("secret")
    target = tmp_path / "out.jsonl"
    for make in (lambda path: path.symlink_to(tmp_path / "secret"), os.mkfifo):
        for name in (".part", ".part.new", ".part.ordered"):
            make(tmp_path / f"out.jsonl{name}")
        try:
            out = FileWriter(target, SOURCES, "m", resume=resume)
        except OutputError as error:
            assert resume and "remove it" in str(error)
        else:
            out.add(prediction("c.jpg"))
            out.finish()
            assert sources(target) == ["c.jpg"]
            target.unlink()
        for path in tmp_path.glob("out.*"):
            path.unlink()
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "pts/"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_journal_that_is_swapped_for_a_link_is_not_taken(tmp_path, name, resume):
    """What the link leads to would become the output, and a resumed run would be added to it."""
    secret = tmp_path / "secret"
    secret.write_text("".join(f"{jsonl.render(prediction(source))}\n" for source in SOURCES))
    before = secret.read_bytes()
    target = f"{tmp_path}/new/{name}"
    out = FileWriter(target, SOURCES, "m", resume=resume)
    out.add(prediction("c.jpg"))
    out.journal.unlink()
    out.journal.symlink_to(secret)
    out.add(prediction("a/1.jpg"))
    with pytest.raises(OutputError, match="somebody replaced it meanwhile"):
        out.finish()
    assert secret.read_bytes() == before
    assert [path.name for path in (tmp_path / "new").rglob("*") if path.is_file()] == [out.journal.name]


def test_a_run_that_would_throw_a_stopped_ones_work_away_is_refused(tmp_path):
    target = tmp_path / "out.jsonl"
    first = FileWriter(target, SOURCES, "m")
    first.add(prediction("a/1.jpg"))
    first.close()
    kept = (tmp_path / "out.jsonl.part").read_bytes()
    with pytest.raises(OutputError, match=r"out\.jsonl\.part holds 1 photo of a stopped run.*--resume"):
        FileWriter(target, SOURCES, "m")
    assert (tmp_path / "out.jsonl.part").read_bytes() == kept
    again = FileWriter(target, SOURCES, "m", resume=True)
    assert again.done == {"a/1.jpg"}
    again.finish()
    stopped = FileWriter(target, SOURCES, "m")  # nothing is left of the first
    stopped.add(prediction("a/1.jpg"))
    stopped.close()
    FileWriter(target, SOURCES, "m", anew=True).finish()  # as a film is followed: from its beginning
    assert target.read_bytes() == b""

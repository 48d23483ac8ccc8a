"""`meanshape detect`, as a user types it: what comes out, and what is said of bad input."""

import json
import os
import pkgutil
import re
import shutil
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from meanshape import formats
from meanshape.apps.cli import main
from meanshape.core.errors import MeanshapeWarning
from meanshape.core.files import BY_FOLDER
from meanshape.inference.outputs import FileWriter


@pytest.fixture
def run(inside, model_folder, capsys):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""

    def run(*arguments, model=True, detector=True):
        more = ["--model", str(model_folder)] if model else []
        boxes = {"--box", "--boxes"} & set(arguments)
        more += ["--detector", "whole_image"] if detector and not boxes else []
        code = main(["detect", *map(str, arguments), *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def huge_png(path, width, height):
    """Write a PNG of a few bytes that promises width x height pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)


def test_points_go_to_standard_output(run, photo):
    photo("me.png")
    code, out, err = run("me.png")
    (line,) = out.splitlines()
    data = json.loads(line)
    assert code == 0 and err == ""
    assert (data["schema"], data["source"], data["size"], data["error"]) == (1, "me.png", [64, 48], None)
    assert len(data["faces"][0]["shape"]["points"]) == 68


def test_files_and_overlay(run, photo, inside):
    photo("a/me.png"), photo("b/me.jpg")
    code, out, err = run("a", "b", "-o", "out/points.jsonl", "--overlay", "drawn")
    assert code == 0 and out == "" and "photos" in err and "written: out/points.jsonl (" in err
    assert [p.source for p in formats.read("out/points.jsonl")] == ["a/me.png", "b/me.jpg"]
    assert sorted(p.name for p in (inside / "drawn").iterdir()) == ["b-me.jpg", "me.png"]
    with Image.open("drawn/me.png") as drawn:
        assert drawn.size == (64, 48)


@pytest.mark.skipif(not BY_FOLDER, reason="this system cannot hold a folder")
@pytest.mark.parametrize(
    ("hook", "options"),
    [
        ("meanshape.formats.pts.render", ["-o", "out/"]),
        ("meanshape.inference.overlays.encode", ["--overlay", "out/"]),
        ("meanshape.inference.overlays.encode", ["--overlay", "out/one.png"]),
    ],
)
@pytest.mark.parametrize("swapped", ["folder", "files"])
def test_no_link_is_followed_that_is_put_there_meanwhile(
    run, photo, inside, hook, options, swapped, monkeypatch
):
    """Swapped when the file has its content already: nothing but the writing is left to do."""
    photo("in/a.png"), (inside / "secret").mkdir()
    (inside / "secret/kept").write_text("secret")
    make = pkgutil.resolve_name(hook)

    def swapping(*given):
        if swapped == "folder":
            (inside / "out").rename(inside / "away")
            (inside / "out").symlink_to(inside / "secret")
        else:
            for name in ("a.pts", "a.png", "one.png", *(f".{stem}.part" for stem in ("a", "one"))):
                (inside / "out" / name).symlink_to(inside / "secret/kept")
        return make(*given)

    monkeypatch.setattr(hook, swapping)
    code, _, err = run("in/a.png", *options)
    assert [path.name for path in (inside / "secret").iterdir()] == ["kept"]
    assert (inside / "secret/kept").read_text() == "secret"
    if swapped == "folder":
        assert code == 15 and "a link, which is not followed" in err
    else:
        assert code == 0
        assert sum(path.is_file() and not path.is_symlink() for path in (inside / "out").iterdir()) == 1


def test_one_overlay_may_be_a_file(run, photo, inside):
    photo("1.png"), photo("2.png")
    assert run("1.png", "--overlay", "x.png", "--numbers")[0] == 0 and (inside / "x.png").exists()
    code, _, err = run("1.png", "2.png", "--overlay", "y.png")
    assert code == 15 and "one file cannot hold 2 overlays" in err


@pytest.mark.parametrize("output", ["points.csv", "points.pts", "pts/"])
def test_other_formats(run, photo, inside, output):
    photo("me.png")
    assert run("me.png", "-o", output, "--markup", "mtfl5")[0] == 0
    file = inside / ("pts/me.pts" if output.endswith("/") else output)
    (prediction,) = formats.read(file)
    assert len(prediction.faces[0].shape) == 5
    assert not list(inside.rglob("*.part"))


def test_broken_photos_are_reported_counted_and_skipped(run, photo, inside):
    photo("good.png"), photo("better.png")
    (inside / "empty.png").write_bytes(b"")
    code, _, err = run(".", "missing.png", "-o", "out.jsonl")
    assert code == 0
    assert "skipped: empty.png: empty (0 bytes)" in err
    assert "skipped: missing.png: there is no such file" in err
    counts = dict(row.rsplit(maxsplit=1) for row in err.splitlines() if row[-1].isdigit())
    assert (counts["photos"], counts["faces"], counts["broken photos"]) == ("4", "2", "2")
    rows = {p.source: p for p in formats.read("out.jsonl")}
    assert len(rows) == 4 and rows["empty.png"].error and not rows["empty.png"].faces
    assert rows["good.png"].error is None and len(rows["good.png"].faces) == 1


def test_photos_and_labels_beside_them_are_never_replaced(run, photo, inside):
    photo("a/me.png")
    (inside / "a" / "me.pts").write_text("made by hand")
    before = (inside / "a" / "me.png").read_bytes()
    for more in (["--overlay", "a"], ["-o", "a/"], ["--overlay", "a/me.png"]):
        code, _, err = run("a/me.png", *more)
        assert code == 15 and len(err.splitlines()) == 1
    assert (inside / "a" / "me.png").read_bytes() == before
    assert (inside / "a" / "me.pts").read_text() == "made by hand"
    assert run("a", "-o", "a/", "--resume")[0] == 0
    assert (inside / "a" / "me.pts").read_text() == "made by hand"


def test_long_names_are_drawn_written_and_resumed(run, photo, inside):
    for name in ("x" * 250, "y" * 251, "é" * 125):
        photo(f"{name}.png")
    photo("z.png")
    for more in ([], ["--workers", "2"]):
        for again in ([], ["--resume"]):
            assert run(".", "-o", "out.csv", "--overlay", "drawn", *more, *again)[0] == 0
        assert len(list((inside / "drawn").iterdir())) == 4
        assert len(formats.read("out.csv")) == 4


def test_two_runs_on_one_output_do_not_mix(run, photo, inside):
    from meanshape.inference.outputs import FileWriter

    photo("1.png")
    other = FileWriter("out.jsonl", ["1.png"], "mean_shape")
    code, _, err = run("1.png", "-o", "out.jsonl")
    assert code == 15 and err.startswith("meanshape: out.jsonl: another run is writing to it")
    other.close()
    assert run("1.png", "-o", "out.jsonl")[0] == 0 and sorted(p.name for p in inside.iterdir()) == [
        "1.png",
        "out.jsonl",
    ]


def test_resume_does_the_rest(run, photo, inside):
    photo("1.png"), photo("2.png")
    assert run("1.png", "-o", "out.jsonl")[0] == 0
    first = (inside / "out.jsonl").read_text()
    code, _, err = run("1.png", "2.png", "-o", "out.jsonl", "--resume")
    assert code == 0 and "done before, skipped" in err
    assert (inside / "out.jsonl").read_text().startswith(first)
    assert [p.source for p in formats.read("out.jsonl")] == ["1.png", "2.png"]
    assert run("1.png", "2.png", "-o", "out.jsonl", "--resume")[0] == 0
    assert len(formats.read("out.jsonl")) == 2
    assert run("1.png", "--resume")[0] == 6
    code, _, err = run("1.png", "2.png", "-o", "out.jsonl", "--resume", "--markup", "mtfl5")
    assert code == 6 and "mark-up ibug68, not mtfl5" in err


def test_ctrl_c_keeps_what_is_done(run, photo, inside, monkeypatch):
    for name in "123":
        photo(f"{name}.png")
    from meanshape.inference.pipeline import Pipeline

    call = Pipeline.__call__

    def stopped(self, image, **options):
        if options["source"] == "2.png":
            raise KeyboardInterrupt
        return call(self, image, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "__call__", stopped)
        code, _, err = run(".", "-o", "out.jsonl")
    assert code == 130 and "1 of 3 photos done; add --resume" in err
    assert not (inside / "out.jsonl").exists() and (inside / "out.jsonl.part").exists()
    assert run(".", "-o", "out.jsonl", "--resume")[0] == 0
    assert [p.source for p in formats.read("out.jsonl")] == ["1.png", "2.png", "3.png"]
    assert not (inside / "out.jsonl.part").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "__call__", stopped)
        code, _, err = run(".")
    assert code == 130 and "1 of 3 photos done" in err and "--resume" not in err  # there is no output


def broken_photos(folder):
    """Write every kind of broken photo into a folder."""
    Image.new("RGB", (64, 64), (200, 10, 90)).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("Dear diary")
    (folder / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    huge_png(folder / "huge.png", 20_000, 20_000)
    huge_png(folder / "hollow.png", 200, 200)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.jpg", "there is no such file"),
        ("empty.jpg", r"empty \(0 bytes\)"),
        ("cut.jpg", "(?i)truncated"),
        ("text.jpg", "not a picture"),
        ("clip.mp4", "a video, not a picture; meanshape video takes it"),
        ("huge.png", "too large, more than 178,956,970 pixels; make it smaller"),
        ("hollow.png", "broken or truncated"),
    ],
)
def test_one_broken_photo_is_one_sentence_and_exit_code_3(run, inside, name, said):
    broken_photos(inside)
    code, out, err = run(name, "-o", "out.jsonl", "--overlay", "drawn.png")
    assert code == 3 and out == "" and len(err.splitlines()) == 1
    assert err.startswith(f"meanshape: {name}: ") and re.search(said, err)
    assert not list(inside.glob("out*")) and not (inside / "drawn.png").exists()


def test_a_picture_of_one_pixel_is_a_picture(run, inside):
    Image.new("RGB", (1, 1)).save(inside / "dot.png")
    code, out, _ = run("dot.png", "--overlay", "drawn.png", "-o", "-")
    assert code == 0 and json.loads(out)["size"] == [1, 1] and (inside / "drawn.png").exists()


def test_no_photo_at_all_can_be_read(run, inside):
    broken_photos(inside)
    code, _, err = run("cut.jpg", "text.jpg", "-o", "out.jsonl")
    assert code == 3 and "none of the 2 photos could be read" in err and not list(inside.glob("out*"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--box", "1,2,nan,40"], 9, "finite"),
        (["--box", "1,2,3"], 9, "four numbers LEFT,TOP,RIGHT,BOTTOM"),
        (["--box", "10,10,5,20"], 9, "left < right"),
        (["--box", "100,0,200,40"], 9, "outside the picture of 64 x 48"),
        (["--boxes", "none.csv"], 5, "none.csv"),
        (["--boxes", "none.csv", "--box", "1,2,30,40"], 6, "--box and --boxes: each says where"),
        (["--detector", "mtcnn", "--box", "1,2,30,40"], 6, "--detector and --box: each says where"),
        (["--numbers"], 6, "drawn on photos: say where to, by --overlay"),
        (["--names", "-o", "x.jsonl"], 6, "drawn on photos"),
        (["--markup", "mtfl"], 7, "did you mean 'mtfl5'"),
        (["--markup", "imm73"], 8, "cannot become imm73"),
        (["--min-face", "3"], 6, "at least 12"),
        (["--licence", "free"], 6, "any or permissive"),
        (["-o", "out.jsonll"], 5, "did you mean '.jsonl'"),
        (["-o", "me.png/out.jsonl"], 15, "not a folder"),
        (["--overlay", "me.png/drawn"], 15, "not a folder|cannot be written"),
        (["-o", "out.pts", "--markup", "lfpw29"], 5, "leaves points out"),
    ],
)
def test_wrong_options_end_before_any_work(run, photo, inside, arguments, code, said):
    photo("me.png")
    before = sorted(inside.iterdir())
    found, out, err = run("me.png", *arguments)
    assert (found, out) == (code, "") and re.search(said, err) and len(err.splitlines()) == 1
    assert sorted(inside.iterdir()) == before


def test_wrong_names_are_answered_with_the_nearest(run, photo):
    photo("me.png")
    code, _, err = run("me.png", "--detector", "whole_imag", detector=False)
    assert code == 7 and "did you mean 'whole_image'" in err
    code, _, err = run("me.png", "--model", "nobody", model=False)
    assert code == 7 and "nobody" in err


def test_corrupt_weights_are_refused(run, photo, inside, model_folder):
    photo("me.png")
    shutil.copytree(model_folder, inside / "weights")
    (inside / "weights" / "mean.npz").write_bytes(b"not what it was")
    code, _, err = run("me.png", "--model", "weights", model=False)
    assert code == 12 and "SHA-256" in err and len(err.splitlines()) == 1


def test_a_folder_without_pictures(run, inside):
    (inside / "empty").mkdir()
    code, _, err = run("empty")
    assert code == 3 and err.startswith("meanshape: empty: there are no pictures in this folder; --recursive")


def test_own_boxes_may_be_cut_by_the_border_and_come_from_a_file(run, photo, inside):
    photo("me.png")
    code, out, _ = run("me.png", "--box", "-20,-20,30,30", "--box", "5,5,40,40")
    assert code == 0 and {face["box"][0] for face in json.loads(out)["faces"]} == {5, -20}
    (inside / "boxes.csv").write_text("image,left,top,right,bottom\nme.png,1,2,30,40\n")
    code, out, _ = run("me.png", "--boxes", "boxes.csv")
    assert code == 0 and [face["box"] for face in json.loads(out)["faces"]] == [[1, 2, 30, 40]]


def test_of_many_photos_those_that_a_box_does_not_fit_are_named(run, photo):
    photo("small.png"), photo("large.png", size=(200, 200))
    code, out, err = run("small.png", "large.png", "--box", "100,100,150,150")
    assert code == 0 and "skipped: small.png: box [100.0, 100.0, 150.0, 150.0] lies outside" in err
    small, large = map(json.loads, out.splitlines())
    assert small["error"].startswith("small.png: box") and len(large["faces"]) == 1


def test_traceback_only_if_asked_for(run):
    with pytest.raises(Exception, match="no such file"):
        run("none.jpg", "--traceback")


def test_a_process_says_the_same(inside, model_folder, photo):
    photo("me.png")
    line = [sys.executable, "-m", "meanshape", "detect", "--model", str(model_folder)]
    line += ["--detector", "whole_image"]
    good = subprocess.run([*line, "me.png"], capture_output=True, text=True, cwd=inside)
    assert good.returncode == 0 and json.loads(good.stdout)["source"] == "me.png" and good.stderr == ""
    bad = subprocess.run([*line, "none.png"], capture_output=True, text=True, cwd=inside)
    assert (bad.returncode, bad.stdout, bad.stderr) == (3, "", "meanshape: none.png: there is no such file\n")


def test_pictures_that_are_left_out_and_dark_ones_are_told(run, photo, inside):
    photo("in/1.png")
    (inside / "in/raw.NEF").write_bytes(b"MM\0*")
    Image.fromarray(np.full((40, 40), 4000, np.uint16)).save(inside / "in/2.png")
    with pytest.warns(MeanshapeWarning, match=r"2\.png: its 16-bit values reach 4,000"):
        code, _, err = run("in", "-o", "out.jsonl")
    assert code == 0 and "left out: 1 pictures of kinds that are not read: raw.NEF" in err
    text = warnings.formatwarning(MeanshapeWarning("a:\nb"), MeanshapeWarning, __file__, 1)
    assert text == "meanshape: a: b\n"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode here")
@pytest.mark.parametrize("target", ["a.jsonl", "a.csv", "a.parquet", "a.json", "a.xml", "pts/"])
def test_a_name_that_is_not_utf8_stops_nothing_and_is_resumed(run, photo, inside, target):
    latin = os.fsdecode(b"in/caf\xe9.png")
    photo("in/b.png"), photo(latin)
    with pytest.MonkeyPatch.context() as patch:  # as if it were killed before the last photo
        patch.setattr(FileWriter, "finish", FileWriter.close)
        assert run("in/b.png", "-o", target)[0] == 0
    for _ in range(2):
        code, _, err = run("in", "-o", target, "--resume", "--overlay", "drawn")
        assert code == 0 and re.search("broken photos +0", err)
    assert re.search("done before, skipped +2", err) and len(list((inside / "drawn").iterdir())) == 1
    if target != "pts/":
        assert [p.source for p in formats.read(target)] == ["in/b.png", latin]
    (inside / "list").write_bytes(b"in/caf\xe9.png\n")
    assert run("@list", "-o", "b.jsonl", "--workers", 2)[0] == 0
    assert [p.source for p in formats.read("b.jsonl")] == [latin]

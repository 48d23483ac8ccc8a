"""`meanshape blur`: photos, folders, films; what is written, what is kept of the file, what goes wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.box import Box
from meanshape.core.image import crop, read_image, write_image

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
MAKER = "A maker whose name must not be passed on"
pytestmark = pytest.mark.skipif(
    not {"integral", "mtcnn", "glance"} <= {*weights.names(), *weights.detector_names()},
    reason="the weights are not here",
)
FACE = slice(40, 75), slice(40, 75)
"""Rows and columns of `portrait` that lie in the face."""


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A small portrait, (112, 112, 3), the face about 50 pixels wide."""
    return crop(read_image(PHOTO), Box(140, 30, 310, 200), 112)[0]


@pytest.fixture
def photos(inside: Path, portrait: np.ndarray) -> Path:
    """A folder: a portrait, one in a folder below, a photo of nobody, and a broken one."""
    folder = inside / "photos"
    (folder / "more").mkdir(parents=True)
    write_image(folder / "a.jpg", portrait)
    write_image(folder / "more" / "a.jpg", portrait)
    write_image(folder / "plain.png", np.full((60, 80, 3), 128, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def blurred(path: Path, portrait: np.ndarray) -> bool:
    """Tell whether what the portrait's face was is gone: its contrast is that of a few blocks."""
    before, after = (pixels[FACE].astype(float) for pixels in (portrait, read_image(path)))
    fine = [np.abs(np.diff(pixels, axis=1)).mean() for pixels in (before, after)]
    return bool(fine[1] < 0.35 * fine[0])


def test_a_photo(photos: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blur", "photos/a.jpg", "-o", "out/hidden.jpg"]) == 0
    assert "written: out/hidden.jpg (1 photo, 1 face hidden)" in capsys.readouterr().err
    assert blurred(Path("out/hidden.jpg"), portrait)
    assert np.abs(read_image("out/hidden.jpg")[:, :8].astype(int) - portrait[:, :8]).mean() < 6  # the rest


def test_a_folder(photos: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "film.mp4").write_bytes(b"")
    assert main(["blur", "photos", "-r", "-o", "out", "--record", "r.json", "--audit", "sheet.png"]) == 0
    told = capsys.readouterr().err
    assert "skipped: photos/broken.jpg" in told
    assert "no face was found, so this photo is as before, without metadata: plain.png" in told
    assert "left out, and not in the output: 1 videos: film.mp4" in told
    there = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert there == ["a.jpg", "more/a.jpg", "plain.png"]
    assert blurred(Path("out/a.jpg"), portrait) and blurred(Path("out/more/a.jpg"), portrait)
    record = json.loads(Path("r.json").read_text())
    assert [(one["source"], len(one["regions"]), one["error"] is None) for one in record["pictures"]] == [
        ("photos/a.jpg", 1, True), ("photos/broken.jpg", 0, False), ("photos/more/a.jpg", 1, True),
        ("photos/plain.png", 0, True),
    ]  # fmt: skip
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 400


def test_nothing_of_the_file_but_its_pixels_is_kept(inside: Path, portrait: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010F] = MAKER
    exif.get_ifd(0x8825)[2] = (47.0, 11.0, 0.0)
    picture = Image.fromarray(portrait)
    thumbnail = b"\xff\xd8" + MAKER.encode() + b"\xff\xd9"
    Path("photos").mkdir()
    picture.save(
        "photos/a.jpg", exif=exif.tobytes() + thumbnail, comment=MAKER, xmp=f"<x>{MAKER}</x>".encode()
    )
    picture.save("photos/b.png", exif=exif)
    picture.save("photos/c.webp", exif=exif)
    assert main(["blur", "photos", "-o", "out", "--audit", "out.png", "--record", "r.json"]) == 0
    written = [*Path("out").iterdir(), Path("out.png"), Path("r.json")]
    assert sorted(path.name for path in written) == ["a.jpg", "b.png", "c.webp.png", "out.png", "r.json"]
    for path in written:
        assert MAKER.encode() not in path.read_bytes()
        if path.suffix != ".json":
            with Image.open(path) as opened:
                assert not opened.getexif() and not {"comment", "xmp", "exif"} & set(opened.info)


def test_resume_does_what_is_missing(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blur", "photos", "-r", "-o", "out", "--record", "r.json"]) == 0
    before = json.loads(Path("r.json").read_text())
    kept = Path("out/a.jpg").stat().st_mtime_ns
    Path("out/more/a.jpg").unlink()
    capsys.readouterr()
    assert main(["blur", "photos", "-r", "-o", "out", "--record", "r.json", "--resume"]) == 0
    told = capsys.readouterr().err
    assert "done before, skipped" in told and "1 photo, 1 face hidden" in told
    assert Path("out/more/a.jpg").exists() and Path("out/a.jpg").stat().st_mtime_ns == kept
    assert json.loads(Path("r.json").read_text()) == before


def test_a_second_run_does_not_blur_its_own_results(photos: Path) -> None:
    for _ in range(2):
        assert main(["blur", "photos", "-r", "-o", "photos/hidden"]) == 0
    assert not list(Path("photos/hidden").rglob("hidden"))


def test_an_edited_record_is_applied(photos: Path, portrait: np.ndarray) -> None:
    assert main(["blur", "photos/a.jpg", "photos/plain.png", "-o", "out", "--record", "r.json"]) == 0
    record = json.loads(Path("r.json").read_text())
    one, two = record["pictures"]
    one["regions"], two["regions"] = [], [{"box": [10, 10, 30, 30]}]
    Path("r.json").write_text(json.dumps(record))
    words = ["blur", "photos/a.jpg", "photos/plain.png", "-o", "again", "--apply", "r.json"]
    assert main([*words, "--mode", "fill"]) == 0
    assert not blurred(Path("again/a.jpg"), portrait)
    plain = read_image("again/plain.png")
    assert (plain[10:31, 10:31] == 0).all() and (plain[35:] == 128).all()


def test_a_photo_that_is_not_in_the_record_is_not_written(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["blur", "photos/plain.png", "-o", "out", "--record", "r.json"]) == 0
    assert main(["blur", "photos/plain.png", "photos/a.jpg", "-o", "more", "--apply", "r.json"]) == 0
    assert "skipped: photos/a.jpg: not in the record r.json" in capsys.readouterr().err
    assert [path.name for path in Path("more").iterdir()] == ["plain.png"]
    write_image(photos / "plain.png", np.full((61, 80, 3), 128, np.uint8))
    assert main(["blur", "photos/plain.png", "-o", "other", "--apply", "r.json"]) == 3
    assert "the record was made of 80 x 60 pixels" in capsys.readouterr().err
    assert not list(Path("other").iterdir())


def test_if_no_photo_can_be_read_that_is_an_error(photos: Path) -> None:
    assert main(["blur", "photos/broken.jpg", "photos/gone.jpg", "-o", "out"]) == 3
    assert main(["blur", "photos/broken.jpg", "-o", "out"]) == 3
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["photos/a.jpg", "-o", "photos/a.jpg"], 15),
        (["photos", "-o", "photos"], 15),
        (["photos", "-o", "out.png"], 15),
        (["photos/a.jpg", "-o", "out", "--blocks", "20"], 6),
        (["photos/a.jpg", "-o", "out", "--mode", "smear"], 6),
        (["photos/a.jpg", "-o", "out", "--region", "nose"], 6),
        (["photos/a.jpg", "-o", "out", "--grow", "0.5"], 6),
        (["photos/a.jpg", "-o", "out", "--threshold", "1.5"], 6),
        (["photos/a.jpg", "-o", "out", "--record", "r.txt"], 6),
        (["photos/a.jpg", "-o", "out", "--apply", "r.json", "--threshold", "0.2"], 6),
        (["photos/a.jpg", "-o", "out", "--apply", "none.json"], 5),
        (["photos/a.jpg", "-o", "out", "--audit", "sheet.txt"], 3),
        (["photos/a.jpg", "-o", "out.png", "--audit", "out.png"], 15),
        (["photos", "-o", "out", "--audit", "out/../out/a.jpg"], 15),
        (["photos/a.jpg"], 2),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(photos: Path, words: list[str], code: int) -> None:
    before = (photos / "a.jpg").read_bytes()
    assert main(["blur", *words]) == code
    assert (photos / "a.jpg").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system cannot")
def test_no_link_in_the_output_is_followed(photos: Path, inside: Path) -> None:
    outside, out = inside / "outside", inside / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "a.jpg").write_bytes(b"precious")
    (out / "a.jpg").symlink_to(outside / "a.jpg")
    assert main(["blur", "photos/a.jpg", "-o", "out/"]) == 0
    assert (outside / "a.jpg").read_bytes() == b"precious" and not (out / "a.jpg").is_symlink()
    (out / "more").symlink_to(outside)
    assert main(["blur", "photos", "-r", "-o", "out/"]) == 15
    assert (outside / "a.jpg").read_bytes() == b"precious"


def test_free_weights_alone(photos: Path, portrait: np.ndarray) -> None:
    assert main(["blur", "photos/a.jpg", "-o", "out/", "--licence", "permissive"]) == 0
    assert blurred(Path("out/a.jpg"), portrait)


# films


@pytest.fixture
def clip(inside: Path, portrait: np.ndarray) -> Path:
    """A film of 12 frames with sound and a place where it was made; in four frames the face is covered."""
    av = pytest.importorskip("av")
    path = inside / "a.mp4"
    with av.open(str(path), "w") as file:
        file.metadata["comment"] = MAKER
        file.metadata["location"] = "+47.0+011.0/"
        picture = file.add_stream("libx264", rate=10, options={"crf": "12"})
        picture.width, picture.height, picture.pix_fmt = 112, 112, "yuv420p"
        sound = file.add_stream("aac", rate=44100)
        sound.metadata["title"] = MAKER
        for number in range(12):
            pixels = portrait.copy()
            if 4 <= number < 8:
                pixels[:] = 128
            file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        tone = np.sin(np.arange(44100) / 16)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2, 0), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        file.mux(sound.encode(frame))
        file.mux(picture.encode(None))
        file.mux(sound.encode(None))
    return path


def frames(path: Path) -> list[Any]:
    from meanshape.inference.clip import Clip

    with Clip(path) as opened:
        return [frame.pixels for frame in opened.frames()]


def test_a_film(clip: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    av = pytest.importorskip("av")
    words = ["blur", "a.mp4", "-o", "out.mp4", "--record", "r.json", "--audit", "sheet.png"]
    assert main([*words, "--turns", "none"]) == 0
    told = capsys.readouterr().err
    assert "face 0 was lost for 4 frames from 0.40 s to 0.70 s" in told
    assert "written: out.mp4 (12 frames), r.json, sheet.png" in told
    before, after = frames(clip), frames(Path("out.mp4"))
    assert len(after) == 12
    for one, two in zip(before[:4], after[:4], strict=True):
        fine = [np.abs(np.diff(p[FACE].astype(float), axis=1)).mean() for p in (one, two)]
        assert fine[1] < 0.4 * fine[0]
    record = json.loads(Path("r.json").read_text())
    held = [[part["held"] for part in one["regions"]] for one in record["pictures"]]
    assert held == [[False]] * 4 + [[True]] * 4 + [[False]] * 4
    with av.open("out.mp4") as out, av.open(str(clip)) as source:
        sound = [bytes(p) for p in out.demux(audio=0) if p.size]
        assert sound and sound == [bytes(p) for p in source.demux(audio=0) if p.size]
    assert MAKER.encode() not in Path("out.mp4").read_bytes()
    assert b"+47.0" not in Path("out.mp4").read_bytes()


def test_a_film_by_its_record_without_its_sound(clip: Path) -> None:
    av = pytest.importorskip("av")
    part = {"box": [20, 20, 60, 60]}
    pictures = [
        {"source": f"a.mp4#t={n / 10:.4f}", "size": [112, 112], "regions": [part] if n else []}
        for n in range(12)
    ]
    record = {"schema": 1, "kind": "meanshape blur", "pictures": pictures}
    Path("r.json").write_text(json.dumps(record))
    words = ["blur", "a.mp4", "-o", "out.mp4", "--apply", "r.json", "--mode", "fill", "--mute"]
    assert main(words) == 0
    shown = frames(Path("out.mp4"))
    assert shown[0][25:55, 25:55].mean() > 40
    assert all(pixels[25:55, 25:55].mean() < 10 for pixels in shown[1:])
    with av.open("out.mp4") as out:
        assert not out.streams.audio


@pytest.mark.parametrize("count", [11, 13])
def test_a_record_of_another_film_leaves_nothing(
    clip: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [{"source": f"a#t={n}", "size": [112, 112], "regions": []} for n in range(count)]
    Path("r.json").write_text(json.dumps({"schema": 1, "kind": "meanshape blur", "pictures": pictures}))
    assert main(["blur", "a.mp4", "-o", "out.mp4", "--apply", "r.json"]) == 5
    assert "another film" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["a.mp4", "r.json"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["a.mp4", "-o", "a.mp4"], 15),
        (["a.mp4", "-o", "out.jpg"], 15),
        (["a.mp4", "a.mp4", "-o", "out.mp4"], 6),
        (["a.mp4", "-o", "out.mp4", "--resume"], 6),
    ],
)
def test_films_that_cannot_be_written(clip: Path, words: list[str], code: int) -> None:
    before = clip.read_bytes()
    assert main(["blur", *words]) == code
    assert clip.read_bytes() == before and [path.name for path in Path().iterdir()] == ["a.mp4"]

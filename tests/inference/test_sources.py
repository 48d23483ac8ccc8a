"""Files, folders, globs and lists become photos, each once, in natural order."""

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from meanshape import ImageError, MeanshapeWarning
from meanshape.core.files import LONGEST
from meanshape.core.regular import LARGEST
from meanshape.inference import sources
from meanshape.inference.sources import natural, photos, short_names, some


def test_a_folder_gives_its_pictures_in_natural_order(inside, photo):
    for name in ("p10.png", "p2.png", "P1.JPG", ".hidden.png", "deep/p3.png"):
        photo(name)
    (inside / "notes.txt").write_text("no picture")
    assert [Path(path).name for path in photos([str(inside)])] == ["P1.JPG", "p2.png", "p10.png"]
    assert len(photos([str(inside)], recursive=True)) == 4


def test_relative_stays_relative(inside, photo):
    photo("a/1.png")
    assert photos(["a"]) == [str(Path("a", "1.png"))]
    assert photos(["./a/1.png"]) == ["./a/1.png"]
    assert photos(["a/*.png"]) == ["a/1.png"]


def test_globs_look_into_folders(inside, photo):
    photo("a/1.png"), photo("a/b/2.png")
    assert photos(["a/**/*.png"]) == ["a/1.png", "a/b/2.png"]
    with pytest.raises(ImageError, match=r"\*\.tif: no file"):
        photos(["*.tif"])


def test_a_name_with_brackets_is_a_file_if_it_is_there(inside, photo):
    photo("me[1].png")
    assert photos(["me[1].png"]) == ["me[1].png"]


def test_spaces_and_strange_characters_of_names_in_lists_are_kept(inside, photo):
    names = [" 1.png", "2\u2028.png", "3\x85 .png", "4.png"]
    for name in names:
        photo(name)
    (inside / "list.txt").write_text("\n".join([*names[:3], f"  {names[3]} \r"]) + "\n")
    assert photos(["@list.txt"]) == names


def test_lists_hold_files_folders_and_globs(inside, photo, monkeypatch):
    photo("a/1.png"), photo("2.png")
    (inside / "list.txt").write_text("\ufeff2.png\n\na\nmissing.png\n")
    wanted = ["2.png", str(Path("a", "1.png")), "missing.png"]
    assert photos(["@list.txt"]) == wanted
    monkeypatch.setattr("sys.stdin", io.StringIO("2.png\n"))
    assert photos(["@-"]) == ["2.png"]
    (inside / "empty.txt").write_text("\n")
    with pytest.raises(ImageError, match="empty"):
        photos(["@empty.txt"])
    with pytest.raises(ImageError, match=r"cannot be read \(No such file or directory\)"):
        photos(["@none.txt"])


def test_each_photo_counts_once(inside, photo):
    photo("1.png")
    assert photos(["1.png", "./1.png", "*.png"]) == ["1.png"]


def test_a_file_that_is_not_there_is_said_in_its_turn():
    assert photos(["no.jpg", "x" * 5000 + ".jpg"]) == ["no.jpg", "x" * 5000 + ".jpg"]


def test_a_folder_in_a_folder_that_cannot_be_read_is_named_and_left_out(inside, photo, monkeypatch):
    photo("1.png"), photo("locked/2.png")
    scan = os.scandir

    def scandir(path="."):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(MeanshapeWarning, match="locked: left out, the folder cannot be read"):
        assert photos(["."], recursive=True) == ["1.png"]
    with pytest.raises(ImageError, match="locked: the folder cannot be read"):
        photos(["locked"], recursive=True)


def test_a_folder_without_pictures_is_an_error(inside, photo):
    photo("deep/1.png")
    with pytest.raises(ImageError, match="no pictures in this folder; --recursive"):
        photos(["."])


def test_pictures_that_nothing_reads_are_left_out_by_name(inside, photo):
    photo("1.png"), photo("2.heic.png"), photo("deep/3.png")
    (inside / "2.heic.png").rename(inside / "2.heic")  # is tried: what is missing is said of the photo
    (inside / "deep/3.png").rename(inside / "deep/IMG_3")  # a picture by its content
    for name in ("b.CR2", "a.dng", "deep/c.jxl", ".hidden.nef", "notes.txt", "1.pts"):
        (inside / name).write_bytes(b"II*\0")
    left_out: list[str] = []
    assert photos(["."], recursive=True, left_out=left_out) == ["1.png", "2.heic", "deep/IMG_3"]
    assert [Path(path).name for path in left_out] == ["a.dng", "b.CR2", "c.jxl"]
    assert some(left_out, 2) == "a.dng, b.CR2 and 1 more"
    (inside / "deep/IMG_3").unlink()
    with pytest.raises(ImageError, match=r"no pictures .* could be read, only others: c\.jxl"):
        photos(["deep"])


def test_natural_order_copes_with_any_name():
    names = ["a10", "a9b", "a9", "10", "9", "", "ä1", "a²"]
    assert sorted(names, key=natural)[:3] == ["", "9", "10"]


def test_short_names_never_collide():
    several = ["a/1.jpg", "b/1.jpg", "a/1.png", "c/b/1.gif", "B/1.jpg", "/x/1.jpg"]
    several += ["../1.jpg", "1.jpg", "a-1.jpg"]
    names = short_names(several)
    assert names["a/1.jpg"] == "1" and names["b/1.jpg"] == "b-1"
    lowered = [name.lower() for name in names.values()]
    assert len(set(lowered)) == len(several)
    assert not any("/" in name or "\\" in name for name in lowered)


@pytest.fixture
def tried(monkeypatch):
    """Return what holds each name that was tried."""
    names = []
    whole = sources.fitting
    monkeypatch.setattr(sources, "fitting", lambda name: names.append(name) or whole(name))
    return names


def test_names_are_found_in_steps_in_proportion_to_the_photos(tried):
    """Photos of one stem were counted from 2 on each time."""
    same = [f"me.{number}" for number in range(1000)]
    assert list(short_names(same).values()) == ["me", *(f"me-{number}" for number in range(2, 1001))]
    assert len(tried) < 3000


def test_names_of_photos_in_deep_folders(tried):
    """Each folder more was tried, and the whole name hashed each time."""
    deep = "/a" * 600
    names = short_names([f"{first}{deep}/me.jpg" for first in range(600)])
    assert len(set(names.values())) == 600 and len(tried) < 600 * LONGEST * 0.51
    assert all(len(name) <= LONGEST and "/" not in name for name in names.values())


def test_lists_take_memory_and_time_in_proportion(inside, monkeypatch):
    """Of a photo of a list one text is kept, and the system is asked for it once."""
    count, asked, exists = 20_000, [], os.path.exists
    text = "".join(f"photos/of/some/folder/photo-{number:012}.jpg\n" for number in range(count))
    (inside / "list.txt").write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "exists", lambda path: asked.append(path) or exists(path))
        assert len(photos(["@list.txt"])) == count
    assert len(asked) < count + 10
    tracemalloc.start()
    try:
        assert len(photos(["@list.txt"])) == count
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5 * len(text)


def test_a_list_has_an_end(tmp_path):
    with (tmp_path / "list").open("wb") as file:
        file.truncate(LARGEST + 1)  # takes no place on the disk
    with pytest.raises(ImageError, match="larger than"):
        photos([f"@{tmp_path / 'list'}"])

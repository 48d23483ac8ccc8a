"""Many photos over several processes, shards and interruptions: the lines of one undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meanshape import formats
from meanshape.apps.cli import main
from meanshape.core.errors import ConfigError, FormatError, ImageError, MeanshapeError
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.inference.sources import part


@pytest.fixture
def photos(inside: Path, photo: Callable[..., Path]) -> Path:
    """Twelve photos, one of them broken."""
    for number in range(11):
        photo(f"photos/{number}.png", seed=number)
    (inside / "photos" / "broken.png").write_bytes(b"no picture")
    return inside / "photos"


def lines(path: Path) -> list[dict[str, object]]:
    """What a run wrote, without how long it took."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def options(model_folder: Path, *more: str) -> list[str]:
    return ["detect", "photos", "--model", str(model_folder), "--detector", "whole_image", *more]


def test_workers_write_what_one_process_writes(photos: Path, inside: Path, model_folder: Path) -> None:
    assert main(options(model_folder, "-o", "one.jsonl")) == 0
    assert main(options(model_folder, "-o", "two.jsonl", "--workers", "2", "--overlay", "drawn/")) == 0
    one, two = lines(inside / "one.jsonl"), lines(inside / "two.jsonl")
    assert [row["source"] for row in one] == [row["source"] for row in two]
    assert one == two and sum(row["error"] is not None for row in one) == 1
    assert len(list((inside / "drawn").iterdir())) == 11


def test_a_photo_that_kills_its_worker_is_told_and_the_rest_goes_on(
    photos: Path, inside: Path, model_folder: Path
) -> None:
    """A picture whose path is a pipe nobody writes to hangs a worker; it is killed from outside."""
    script = (
        "import os, sys\n"
        "from meanshape.inference import workers\n"
        "from deadly import Deadly\n"
        "if __name__ == '__main__':\n"
        "    sources = sorted(map(str, __import__('pathlib').Path('photos').iterdir()))\n"
        f"    options = {{'detector': Deadly(), 'model': {str(model_folder)!r}}}\n"
        "    found = list(workers.predict(options, sources, 2))\n"
        "    assert [p.source for p in found] == sources\n"
        "    died = [p.source for p in found if p.error and 'died' in p.error]\n"
        "    assert died == ['photos/5.png'], died\n"
        "    assert sum(bool(p.faces) for p in found) == 10\n"
    )
    (inside / "deadly.py").write_text(
        "import os\n"
        "from meanshape.detectors.whole_image import WholeImage\n"
        "class Deadly(WholeImage):\n"
        "    def detect(self, image, **options):\n"
        "        if str(options.get('source')).endswith('5.png'):\n"
        "            os._exit(7)\n"
        "        return super().detect(image, **options)\n"
    )
    (inside / "run.py").write_text(script)
    done = subprocess.run([sys.executable, "run.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_wrong_options_of_a_worker_are_raised(photos: Path) -> None:
    from meanshape.inference import workers

    with pytest.raises(ConfigError, match="min_face"):
        list(workers.predict({"min_face": 1}, ["a.png", "b.png"], 2))


class Fatal:
    """Ends the process that unpickles it, as a library that does not load may."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_no_photo_is_blamed_for_workers_that_do_not_start() -> None:
    from meanshape.inference import workers

    told: list[Any] = []
    with pytest.raises(MeanshapeError, match=r"could not start \(exit code 9\)"):
        told.extend(workers.predict({"model": Fatal()}, [f"{n}.png" for n in range(12)], 2))
    assert not told


def test_a_worker_that_cannot_be_started_is_told_and_the_others_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from meanshape.inference import workers

    begun: list[Any] = []
    start = workers._Worker

    def second_fails(*given: Any) -> Any:
        if begun:
            raise OSError(11, "Resource temporarily unavailable")
        begun.append(start(*given))
        return begun[0]

    monkeypatch.setattr(workers, "_Worker", second_fails)
    with pytest.raises(MeanshapeError, match=r"could not start \(Resource temp.*fewer --workers"):
        list(workers.predict({}, ["a.png", "b.png"], 2))
    assert begun[0].connection.closed and not begun[0].process.is_alive()


def test_a_killed_run_goes_on_to_the_same_lines(photos: Path, inside: Path, model_folder: Path) -> None:
    assert main(options(model_folder, "-o", "whole.jsonl")) == 0
    command = [sys.executable, "-m", "meanshape", *options(model_folder, "-o", "x.jsonl", "--workers", "2")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = inside / "x.jsonl.part"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(options(model_folder, "-o", "x.jsonl", "--resume")) == 0
    assert lines(inside / "x.jsonl") == lines(inside / "whole.jsonl")
    assert not journal.exists()


def test_a_photo_mended_before_resuming_stands_in_its_turn(
    photos: Path, inside: Path, model_folder: Path, photo: Callable[..., Path]
) -> None:
    (inside / "photos" / "3.png").write_bytes(b"not yet copied")
    assert main(options(model_folder, "-o", "x.jsonl")) == 0
    photo("photos/3.png", seed=3)
    assert main(options(model_folder, "-o", "x.jsonl", "--resume")) == 0
    assert main(options(model_folder, "-o", "whole.jsonl")) == 0
    assert lines(inside / "x.jsonl") == lines(inside / "whole.jsonl")


def test_shards_merge_to_the_whole(
    photos: Path, inside: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        assert main(options(model_folder, "-o", f"{number}.jsonl", "--shard", f"{number}/3")) == 0
    assert main(["merge", "1.jsonl", "2.jsonl", "3.jsonl", "-o", "merged.jsonl"]) == 0
    assert main(options(model_folder, "-o", "whole.jsonl")) == 0
    assert lines(inside / "merged.jsonl") == lines(inside / "whole.jsonl")
    assert main(["merge", "1.jsonl", "merged.jsonl", "-o", "again.jsonl"]) == 0
    assert lines(inside / "again.jsonl") == lines(inside / "whole.jsonl")
    capsys.readouterr()
    assert main(["merge", "1.jsonl", "merged.jsonl", "-o", "again.json"]) == 0
    assert "again.json (COCO keypoints; .jsonl holds everything)" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes of that kind")
def test_a_note_is_a_file_like_any_other(
    photos: Path, inside: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link under its name leads nowhere, and nobody waits for a pipe."""
    (inside / "precious").write_text("as it was")
    (inside / "1.jsonl.shard").symlink_to("precious")
    assert main(options(model_folder, "-o", "1.jsonl", "--shard", "1/1")) == 0
    assert (inside / "precious").read_text() == "as it was"
    assert not (inside / "1.jsonl.shard").is_symlink()
    (inside / "1.jsonl.shard").unlink()
    os.mkfifo(inside / "1.jsonl.shard")
    assert main(["merge", "1.jsonl", "-o", "all.jsonl"]) == 5
    assert "a pipe or a device" in capsys.readouterr().err
    assert main(options(model_folder, "-o", "1.jsonl", "--shard", "1/1")) == 15
    assert "a pipe or a device" in capsys.readouterr().err


def test_missing_shards_are_named(
    photos: Path, inside: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 4):
        assert main(options(model_folder, "-o", f"{number}.csv", "--shard", f"{number}/4")) == 0
    assert main(options(model_folder, "-o", "third.jsonl", "--shard", "2/3")) == 0
    capsys.readouterr()
    assert main(["merge", "1.csv", "4.csv", "-o", "merged.jsonl"]) == ConfigError.exit_code
    assert "missing shards: 2/4, 3/4" in capsys.readouterr().err
    assert not (inside / "merged.jsonl").exists()
    assert main(["merge", "1.csv", "1.csv", "-o", "merged.jsonl"]) == ConfigError.exit_code
    assert "missing shards: 2/4, 3/4, 4/4" in capsys.readouterr().err
    assert main(["merge", "1.csv", "4.csv", "-o", "merged.jsonl", "--allow-missing"]) == 0
    assert "missing shards: 2/4, 3/4" in capsys.readouterr().err
    assert main(["merge", "1.csv", "third.jsonl", "-o", "m.jsonl"]) == ConfigError.exit_code
    assert "shards of different runs" in capsys.readouterr().err
    (inside / "4.csv.shard").write_text('{"number": 9}')
    assert main(["merge", "1.csv", "4.csv", "-o", "m.jsonl"]) == FormatError.exit_code
    (inside / "4.csv.shard").unlink()
    assert main(["merge", "1.csv", "4.csv", "-o", "m.jsonl"]) == 0
    assert "unless a part without a note" in capsys.readouterr().err


def test_parts_cover_all_once() -> None:
    sources = [str(number) for number in range(17)]
    for count in (1, 2, 5, 17):
        parts = [part(sources, f"{number}/{count}") for number in range(1, count + 1)]
        assert [source for part_ in parts for source in part_] == sources
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for wrong in ("0/2", "3/2", "1", "a/b", "-1/2"):
        with pytest.raises(ConfigError, match="a shard is I/N"):
            part(sources, wrong)
    with pytest.raises(ImageError, match="empty"):
        part(["a"], "1/2")


def test_parts_that_do_not_say_their_model_are_merged(inside: Path) -> None:
    formats.write("a.jsonl", [Prediction((), (1, 1), "a", "dan")])
    shape = Shape([(1, 2), (3, 4), (5, 6), (7, 8), (9, 11)], "mtfl5")
    formats.write("b.csv", [Prediction((Face(shape.box(), shape),), (1, 1), "b", "dan")])
    assert main(["merge", "a.jsonl", "b.csv", "-o", "c.jsonl"]) == 0
    assert [(one.source, one.model) for one in formats.read("c.jsonl")] == [("a", "dan"), ("b", None)]


def test_what_cannot_be_merged_is_said(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source, model in (("a", "dan"), ("b", "cpr")):
        row = Prediction((), (1, 1), source, model).to_dict()
        (inside / f"{source}.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["merge", "a.jsonl", "b.jsonl", "-o", "c.jsonl"]) not in (0, 1)
    assert "different models" in capsys.readouterr().err
    for itself in ("a.jsonl", str(inside / "a.jsonl"), "link.jsonl"):
        if itself.startswith("link"):
            (inside / itself).symlink_to("a.jsonl")
        assert main(["merge", "a.jsonl", "-o", itself]) not in (0, 1)
        assert "is one of the parts" in capsys.readouterr().err
    assert main(["merge", "none.jsonl", "-o", "c.jsonl"]) not in (0, 1)

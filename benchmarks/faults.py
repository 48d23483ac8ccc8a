"""Kills runs at random moments, fills the disk, locks the folder, and looks at what is left.

    python benchmarks/faults.py --kills 100 --json benchmarks/results/faults.json

A run is killed (SIGKILL) at a moment drawn from the time that it takes undisturbed, started again with
`--resume`, killed again, until it ends by itself; then it must have come to what the undisturbed run came to,
and the next one begins. After every kill, what lies there must be whole. The runs are forks, so that kills
fall into the work and not into imports: no Windows. Filling and locking needs `unshare` (util-linux).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.apps.cli import main as command
from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.image import write_image
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.formats import jsonl, pts, read
from meanshape.methods.mean_shape import MeanShape

Run = Callable[[], Any]
OUTPUTS = ("jsonl", "csv", "parquet", "pts")


def fork(run: Run, kill_after: float | None = None) -> int | None:
    """Run something in a child and return its exit code; None: it was killed before its end."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        code = 99
        try:
            code = int(run() or 0)
        finally:
            os._exit(code)
    if kill_after is not None:
        until = time.monotonic() + kill_after
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(min(0.002, kill_after))
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


class Job:
    """A command that is killed: what it runs, what must hold after a kill, what it comes to."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.prepare()

    def prepare(self) -> None:
        """Make what the run reads."""

    def run(self) -> int:
        """Run, or go on."""
        raise NotImplementedError

    def look(self) -> None:
        """Check what lies there after a kill."""

    def result(self) -> Any:
        """Return what a run that ended came to, without times."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove what a run wrote."""
        for path in self.folder.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def photos(folder: Path, count: int) -> list[np.ndarray]:
    """Write small noisy photos and return points for each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        write_image(folder / f"{number:03d}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
    return [rng.uniform((2, 2), (60, 44), (68, 2)) for _ in range(count)]


def mean_model(folder: Path) -> Path:
    """Save a model that needs no time to answer."""
    points = np.random.default_rng(1).uniform(5, 40, (68, 2))
    box = Box.around(points)
    return MeanShape().fit([Sample("one", "none.png", Shape(points), box)]).save(folder / "mean")


class Detect(Job):
    """`meanshape detect`, with two boxes a photo, into one kind of output."""

    name = "detect"
    form = "jsonl"

    def prepare(self) -> None:
        photos(self.folder / "photos", 40)
        self.model = mean_model(self.folder)
        self.out = self.folder / {"pts": "out/"}.get(self.form, f"out.{self.form}")
        self.journal = self.out / "points.part" if self.form == "pts" else Path(f"{self.out}.part")

    def run(self) -> int:
        out = f"{self.out}/" if self.form == "pts" else str(self.out)
        words = ["detect", str(self.folder / "photos"), "-o", out, "--model", str(self.model), "--resume"]
        return command([*words, "--box", "5,5,40,40", "--box", "10,8,50,45"])

    def look(self) -> None:
        """Every line of the journal but the last is whole; an output is whole or not there."""
        if self.journal.exists():
            text = self.journal.read_bytes()
            for line in text.splitlines(keepends=True):
                if line.endswith(b"\n"):
                    assert len(jsonl.parse(line.decode()).faces) == 2
        if self.form == "pts":
            for path in self.out.glob("*.pts"):
                assert pts.read_points(path).shape == (68, 2)
        elif self.out.exists():
            assert len(read(self.out)) == 40

    def result(self) -> Any:
        left = [p.name for p in self.folder.rglob("*.part*") if not p.name.startswith(".")]
        assert not left, f"{left} should be gone"  # what begins with a dot, a killed run may leave
        if self.form == "pts":
            return {path.name: path.read_text() for path in sorted(self.out.glob("[!.]*"))}
        rows = [prediction.to_dict() for prediction in read(self.out)]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def detect_into(form: str) -> type[Detect]:
    """Return the job for another kind of output."""
    return type(f"Detect{form}", (Detect,), {"form": form, "name": f"detect into {form}"})


class Benchmark(Job):
    """`meanshape benchmark`: two models on two data sets."""

    name = "benchmark"

    def prepare(self) -> None:
        for name in ("one", "two"):
            for number, points in enumerate(photos(self.folder / name, 6)):
                pts.write_points(self.folder / name / f"{number:03d}.pts", points)
        self.model = mean_model(self.folder)
        shutil.copytree(self.model, self.folder / "other")

    def run(self) -> int:
        models = ["--model", str(self.model), "--model", str(self.folder / "other")]
        data = [word for name in ("one", "two") for word in ("--data", f"folder:{self.folder / name}")]
        return command(["benchmark", *models, *data, "--report", str(self.folder / "out")])

    def look(self) -> None:
        for path in (self.folder / "out").glob("cells/*.json"):
            assert "result" in json.loads(path.read_text())

    def result(self) -> Any:
        assert (self.folder / "out" / "report.html").read_text().rstrip().endswith("</html>")
        cells = sorted((self.folder / "out" / "cells").glob("*.json"))
        assert len(cells) == 4
        return [json.loads(path.read_text())["result"]["errors"] for path in cells]


TINY = (
    *("crop_size=32", "sizes=(32, 32)", "widths=(0.125, 0.125)", "features=64", "heatmap_stride=1"),
    *("batch=8", "steps=(30, 15)", "warmup=5", "ema=0.9"),
)


OFTEN = """
import sys
from meanshape.apps.cli import main
from meanshape.training import loop

begin = loop.Trainer.__init__

def often(self, *given):
    begin(self, *given)
    object.__setattr__(self.schedule, "checkpoint_every", 0.0)

loop.Trainer.__init__ = often
sys.exit(main(sys.argv[1:]))
"""


class Train(Job):
    """`meanshape train dan`, tiny, with a checkpoint after every step."""

    name = "train"

    def prepare(self) -> None:
        registry.dataset("synthetic").miniature(self.folder / "faces")

    def run(self) -> int:
        settings = [word for setting in TINY for word in ("--set", setting)]
        out = ["--out", str(self.folder / "out"), "--resume"]
        data = f"synthetic:{self.folder / 'faces'}"
        words = [sys.executable, "-c", OFTEN, "train", "dan", "--data", data, *settings, *out]
        os.execv(sys.executable, words)  # torch's threads do not live on in a fork

    def look(self) -> None:
        if (self.folder / "out" / weights.CARD).exists():
            weights.verify(self.folder / "out")

    def result(self) -> Any:
        return dict(weights.verify(self.folder / "out").files)


def kill_many(kind: type[Job], folder: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill a job so many times; returns what was counted, or raises AssertionError."""
    draw = random.Random(seed)
    job = kind(folder)
    start = time.monotonic()
    assert fork(job.run) == 0, f"{job.name} failed undisturbed"
    seconds = time.monotonic() - start
    wanted = job.result()
    job.clear()
    killed = ended = 0
    while killed < kills:
        code = fork(job.run, draw.uniform(0, seconds))
        if code is None:
            killed += 1
            job.look()
            if killed < kills:
                continue
            code = fork(job.run)
        assert code == 0, f"{job.name} ended with exit code {code} after {killed} kills"
        assert job.result() == wanted, f"{job.name} came to something else after {killed} kills"
        ended += 1
        job.clear()
    return {
        "kills": killed,
        "runs that ended as undisturbed": ended,
        "seconds of one": round(seconds, 2),
    }


class Server:
    """`meanshape annotate` in a child, and a client of it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["annotate", str(folder), "--markup", "mtfl5", "--empty", "--port", str(self.port)]
        model = mean_model(Path(tempfile.mkdtemp(dir=folder.parent)))
        self.child = os.fork()
        if self.child == 0:
            silent = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silent, stream)
            try:
                command([*words, "--model", str(model)])
            finally:
                os._exit(0)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask once; an OSError or an HTTPException: nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def wait(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + 300
        while True:
            try:
                self.ask("GET", "/v1/health")
                return
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < until, "annotate does not answer"
                time.sleep(0.01)


def kill_annotate(folder: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Save labels one after another, kill the server meanwhile, and look for every save that was answered."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    root = folder / "photos"
    photos(root, 12)
    saved: dict[str, list[list[float]]] = {}
    answered = cut = 0
    for _ in range(kills):
        server = Server(root)
        try:
            server.wait()
        except AssertionError:
            os.kill(server.child, signal.SIGKILL)
            raise
        until = time.monotonic() + draw.uniform(0, 0.25)
        pending: tuple[str, Any] | None = None
        killer = os.fork()
        if killer == 0:
            time.sleep(max(0.0, until - time.monotonic()))
            os.kill(server.child, signal.SIGKILL)
            os._exit(0)
        try:
            while True:
                name = f"{draw.randrange(12):03d}.png"
                points = rng.uniform(5, 40, (5, 2)).round(2).tolist()
                pending = None
                version = server.ask("GET", f"/v1/folder/label?name={name}")[1]["version"]
                pending = name, points
                body = {"version": version, "faces": [{"points": points}]}
                status, told = server.ask("PUT", f"/v1/folder/label?name={name}", body)
                assert status == 200, told
                saved[name], pending = points, None
                answered += 1
        except (OSError, http.client.HTTPException, ValueError):
            os.waitpid(killer, 0)
            os.waitpid(server.child, 0)
        there = {str(p.source): p.faces[0].shape for p in jsonl.read(root / "labels.jsonl")} if saved else {}
        for name, points in saved.items():
            found = there[name].points.tolist()
            if pending is not None and pending[0] == name and found == pending[1]:
                saved[name] = pending[1]
                continue
            assert found == points, f"{name}: a save that was answered is lost"
        if pending is not None:
            cut += 1
            if pending[0] in there and pending[0] not in saved:
                saved[pending[0]] = pending[1]
    return {"kills": kills, "saves answered, all of them there": answered, "saves cut off": cut}


JOBS: dict[str, type[Job]] = {
    **{f"detect-{form}": detect_into(form) for form in OUTPUTS},
    "benchmark": Benchmark,
    "train": Train,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--only", choices=[*JOBS, "annotate"], action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-disk", action="store_true", help="Leave out what faults_disk.py does.")
    parser.add_argument("--json", type=Path, help="what it holds of other jobs stays")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for name in given.only or [*JOBS, "annotate"]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / name
            if name == "annotate":
                found[name] = kill_annotate(place, given.kills, given.seed)
            else:
                found[name] = kill_many(JOBS[name], place, given.kills, given.seed)
        print(name, json.dumps(found[name]), file=sys.stderr)
    if not given.no_disk:
        script = Path(__file__).with_name("faults_disk.py")
        words = ["unshare", "-rm", sys.executable, str(script)]
        found["disk"] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if given.json:
        before = json.loads(given.json.read_text()) if given.json.exists() else {}
        given.json.write_text(json.dumps(before | found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

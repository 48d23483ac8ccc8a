"""Nothing leaves this machine and no file is left behind, by native code neither: ONNX Runtime would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meanshape.core import weights
from meanshape.datasets.synthetic.clips import clip as rendered

ALONE = Path(__file__).with_name("alone.py")
PHOTO = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
SOURCES = Path(__file__).parent.parent / "src"
MEANSHAPE = [sys.executable, "-m", "meanshape"]
SERVE = """
import json, re, subprocess, sys, urllib.request
words = [sys.executable, "-m", "meanshape", "serve", "--port", "0"]
server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
line = next(line for line in server.stderr if "http://" in line)
photo = open(sys.argv[1], "rb").read()
form = b'--x\\r\\nContent-Disposition: form-data; name="image"; filename="a"\\r\\n\\r\\n%s\\r\\n--x--\\r\\n'
asked = urllib.request.Request(
    re.search(r"http://[^/]+", line)[0] + "/v1/detect", form % photo,
    {"Content-Type": "multipart/form-data; boundary=x"},
)
found = json.load(urllib.request.urlopen(asked))
server.terminate()
server.wait(30)
assert len(found["faces"]) == 1
"""
ANNOTATE = """
import json, pathlib, re, shutil, subprocess, sys, urllib.request
pathlib.Path("mine").mkdir()
shutil.copy(sys.argv[1], "mine/a.jpg")
words = [sys.executable, "-m", "meanshape", "annotate", "mine", "--port", "0"]
server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
line = next(line for line in server.stderr if "http://" in line)
address = re.search(r"http://[^/]+", line)[0] + "/v1/folder/label?name=a.jpg"
label = json.load(urllib.request.urlopen(address))
faces = [{"points": face["shape"]["points"], "box": face["box"]} for face in label["faces"]]
body = json.dumps({"version": "", "faces": faces}).encode()
headers = {"Content-Type": "application/json"}
saved = urllib.request.urlopen(urllib.request.Request(address, body, headers, method="PUT"))
assert saved.status == 200 and len(faces) == 1
server.terminate()
server.wait(30)
"""
TRAIN = """
import os, tempfile
from meanshape.apps.cli import main
words = "sizes=[32] widths=[0.03125] features=16 crop_size=32 partial_share=[0.0] steps=[2] batch=4 warmup=1"
words = [word for setting in words.split() for word in ("--set", setting)]
data = ["--data", "synthetic:8@64:train", "--valid", "synthetic:4@64:validation"]
with tempfile.TemporaryDirectory() as fonts:
    os.environ["MPLCONFIGDIR"] = fonts
    assert main(["train", "dan", *data, *words, "--out", "run"]) == 0
"""
RAY = """
import os, sys
from unittest import mock
ray = sys.modules["ray"] = mock.MagicMock()
sys.modules["ray.data"] = ray.data
ray.is_initialized.return_value = False
seen = []
ray.init.side_effect = lambda **how: seen.append((os.environ["RAY_USAGE_STATS_ENABLED"], how))
from meanshape.inference import ray_engine
ray_engine._ray()
((word, how),) = seen
assert word == sys.argv[1] and how["include_dashboard"] is False, seen
"""
QUANTISE = """
import sys
from pathlib import Path
import meanshape as ms
from meanshape.core.image import read_image, warp
from meanshape.methods.onnx import portable
model, image = ms.load("dan"), read_image(sys.argv[1])
graph = model.graph()
crop = warp(image, graph.matrix(ms.detect(image).faces[0].box), graph.size)
portable.write(model, Path("dan.onnx"), numbers="int8", crops=[crop])
"""
REACH = """
import socket
for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    try:
        socket.socket(family, socket.SOCK_DGRAM).connect((address, 443))
    except OSError:
        pass
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"name", ("127.0.0.53", 53))
"""
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
    pytest.mark.skipif(
        not {"dan", "mtcnn"} <= set(weights.names()), reason="the weights of dan and mtcnn are not here"
    ),
]

Run = Callable[..., tuple[dict[str, Any] | None, set[str]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs a command with an empty home, alone where the system allows it.

    It answers what the network saw (None: not allowed) and which files there are now.
    """

    def of(command: list[str], **variables: str) -> tuple[dict[str, Any] | None, set[str]]:
        places = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
        for folder in (*places.values(), "out"):
            (tmp_path / folder).mkdir()
        environment = {
            **{name: str(tmp_path / folder) for name, folder in places.items()},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SOURCES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        before = files(tmp_path)
        how: dict[str, Any] = {
            "env": environment,
            "cwd": tmp_path / "out",
            "capture_output": True,
            "text": True,
        }
        done = subprocess.run([sys.executable, str(ALONE), *command], check=False, **how)
        if done.returncode == 77:
            done = subprocess.run(command, check=False, **how)
            assert done.returncode == 0, done.stderr
            return None, files(tmp_path) - before
        assert done.returncode == 0, done.stderr
        network: dict[str, Any] = json.loads(done.stdout)
        assert network.pop("code") == 0, done.stderr
        return network, files(tmp_path) - before

    return of


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Return a clip of eight frames with a face."""
    pytest.importorskip("av")
    from meanshape.inference.recorder import Recorder

    path = tmp_path / "film.mp4"
    recorder = Recorder(path, 25)
    for frame in rendered(frames=8, size=(160, 120)):
        recorder.add(frame.pixels, frame.time)
    recorder.close()
    return path


def test_the_namespace_notices_who_looks_beyond_this_machine(run: Run) -> None:
    network, _ = run([sys.executable, "-c", REACH])
    if network is None:
        pytest.skip("this system gives no network namespace; only files were looked at")
    assert network["without_route"] >= 1 and network["looked_up"]


QUIET = {"without_route": 0, "looked_up": False}
JOBS = {
    "detect": (
        [*MEANSHAPE, "detect", str(PHOTO), "-o", "a.jsonl", "--overlay", "a.png"],
        {"a.jsonl", "a.png"},
    ),
    "workers": (
        [*MEANSHAPE, "detect", str(PHOTO), "../copy.jpg", "-o", "a.csv", "--workers", "2"],
        {"a.csv"},
    ),
    "evaluate": (
        [
            *MEANSHAPE,
            "evaluate",
            "dan",
            "--data",
            "synthetic:3@120@7",
            "--box",
            "detector",
            "--json",
            "a.json",
        ],
        {"a.json"},
    ),
    "serve": ([sys.executable, "-c", SERVE, str(PHOTO)], set()),
    "video": (
        [*MEANSHAPE, "video", "../film.mp4", "-o", "a.mp4", "--points", "a.csv"],
        {"a.mp4", "a.csv"},
    ),
    "annotate": ([sys.executable, "-c", ANNOTATE, str(PHOTO)], {"mine/a.jpg", "mine/labels.jsonl"}),
    "train": (
        [sys.executable, "-c", TRAIN],
        {
            *("run/asked.json", "run/card.toml", "run/config.toml", "run/curves.png", "run/mean.npy"),
            *("run/model.onnx", "run/stage1.checkpoint.pt", "run/stage1.jsonl", "run/weights.safetensors"),
        },
    ),
    "quantise": ([sys.executable, "-c", QUANTISE, str(PHOTO)], {"dan.onnx"}),
}


@pytest.mark.parametrize("job", JOBS)
def test_no_word_leaves_and_no_file_is_left(run: Run, tmp_path: Path, job: str, request: Any) -> None:
    if job == "video":
        request.getfixturevalue("film")
    needed = {
        "serve": ["uvicorn"],
        "annotate": ["uvicorn"],
        "quantise": ["onnx"],
        "train": ["torch", "onnx", "matplotlib"],
    }
    for package in needed.get(job, []):
        pytest.importorskip(package)
    (tmp_path / "copy.jpg").write_bytes(PHOTO.read_bytes())
    command, written = JOBS[job]
    network, there = run(command)
    assert there == {f"out/{name}" for name in written}
    assert network in (None, QUIET)


@pytest.mark.parametrize(("word", "told"), [(None, True), ("1", True), ("0", False)])
def test_the_word_of_the_user_stays(run: Run, word: str | None, told: bool) -> None:
    code = (
        "import os, sys, types; told = []\n"
        "stub = types.SimpleNamespace(disable_telemetry_events=lambda: told.append(1))\n"
        "sys.modules['onnxruntime'] = stub\n"
        "from meanshape.core import runtime\n"
        f"assert os.environ['ORT_DISABLE_TELEMETRY'] == {word or '1'!r} and bool(told) == {told}\n"
    )
    run([sys.executable, "-c", code], **({} if word is None else {"ORT_DISABLE_TELEMETRY": word}))


@pytest.mark.parametrize("word", [None, "1"])
def test_ray_is_told_to_tell_nobody_before_it_starts(run: Run, word: str | None) -> None:
    variables = {} if word is None else {"RAY_USAGE_STATS_ENABLED": word}
    run([sys.executable, "-c", RAY, word or "0"], **variables)

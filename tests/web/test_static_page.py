"""The page without a server: its files, and in Chromium what Python answers.

The browser's part needs Chromium and `npm install --prefix examples/browser onnxruntime-web`, else it is
skipped.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.apps.web import site
from meanshape.core import weights

pytest.importorskip("onnx")
ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
RUNTIME = ROOT / "examples" / "browser" / "node_modules" / "onnxruntime-web"
pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        not {"integral", "glance"} <= {*weights.names(), *weights.detector_names()},
        reason="the weights are not here",
    ),
]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder that looks like onnxruntime-web's."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in (site.SCRIPT, site.GLUE, site.BINARY):
        (folder / "dist" / name).write_bytes(name.encode())
    return folder


def test_a_copied_runtime_is_all_that_the_page_loads(runtime: Path, tmp_path: Path) -> None:
    files = site.write(tmp_path / "site", runtime=runtime)
    assert (
        sorted(p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.*")) == files
    )
    text = "".join(
        (tmp_path / "site" / name).read_text() for name in files if name.endswith((".html", ".js"))
    )
    assert "//" not in re.sub(r"(?m)//.*$", "", text.replace("https:// or localhost", ""))  # but comments
    page = (tmp_path / "site" / "index.html").read_text()
    assert f'src="ort/{site.SCRIPT}" integrity="{site.digest(site.SCRIPT.encode())}"' in page
    assert "{{" not in page and "default-src 'none'" in page and "http" not in page.replace("http-equiv", "")
    about = json.loads((tmp_path / "site" / "models.json").read_text())
    assert about["runtime"]["binary"]["integrity"] == site.digest(site.BINARY.encode())
    for part in ("detector", "model"):
        data = (tmp_path / "site" / about[part]["file"]).read_bytes()
        assert about[part]["integrity"] == site.digest(data)
    assert "research only" in about["terms"] and about["commercial_use"] is False


def test_the_cdn_is_one_address_of_one_version(tmp_path: Path) -> None:
    site.write(tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    hosts = set(re.findall(r"https://([\w.-]+)", page))
    assert hosts == {"cdn.jsdelivr.net"} and f"onnxruntime-web@{site.VERSION}/" in page
    assert site.KNOWN[site.SCRIPT] in page
    about = json.loads((tmp_path / "site" / "models.json").read_text())
    assert about["runtime"]["base"] == site.CDN
    assert about["runtime"]["glue"]["integrity"] == site.KNOWN[site.GLUE]


def test_the_digests_are_those_of_the_version() -> None:
    if not (RUNTIME / "package.json").is_file():
        pytest.skip("onnxruntime-web is not installed")
    if json.loads((RUNTIME / "package.json").read_text())["version"] != site.VERSION:
        pytest.skip("another version of onnxruntime-web is installed")
    assert {name: site.digest((RUNTIME / "dist" / name).read_bytes()) for name in site.KNOWN} == site.KNOWN


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 6),
        (["--cdn", "--ort", "."], 6),
        (["--ort", "."], 6),
        (["--cdn", "--model", "asm"], 6),
        (["--cdn", "--model", "nobody"], 7),
    ],
)
def test_what_cannot_be_is_said(inside: Path, words: list[str], code: int) -> None:
    assert main(["page", "-o", "site", *words]) == code
    assert not Path("site/index.html").exists()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system cannot")
def test_no_link_in_the_folder_is_followed(inside: Path, runtime: Path) -> None:
    outside, folder = inside / "outside", inside / "site"
    outside.mkdir()
    folder.mkdir()
    (outside / "page.js").write_text("precious")
    (folder / "page.js").symlink_to(outside / "page.js")
    assert main(["page", "-o", "site", "--ort", str(runtime)]) == 0
    assert (outside / "page.js").read_text() == "precious" and not (folder / "page.js").is_symlink()
    for path in (folder / "ort").iterdir():
        path.unlink()
    (folder / "ort").rmdir()
    (folder / "ort").symlink_to(outside)
    assert main(["page", "-o", "site", "--ort", str(runtime)]) == 15
    assert [path.name for path in outside.iterdir()] == ["page.js"]


# in Chromium


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    if not RUNTIME.is_dir():
        pytest.skip("onnxruntime-web is not installed: npm install --prefix examples/browser onnxruntime-web")
    assert main(["page", "-o", str(tmp_path / "site"), "--ort", str(RUNTIME)]) == 0
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_answers_what_python_does_at_any_size(address: str, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    page.until("Boolean(window.meanshape?.about)")
    page.set_input_files("#file", str(PHOTO))
    page.until("Boolean(window.meanshape.result)")
    (face,) = page.evaluate("window.meanshape.result.faces")
    wanted = ms.detect(PHOTO).faces[0]
    # The browser decodes JPEG a little otherwise, and begins with another detector's box.
    assert np.abs(np.array(face["points"]) - wanted.shape.points).max() < 2
    assert ms.Box(*face["box"]).iou(wanted.box) > 0.6
    assert page.inner_text("#told").startswith("1 face,")
    x, y = (round(value) for value in face["points"][30])
    pixel = page.evaluate(
        f"[...document.getElementById('canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data]"
    )
    assert pixel[1] > pixel[0] and pixel[1] > pixel[2]  # the nose is green, as the overlay's is
    with page.expect_download() as got:
        page.click("#points")
    told = ms.Prediction.from_dict(json.loads(Path(got.value.path()).read_text()))
    assert np.allclose(told.faces[0].shape.points, face["points"]) and told.model == "integral"
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('canvas').getBoundingClientRect().width") <= 390
    assert all(url.startswith((address, "blob:", "data:")) for url in asked)


def test_the_camera_starts_and_stops(address: str, page: Any) -> None:
    page.goto(f"{address}/index.html")
    page.until("Boolean(window.meanshape?.about)")
    page.click("#camera")
    page.until("window.meanshape.result?.source === 'camera'")
    assert page.inner_text("#camera") == "Stop"
    page.set_input_files("#file", str(PHOTO))  # a photo ends it, also in the middle of a look
    page.until("window.meanshape.result.source === 'astronaut.jpg'")
    assert page.inner_text("#camera") == "Camera"
    assert (
        page.evaluate("window.meanshape.stream === null && document.getElementById('video').srcObject.active")
        is False
    )

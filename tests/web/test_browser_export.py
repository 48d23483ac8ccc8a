"""The exported `dan` in a browser: onnxruntime-web answers what Python does.

Needs Chromium and `npm install --prefix examples/browser onnxruntime-web`, else it is skipped.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.methods.onnx import portable

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "examples" / "browser"
pytestmark = pytest.mark.xdist_group("browser")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    if not (PAGE / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not installed: npm install --prefix examples/browser onnxruntime-web")
    site = tmp_path / "site"
    site.mkdir()
    for name in ("index.html", "dan.js"):
        shutil.copy(PAGE / name, site)
    (site / "node_modules").symlink_to(PAGE / "node_modules")
    shutil.copy(ROOT / "examples" / "astronaut.jpg", site)
    portable.write(ms.load("dan"), site / "dan.onnx", numbers="fp16", with_crop=True)
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_browser_and_python_place_the_same_points(address: str, page: Any) -> None:
    page.goto(f"{address}/index.html")
    page.until("document.getElementById('told').textContent == 'ready'")
    page.evaluate("fetch('astronaut.jpg').then((got) => got.blob()).then(window.dan.show)")
    found = page.evaluate("window.dan.place([180, 88, 271, 178])")
    photo, box = ROOT / "examples" / "astronaut.jpg", ms.Box(180, 88, 271, 178)
    wanted = ms.load("dan").predict(photo, box).points
    assert (
        np.abs(np.reshape(found, (68, 2)) - wanted).max() < 0.5
    )  # the browser decodes JPEG a little otherwise

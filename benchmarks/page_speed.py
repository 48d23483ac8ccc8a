"""How quick the page is for a person: the first result after a photo is dropped, and the camera's rate.

    python benchmarks/page_speed.py PHOTO [--chromium PATH] [--seconds 10] [--json FILE]

Starts `meanshape serve` and Chromium (Playwright drives it). PHOTO is enlarged to 12 megapixels (4000 x 3000,
JPEG) and dropped five times; the time runs from the drop to the points on the screen. The camera is a fake
one of Chromium's, which shows a rendered clip of one moving face in 640 x 480, 30 frames a second.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from running import served

from meanshape.datasets.synthetic.clips import clip

SIZE = (4000, 3000)
FLAGS = [
    *("--no-sandbox", "--disable-gpu"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
DROPPED = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const file = new File([bytes], "photo.jpg", { type: "image/jpeg" });
  const start = performance.now();
  window.meanshape.take([file]);
  while (!window.meanshape.current()?.result) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return (performance.now() - start) / 1000;
}"""
RATE = "Number(document.getElementById('note').dataset.rate)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--models", nargs="+", default=["dan", "cpr"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with served() as (port, _), tempfile.TemporaryDirectory() as scratch:
        found = measured(f"http://127.0.0.1:{port}", given, Path(scratch))
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(address: str, given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Return what was measured in Chromium."""
    from playwright.sync_api import sync_playwright

    large = scratch / "large.jpg"
    Image.open(given.photo).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC).save(large, quality=92)
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera(scratch / 'camera.y4m')}"]
    found: dict[str, Any] = {"photo_bytes": large.stat().st_size, "seconds_to_first_result": [], "camera": {}}
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=given.chromium, args=flags)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(address)
        until(page, "document.querySelectorAll('#model option').length > 1")
        data = base64.b64encode(large.read_bytes()).decode()
        for _ in range(5):
            found["seconds_to_first_result"].append(round(page.evaluate(DROPPED, data), 2))
        for model in given.models:
            page.select_option("#model", model)
            page.click("#camera-too")
            until(page, f"{RATE} > 0")
            rates = []
            for _ in range(10):
                page.wait_for_timeout(100 * given.seconds)
                rates.append(page.evaluate(RATE))
            page.click("#stop")
            found["camera"][model] = {
                "results_per_second": round(float(np.median(rates)), 1),
                "least": round(min(rates), 1),
            }
        browser.close()
    return found


def until(page: Any, script: str) -> None:
    """Wait until a script answers something true; the page's policy forbids Playwright's own way."""
    while not page.evaluate(script):
        page.wait_for_timeout(50)


def camera(path: Path) -> Path:
    """Write the clip that the fake camera shows, forth and back."""
    frames = [frame.pixels for frame in clip("moving", 50)]
    with av.open(str(path), "w", format="yuv4mpegpipe") as file:
        stream = file.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for pixels in [*frames, *frames[::-1]]:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()

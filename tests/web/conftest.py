"""A server in a thread, on a port of its own, and a browser for it where there is one."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Imported before a server's thread would, for pytest parses these two (see test_openapi.py).
import anyio._backends._asyncio
import anyio._core._fileio  # noqa: F401
import pytest

from meanshape.apps.web.folder import Folder
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import Limits, Service
from meanshape.core.image import write_image
from meanshape.core.markup import markup
from meanshape.datasets.synthetic import face
from meanshape.inference import Pipeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]


def start(app: Any, limits: Limits | None = None) -> tuple[str, Callable[[], None]]:
    """Serve an app; returns its address and what stops it."""
    from meanshape.apps.web.listening import listen, make_server

    listening = listen("127.0.0.1", 0)
    server = make_server(app, limits or Limits())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(10)
        listening.close()

    return f"http://127.0.0.1:{listening.getsockname()[1]}", stop


@pytest.fixture(scope="session")
def served() -> Callable[[Any], tuple[str, Callable[[], None]]]:
    """What serves an app."""
    return start


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rendered photos."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        sample = face(seed, 200, occlusion=0, yaw=0, emotion="neutral", degrade=False)
        write_image(folder / f"{seed}.png", sample.pixels())
    return folder


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Folder:
    """A copy of the photos, to be corrected; the model is the shipped one."""
    root = tmp_path / "mine"
    shutil.copytree(photos, root)
    return Folder(root, markup("ibug68"), Pipeline())


@pytest.fixture
def server(folder: Folder) -> Iterator[str]:
    """The address of a server with the shipped models and a folder."""
    address, stop = start(create_app(Service(limits=Limits(workers=2)), folder=folder))
    yield address
    stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright, which has an event loop running in this thread until it ends.

    It ends with its module, for `asyncio.run` of tests that come after it would be refused.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def watched() -> Callable[[Any], Any]:
    """Return what gives a page the method `until`."""

    def watch(page: Any) -> Any:
        page.until = partial(until, page)
        return page

    return watch


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may do what its Content Security Policy lets it, and must not fail."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    opened.wrong = wrong
    opened.until = partial(until, opened)
    yield opened
    context.close()
    assert not wrong, wrong


def until(page: Any, script: str, seconds: float = 30) -> Any:
    """Wait until a script answers something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := page.evaluate(script):
            return value
        page.wait_for_timeout(50)
    raise AssertionError(f"{script} never came true")

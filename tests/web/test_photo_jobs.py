"""A folder's photos are decoded, and points placed, by processes that can be stopped."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FAST, asked, endless, gone
from fastapi.testclient import TestClient

from meanshape.apps.web.folder import Folder
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import Service
from meanshape.apps.web.workers import SlowError
from meanshape.core.image import write_image
from meanshape.core.markup import markup
from meanshape.inference import Pipeline

BOX = {"left": 40, "top": 40, "right": 160, "bottom": 160}


@pytest.fixture
def mixed(photos: Path, tmp_path: Path) -> Path:
    """Photos, one that browsers do not show, and two that take minutes to decode."""
    root = tmp_path / "mine"
    shutil.copytree(photos, root)
    pixels = np.full((90, 120, 3), 90, np.uint8)
    write_image(root / "plain.bmp", pixels)
    (root / "endless.jpg").write_bytes(endless())
    (root / "endless.jpe").write_bytes(endless())
    return root


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_photos_are_decoded_by_workers_alone(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(mixed, markup("ibug68"), Pipeline(**FAST))

    def refuse(*given: Any) -> None:
        raise AssertionError("a photo was decoded in the server")

    monkeypatch.setattr("meanshape.core.image._decode_once", refuse)  # workers are other processes
    with asked(Service(FAST, Limits(workers=1)), folder) as client:
        label = client.get("/v1/folder/label?name=0.png").json()
        assert len(label["faces"]) == 1 and label["confidence"] > 0
        placed = client.post("/v1/folder/place", params={"name": "1.png"} | BOX)
        assert len(placed.json()["points"]) == 68
        shown = client.get("/v1/folder/photo?name=plain.bmp")
        assert shown.headers["content-type"] == "image/png" and shown.content[1:4] == b"PNG"
        face = {"points": label["faces"][0]["shape"]["points"]}
        sent = {"version": "", "faces": [face]}
        assert client.put("/v1/folder/label?name=0.png", json=sent).status_code == 200
    assert folder.label("0.png").faces[0].shape.points.tolist() == face["points"]


def test_a_photo_that_never_ends_costs_its_own_request(mixed: Path) -> None:
    service = Service(FAST, Limits(workers=1, seconds=2))
    workers = service.workers
    with asked(service, Folder(mixed, markup("ibug68"), Pipeline(**FAST))) as client:
        for ask in (
            lambda: client.get("/v1/folder/label?name=endless.jpg"),
            lambda: client.post("/v1/folder/place", params={"name": "endless.jpg"} | BOX),
            lambda: client.get("/v1/folder/photo?name=endless.jpe"),
        ):
            workers.start(), workers.wait_until_ready()
            before = workers._all[0].pid
            answer = ask()
            assert answer.status_code == 503 and "longer than 2 seconds" in answer.json()["error"]
            until(lambda before=before: workers._free and workers._all[0].pid != before)
            assert gone(before)
        sent = {"version": "", "faces": []}
        assert client.put("/v1/folder/label?name=endless.jpg", json=sent).status_code == 200
        workers.wait_until_ready()
        service.limits = Limits(workers=1)  # the photo may take as long as this machine needs
        workers._seconds = service.limits.seconds
        assert len(client.get("/v1/folder/label?name=0.png").json()["faces"]) == 1


def test_without_a_model_nothing_waits_for_a_worker(mixed: Path) -> None:
    service = Service(FAST, Limits(workers=1))
    with asked(service, Folder(mixed, markup("mtfl5"))) as client:
        assert client.get("/v1/folder/label?name=endless.jpg").json()["faces"] == []
        placed = client.post("/v1/folder/place", params={"name": "endless.jpg"} | BOX)
        assert len(placed.json()["points"]) == 5
        assert service.workers._all[0].pid is None


def test_points_are_placed_ahead_and_a_broken_photo_stops_nothing(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    shutil.copytree(photos, root)
    (root / "00.png").write_bytes((root / "0.png").read_bytes()[:3000])
    folder = Folder(root, markup("ibug68"), Pipeline(**FAST))
    folder.save("1.png", "", [])
    assert sorted(folder.unplaced()) == ["0.png", "00.png", "2.png"]
    service = Service(FAST, Limits(workers=1, seconds=120))
    with TestClient(create_app(service, folder=folder), base_url="http://localhost") as client:
        until(lambda: folder.unplaced() == ["00.png"])
        rows = {row["name"]: row for row in client.get("/v1/folder").json()["photos"]}
        assert rows["0.png"]["confidence"] > 0 and rows["2.png"]["faces"] == 1
        assert rows["00.png"]["faces"] is None and rows["1.png"]["done"]
        assert client.get("/v1/folder/label?name=00.png").status_code == 422


def test_the_end_waits_for_no_photo(mixed: Path) -> None:
    for name in ("0.png", "1.png", "2.png", "plain.bmp"):
        (mixed / name).unlink()
    service = Service(FAST, Limits(workers=1, seconds=600))
    workers = service.workers
    workers.start(), workers.wait_until_ready()
    folder = Folder(mixed, markup("ibug68"), Pipeline(**FAST))
    with TestClient(create_app(service, folder=folder), base_url="http://localhost"):
        until(lambda: not workers._free)
        before = workers._all[0].pid
    service._threads.shutdown()  # no thread is left that waits
    assert len(folder.unplaced()) == 2
    until(lambda: gone(before))


def test_what_is_asked_after_the_end_is_not_waited_for() -> None:
    """A thread that comes to its question late, when nobody wants the answer any more."""
    service = Service(FAST, Limits(workers=1, seconds=0.2))
    late: list[BaseException] = []

    def work(ask: Any) -> None:
        time.sleep(0.6)
        try:
            ask("png", photo=None)
        except BaseException as error:
            late.append(error)

    async def run() -> None:
        with pytest.raises(SlowError):
            await service.run(work)
        while not late:
            await asyncio.sleep(0.02)

    asyncio.run(run())
    assert "Cancelled" in type(late[0]).__name__
    service.close()

"""What the server takes on: pixels, places and bytes, and what happens beyond."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FAST, FIRST, PHOTO, asked, picture, post

from meanshape.apps.web import listening
from meanshape.apps.web.folder import Folder
from meanshape.apps.web.jobs import Jobs
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import BusyError, Service
from meanshape.apps.web.workers import SlowError
from meanshape.core.errors import ImageError
from meanshape.core.image import read_image
from meanshape.core.markup import markup
from meanshape.inference.pipeline import Pipeline
from meanshape.inference.turns import SEARCHES


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One worker that is ready."""
    made = Service(FAST, Limits(workers=1, queue=1))
    made.workers.start(), made.workers.wait_until_ready()
    yield made
    made.close()


def test_small_faces_in_large_pictures_are_too_much_work() -> None:
    limits = Limits(workers=1, looks=400_000, pixels=4_000_000)
    with asked(Service(FAST, limits)) as client:
        grey = picture(np.full((1500, 1500, 3), 90, np.uint8))
        answer = post(client, grey, min_face=12)
        assert answer.status_code == 422
        said = answer.json()["error"]
        assert "over the limit of 400,000" in said and "1500 x 1500" in said and "min_face larger" in said
        assert post(client, grey, min_face=200).status_code == 200
        assert "limit of 400,000" in post(client, grey[:200], min_face=12).text  # known from its first bytes
        assert "limit of 400,000" in post(client, grey, "/v1/steps").text
        batch = client.post("/v1/detect/batch", files=[("images", grey)], params={"min_face": 12})
        assert "limit of 400,000" in batch.json()["results"][0]["error"]
        answer = post(client, picture(np.zeros((2100, 2000), np.uint8)), min_face=200)
        assert answer.status_code == 422 and "over the limit of 4,000,000" in answer.json()["error"]


def test_a_large_picture_is_searched_in_turns_only_if_it_is_asked_for() -> None:
    upright = read_image(PHOTO)
    side = picture(np.rot90(upright))
    alone = FAST | {"detector": "mtcnn"}  # which finds nothing that lies on its side
    looks = Pipeline(**alone).detector.looked_at(*upright.shape[:2])

    def faces(limit: int, **options: Any) -> int:
        return len(json.loads(Jobs(alone, Limits(looks=limit)).detect(side, None, options))["faces"])

    assert faces(SEARCHES * looks) == faces(SEARCHES * looks, turns="all") == 1
    assert faces(SEARCHES * looks, turns="none") == faces(SEARCHES * looks - 1) == 0
    with pytest.raises(ImageError, match=f"want {SEARCHES * looks:,} pixels to be looked at"):
        faces(SEARCHES * looks - 1, turns="all")


def test_one_request_too_many_is_told_to_come_again(service: Service) -> None:
    with asked(service, goes_on=True) as client, service.place(0), service.place(0):
        answer = post(client, PHOTO.read_bytes())
        assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
        assert client.get("/v1/health").json()["waiting"] == 2
        assert client.get("/v1/models").status_code == 200
    assert service.waiting == 0


def test_the_bytes_of_all_requests_together_are_limited() -> None:
    service = Service(FAST, Limits(in_flight=1000))
    with service.place(600), pytest.raises(BusyError, match="come again"), service.place(600):
        pass
    with service.place(600):
        pass
    service.close()


def test_work_on_the_folder_has_its_time_too() -> None:
    service = Service(FAST, Limits(workers=1, seconds=0.1))
    with pytest.raises(SlowError, match=r"0\.1 seconds"):
        asyncio.run(service.run(lambda ask: time.sleep(0.3)))
    time.sleep(0.3)
    assert asyncio.run(service.run(lambda ask: 7)) == 7
    service.close()


@pytest.mark.parametrize(
    ("path", "size", "kind", "status"),
    [
        ("/v1/detect", 20_000, "multipart/form-data; boundary=b", 200),
        ("/v1/detect", 200_000, "multipart/form-data; boundary=b", 413),
        ("/v1/detect/", 200_000, "multipart/form-data; boundary=b", 413),
        ("/v1/steps", 200_000, "multipart/form-data; boundary=b", 413),
        ("/v1/detect/batch", 300_000, "multipart/form-data; boundary=b", 413),
        ("/v1/detect", 10**30, "multipart/form-data; boundary=b", 413),
        ("/v1/detect", 900, "application/x-www-form-urlencoded", 415),
        ("/v1/detect", 900, "application/json", 415),
        ("/v1/folder/label", 5000, "application/json", 413),
        ("/v1/modes/asm", 10, "application/json", 413),
        ("/", 10, "text/plain", 413),
    ],
)
def test_a_body_is_refused_by_what_its_head_says(path: str, size: int, kind: str, status: int) -> None:
    limits = Limits(bytes=50_000, body=250_000, json=4000)
    app = create_app(Service(FAST, limits))
    read = 0

    async def ask() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 1
            raise RuntimeError("read")

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [*headers, (b"content-length", str(size).encode())], "scheme": "http",
            "http_version": "1.1", "server": ("localhost", 80), "client": ("localhost", 1), "root_path": "",
        }  # fmt: skip
        await app(scope, receive, send)
        return int(sent[0]["status"])

    if status == 200:
        assert asyncio.run(ask()) == 400 and read  # it was let in
    else:
        assert asyncio.run(ask()) == status and not read


def test_a_length_must_be_said(service: Service) -> None:
    def drip() -> Iterator[bytes]:
        yield FIRST
        yield from [b"x" * 1000] * 3

    with asked(service, goes_on=True) as client:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        assert client.post("/v1/detect", content=drip(), headers=headers).status_code == 411


def test_uploads_stay_in_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("an upload went to the disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    large = picture(np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8))
    service.limits = replace(service.limits, bytes=2_000_000)
    with asked(service, goes_on=True) as client:
        assert len(large) > 2_000_000 and post(client, large).status_code == 413
        answer = client.post("/v1/detect/batch", files=[("images", large)] * 2)
        assert all("more than 2 MB" in one["error"] for one in answer.json()["results"])
        assert post(client, PHOTO.read_bytes()).status_code == 200


def test_a_broken_form_is_not_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The parser of forms tells the log which byte of the upload it did not expect."""
    headers = {"content-type": "multipart/form-data; boundary=b"}
    with asked(service, goes_on=True) as client:
        for body in (
            b"--secret",
            b"secret",
            b"--b\r\nsecret\x00: 1\r\n\r\n",
            b"--b\r\n\r\nsecret\r\n--b-secret",
        ):
            answer = client.post("/v1/detect", content=body, headers=headers)
            assert answer.status_code in (400, 422), body
    assert not caplog.records


def test_json_of_more_than_a_page_sends_is_not_read(photos: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(photos, tmp_path / "mine")
    folder = Folder(tmp_path / "mine", markup("mtfl5"))
    with asked(Service(FAST), folder) as client:
        many = {"version": "", "faces": [{"points": [[n, n * n] for n in range(5)]}] * 1000}
        assert client.put("/v1/folder/label?name=0.png", json=many).status_code == 200
        huge = b'{"version": "", "faces": [' + b"[]," * 700_000 + b"[]]}"
        headers = {"content-type": "application/json"}
        answer = client.put("/v1/folder/label?name=0.png", content=huge, headers=headers)
        assert answer.status_code == 413 and "2,000,000 bytes" in answer.json()["error"]


def test_security_md_has_these_numbers() -> None:
    text = (PHOTO.parents[1] / "SECURITY.md").read_text("utf-8")
    table = text.partition("| the server | limit |")[2].partition("\n\n")[0].partition("\n- ")[0]
    told = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", table)}
    others = {listening.HEADERS, listening.OTHERS, listening.SLOWEST}
    assert told == {float(number) for number in (*astuple(Limits()), *others)}

"""What the tests of the server's limits share: pictures, forms, and clients in the same process."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from meanshape.apps.web.folder import Folder
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import Service

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
FAST = {"model": "cpr"}
FIRST = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
"""How a form with a picture begins."""


def picture(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def endless() -> bytes:
    """A JPEG of two megabytes that takes minutes: one scan again and again."""
    data = picture(np.full((4000, 4000), 120, np.uint8), "JPEG", progressive=True, quality=30)
    scans = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xda"]
    again = data[scans[1] : scans[2]]
    return data[:-2] + again * (2_000_000 // len(again)) + data[-2:]


def gone(pid: int) -> bool:
    return sys.platform != "linux" or not Path(f"/proc/{pid}").exists()


def post(client: TestClient, data: bytes, path: str = "/v1/detect", **options: Any) -> Any:
    return client.post(path, files={"image": ("x.jpg", data)}, params=options)


@contextmanager
def asked(service: Service, folder: Folder | None = None, goes_on: bool = False) -> Iterator[TestClient]:
    """Ask a server, which ends unless it goes on."""
    yield TestClient(create_app(service, folder=folder), base_url="http://localhost")
    if not goes_on:
        service.close()

"""What is before a camera, with the points drawn on it, as a page that this machine alone reaches."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from meanshape.apps.web.guard import LOOPBACK, Guard
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.listening import listen, make_server
from meanshape.core import resources
from meanshape.core.image import Pixels

STATIC = resources.beside(__file__, "static")
BOUNDARY = "picture"
POLL = 0.005
"""Seconds after which a page's connection looks for a new picture."""


class Stream:
    """The newest picture, for all pages that look: a slow one misses some."""

    def __init__(self) -> None:
        self._jpeg, self._count, self.closed = b"", 0, False

    def show(self, pixels: Pixels) -> None:
        """Show RGB pixels (H, W, 3)."""
        import cv2

        made, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
        if made:
            self._jpeg, self._count = data.tobytes(), self._count + 1

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the pictures as parts of a `multipart/x-mixed-replace` answer."""
        seen = 0
        while not self.closed:
            if self._count == seen:
                await asyncio.sleep(POLL)
                continue
            seen, jpeg = self._count, self._jpeg
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"


def create_app(stream: Stream, token: str) -> FastAPI:
    """Return the page and the stream in it, for who knows the token."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=LOOPBACK, token=token)

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "webcam.html", headers={"cache-control": "no-cache"})

    @app.get("/stream")
    def pictures() -> StreamingResponse:
        return StreamingResponse(
            stream.parts(),
            media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
            headers={"cache-control": "no-store"},
        )

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@contextmanager
def served(port: int = 0) -> Iterator[tuple[Stream, str]]:
    """Serve a stream while the block runs: yields it and the page's address. Port 0 is any that is free."""
    stream, token = Stream(), secrets.token_urlsafe(16)
    with listen(LOOPBACK[0], port) as listening:
        server = make_server(create_app(stream, token), Limits())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield stream, f"http://{LOOPBACK[0]}:{listening.getsockname()[1]}/?token={token}"
        finally:
            stream.closed = server.should_exit = True
            thread.join(5)

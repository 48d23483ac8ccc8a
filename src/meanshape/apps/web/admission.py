"""Who is let in before a body is read: by its kind and length, and by the room that is left.

A body that is let in must also come in quickly enough.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from meanshape.apps.web.guard import App, Message, Receive, Scope, Send
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.service import BusyError, Service

FREE = ("/v1/health", "/v1/models", "/v1/markups", "/v1/openapi.json")
"""What is answered at once, however many requests wait."""
FORM = "multipart/form-data"
AROUND = 100_000
"""Bytes of a form around its picture."""
AGAIN = {"retry-after": "1"}


class RefusedError(Exception):
    """A request that is not let in."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Body:
    """What a request may bring: how many bytes, and of which content type."""

    limit: int
    kind: str | None = None


NOTHING = Body(0)


class Admission:
    """Stands between the guard and the app.

    Parameters
    ----------
    app : what is asked
    service : whose places are taken
    """

    def __init__(self, app: App, service: Service) -> None:
        self.app, self.service, limits = app, service, service.limits
        picture = Body(limits.bytes + AROUND, FORM)
        self._bodies = {
            "/v1/detect": picture,
            "/v1/steps": picture,
            "/v1/detect/batch": Body(limits.body, FORM),
            "/v1/folder/label": Body(limits.json),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it in."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        try:
            size = self._size(path, Headers(scope=scope))
            if path.startswith("/v1/") and not path.startswith(FREE):
                await self._let_in(size, scope, receive, send)
            else:
                await self.app(scope, receive, send)
        except RefusedError as error:
            headers = AGAIN if error.status in (429, 503) else None
            await JSONResponse({"error": error.text}, error.status, headers)(scope, receive, send)

    def _size(self, path: str, headers: Headers) -> int:
        """Return how long a body will be, or refuse it: too long, of another kind, of a length not said."""
        if "transfer-encoding" in headers:
            raise RefusedError(411, "say how long the request is: Content-Length, not Transfer-Encoding")
        said = headers.get("content-length", "0")
        size = int(said) if said.isdecimal() and len(said) < 16 else 10**15
        body = self._bodies.get(path, NOTHING)
        if size > body.limit:
            here = f"a request here may have {body.limit:,} bytes"
            text = here if body.limit else "nothing is sent to this address; pictures go to POST /v1/detect"
            raise RefusedError(413, f"{text}; make the picture smaller" if body.kind else text)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if size and body.kind is not None and kind != body.kind:
            raise RefusedError(415, f"pictures come as {body.kind}")
        return size

    async def _let_in(self, size: int, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, in a place that is held until it is answered."""
        limits = self.service.limits
        try:
            with self.service.place(size):
                async with asyncio.timeout(None) as timer:
                    await self.app(scope, _Upload(receive, size, timer, limits), send)
        except BusyError as error:
            raise RefusedError(429, str(error)) from error
        except TimeoutError:
            text = f"the request came more slowly than {limits.rate:,} bytes a second"
            raise RefusedError(408, text) from None
        except asyncio.CancelledError:  # uvicorn has no patience left
            raise RefusedError(503, "the server is stopping") from None


class _Upload:
    """A body as it comes in. A timer runs while the app waits for a part of it."""

    def __init__(self, receive: Receive, size: int, timer: asyncio.Timeout, limits: Limits) -> None:
        self._receive, self._left, self._timer, self._limits = receive, size, timer, limits
        self._time = asyncio.get_running_loop().time
        self._until = self._time() + limits.grace

    async def __call__(self) -> Message:
        if self._left > 0:
            self._timer.reschedule(self._until)
        message = await self._receive()
        self._timer.reschedule(None)
        came = len(message.get("body", b""))
        self._left -= came
        # What comes quickly earns no more time to be silent in than there was at first.
        self._until = min(self._time() + self._limits.grace, self._until + came / self._limits.rate)
        return message


__all__ = ["Admission"]

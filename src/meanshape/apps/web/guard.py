"""Who may ask, and what every answer says to browsers.

Pages of other sites cannot use the server: it answers only under its own names (no DNS rebinding), takes
changes only from its own pages (no cross-site requests) and shares nothing with others (no CORS). Where it
listens beyond this machine, a token is needed.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "meanshape_token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Stands before the app.

    Parameters
    ----------
    app : what is guarded
    hosts : names under which it answers; none: any
    token : what a client must know; None: nothing
    """

    def __init__(self, app: App, hosts: Iterable[str], token: str | None) -> None:
        self.app, self.hosts, self.token = app, frozenset(hosts), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        dressed = _dressed(send, scope["path"])
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, dressed)
            return
        await self.app(scope, receive, dressed)

    def _refusal(self, scope: Scope, headers: Headers) -> Any:
        """Return the answer to a request that may not pass, or None."""
        host = _host(headers.get("host", ""))
        if self.hosts and host not in self.hosts:
            return _error(421, f"this server does not answer as {host!r}")
        origin = headers.get("origin")
        elsewhere = origin not in (None, *_own(headers))
        elsewhere |= headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if elsewhere and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            return _error(403, "pages of other sites may not use this server")
        return None if self.token is None else self._stranger(scope, headers, self.token)

    def _stranger(self, scope: Scope, headers: Headers, token: str) -> Any:
        """Return the answer to somebody without the token; the right link leaves it in a cookie."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if given and _same(given, token) and scope["method"] == "GET":
            # Not `//name`, which browsers take for another site.
            answer = RedirectResponse("/" + scope["path"].lstrip("/\\"), 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(bearer, token) or _same(_cookie(headers), token):
            return None
        return _error(401, "a token is needed: Authorization: Bearer TOKEN, or open the link with ?token=")


def _dressed(send: Send, path: str) -> Send:
    """Add the headers that every answer has."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if path.startswith("/v1/"):
                headers["cache-control"] = "no-store"
        await send(message)

    return dressed


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def _host(header: str) -> str:
    """Return the name of a Host header, without the port."""
    try:
        parts = urlsplit(f"//{header}")
        return "" if parts.port == 0 else parts.hostname or ""  # asking for the port checks it
    except ValueError:
        return ""


def _own(headers: Headers) -> tuple[str, str]:
    host = headers.get("host", "")
    return f"http://{host}", f"https://{host}"


def _cookie(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8"))

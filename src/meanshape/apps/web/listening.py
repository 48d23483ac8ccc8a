"""The listening side: connections that say nothing are closed, and there are only so many.

Uvicorn waits for ever for the first lines of a request, and for who does not read its answer.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from math import ceil
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from meanshape.apps.web.limits import Limits
from meanshape.core.errors import OutputError

HEADERS = 16_384
"""Bytes of a request's first lines."""
ACCEPTED = 8
"""Connections that are accepted in one turn of the event loop. Surplus ones are closed a few turns later."""
QUEUE = 128
"""Connections that wait in the system to be accepted."""
OTHERS = 96
"""Files that may be open beside the connections: pipes to workers, photos, connections yet to be closed."""
FEWEST = 8
LOOKS = 4
"""How often a connection is looked at in the time that it has for a request's first lines."""
SLOWEST = 4096
"""Bytes a second at which answers must be read."""
FULL = b'{"error": "too many connections are open"}'


class _Parser(h11.Connection):
    """Reads requests; h11 itself limits only first lines that come in several pieces."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what comes next; too long first lines are an error, in however few pieces they came."""
        if self.their_state is not h11.IDLE:
            return super().next_event()
        before = len(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request) and before - len(self.trailing_data[0]) > HEADERS:
            raise h11.RemoteProtocolError("the first lines are too long")
        return event


class Connection(H11Protocol):
    """One connection: its first lines must be few and come in time, and its answers must be read."""

    limits: ClassVar[Limits]
    most: ClassVar[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Parser(h11.SERVER, HEADERS)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; where there are too many, close the one that has waited longest for a request."""
        super().connection_made(transport)
        self._since = self._moved = self.loop.time()
        self._unread = 0
        self._look()
        there = [other for other in self.connections if not other.transport.is_closing()]
        if len(there) > self.most:
            self._make_room([other for other in there if isinstance(other, Connection) and other.idle])

    def _make_room(self, idle: list[Connection]) -> None:
        """Close the connection that has been idle longest; if there is none but this, refuse it."""
        oldest = min(idle, key=lambda other: other._since)
        if oldest is not self:
            oldest.transport.abort()
            return
        self.transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
            b"retry-after: 1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(FULL), FULL)
        )
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._next.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP and close; what the app would answer to its beginning goes nowhere."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # an answer is on its way, or was given
            self.transport.close()

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        self._since = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Note that a part of an answer was read."""
        self._moved = self.loop.time()
        super().resume_writing()

    @property
    def idle(self) -> bool:
        """Tell whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """Close the connection if nothing has come, or nothing was read, for too long."""
        now, head = self.loop.time(), self.limits.head
        unread = self.transport.get_write_buffer_size()
        if unread < self._unread - SLOWEST * head / LOOKS or not unread:
            self._moved = now
        self._unread = unread
        stuck = unread and now - self._moved > head
        if stuck or (self.idle and not unread and now - self._since > head):
            self.transport.abort()
            return
        self._next = self.loop.call_later(head / LOOKS, self._look)


class Server(uvicorn.Server):
    """A server that accepts few connections at a time, while many may wait."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(QUEUE)  # asyncio has set both to `backlog`


def make_server(app: Any, limits: Limits) -> uvicorn.Server:
    """Return a server of an app, to be run on a socket that listens."""
    most = max(FEWEST, min(limits.connections, _open_files() - OTHERS))
    protocol = type("Protocol", (Connection,), {"limits": limits, "most": most})
    config = uvicorn.Config(
        app, http=protocol, ws="none", backlog=ACCEPTED, h11_max_incomplete_event_size=HEADERS,
        timeout_graceful_shutdown=limits.stop, log_level="error", access_log=False, server_header=False,
        proxy_headers=False, timeout_keep_alive=ceil(limits.head) + 1,  # `Connection` is earlier
    )  # fmt: skip
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; port 0 is any that is free.

    TCP is asked for by name: only then asyncio sends each part of an answer at once; else the last waits
    40 ms (Nagle).

    Raises
    ------
    OutputError : nobody can listen there
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(QUEUE)  # who asks as soon as the address is printed waits, and is not refused
    except (OSError, OverflowError) as error:
        listening.close()
        raise OutputError(f"cannot listen on {host}:{port} ({error}); try --port 0") from error
    return listening


def _open_files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


__all__ = ["listen", "make_server"]

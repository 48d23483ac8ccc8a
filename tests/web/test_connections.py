"""Connections and uploads that stall, and too many of them."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from asking import FAST, FIRST

from meanshape.apps.web.limits import Limits
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import Service

Ask = Callable[..., socket.socket]


@pytest.fixture
def opened(served: Any) -> Iterator[Callable[..., tuple[Ask, Service]]]:
    """Return what starts a server with some limits; that answers what opens a connection and sends bytes."""
    stops: list[Callable[[], None]] = []
    sockets: list[socket.socket] = []

    def start(**limits: Any) -> tuple[Ask, Service]:
        service = Service(FAST, Limits(**limits))
        address, stop = served(create_app(service), service.limits)
        stops.append(stop)
        port = int(address.rpartition(":")[2])

        def ask(data: bytes = b"", rcvbuf: int | None = None) -> socket.socket:
            made = socket.socket()
            sockets.append(made)
            if rcvbuf is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            made.settimeout(20)
            made.connect(("127.0.0.1", port))
            made.sendall(data)
            return made

        return ask, service

    yield start
    for made in sockets:
        made.close()
    for stop in stops:
        stop()


HEALTH = b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n"
UPLOAD = (
    b"POST /v1/detect HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\n"
    b"content-length: %d\r\n\r\n"
)


def closed(connection: socket.socket) -> bool:
    """Wait until the other side closes a connection that it says nothing more on."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def answer(connection: socket.socket) -> bytes:
    """Read one answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or pytest.fail("closed")
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(*re.findall(rb"content-length: (\d+)", head))
    while len(body) < length:
        body += connection.recv(65536) or pytest.fail("closed")
    return head + body


def status(connection: socket.socket) -> int:
    """Read one answer and return its status."""
    return int(answer(connection).split(b" ")[1])


def test_places_are_given_before_bodies_come(opened: Any) -> None:
    ask, service = opened(workers=1, queue=1, in_flight=50_000, grace=30.0)
    first = ask(UPLOAD % 30_000)
    while service.waiting < 1:
        time.sleep(0.01)
    assert status(ask(UPLOAD % 30_000)) == 429  # not so many bytes
    second = ask(UPLOAD % 10_000)
    while service.waiting < 2:
        time.sleep(0.01)
    assert status(ask(UPLOAD % 1)) == 429  # no place
    assert status(ask(HEALTH)) == 200
    first.close(), second.close()
    while service.waiting:
        time.sleep(0.01)


@pytest.mark.parametrize("sent", [b"", b"--b\r\n", FIRST + b"x" * 2_000_000], ids=["none", "few", "many"])
def test_an_upload_that_stops_gives_its_place_back(sent: bytes, opened: Any) -> None:
    """However much of it came quickly."""
    ask, service = opened(grace=0.4, rate=1000)
    told = answer(ask(UPLOAD % 3_000_000 + sent))
    assert b" 408 " in told and b"1,000 bytes a second" in told
    assert service.waiting == service.in_flight == 0


def test_a_steady_upload_has_its_time(opened: Any) -> None:
    ask, _ = opened(grace=0.4, rate=1000)
    form = FIRST + b"x" * 2000 + b"\r\n--b--\r\n"
    connection = ask(UPLOAD % len(form))
    for first in range(0, len(form), 300):
        connection.sendall(form[first : first + 300])
        time.sleep(0.1)
    assert status(connection) == 422  # no picture


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", HEALTH[:-2], HEALTH])
def test_a_connection_that_says_nothing_is_closed(sent: bytes, opened: Any) -> None:
    """No request, a part of one, or none after the first."""
    ask, _ = opened(head=0.4)
    connection = ask(sent)
    if sent == HEALTH:
        assert status(connection) == 200
    assert closed(connection)


def test_first_lines_have_an_end(opened: Any) -> None:
    ask, _ = opened()
    assert status(ask(HEALTH[:-2] + b"x: " + b"y" * 40_000)) == 400


@pytest.mark.parametrize(
    "more", [b"x: " + b"y" * 17_000, b"x: y\r\n" * 3_000 + b"x: y", b"x:" + b" " * 17_000]
)
def test_first_lines_that_come_whole_have_an_end_too(more: bytes, opened: Any) -> None:
    """Also those of a later request on the same connection."""
    ask, _ = opened()
    assert status(ask(HEALTH[:-2] + more + b"\r\n\r\n")) == 400
    later = ask(
        HEALTH + HEALTH[:-2] + b"x: " + b"y" * 16_000 + b"\r\n\r\n" + HEALTH[:-2] + more + b"\r\n\r\n"
    )
    received = b""
    with suppress(ConnectionResetError):
        while part := later.recv(65536):
            received += part
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]


def test_an_answer_that_nobody_reads_is_dropped(opened: Any) -> None:
    ask, _ = opened(head=0.8)
    connection = ask(rcvbuf=4096)
    connection.sendall(HEALTH.replace(b"/v1/health", b"/v1/openapi.json") * 400)
    time.sleep(6)  # in which its answers fill what the system holds, and no more is read
    connection.settimeout(20)
    received = 0
    with pytest.raises(ConnectionResetError):
        while part := connection.recv(1 << 20):
            received += len(part)
        raise ConnectionResetError  # closed, and not all was sent
    assert received < 400 * 10_000
    assert status(ask(HEALTH)) == 200


def test_of_too_many_connections_the_oldest_idle_one_is_closed(opened: Any) -> None:
    ask, _ = opened(connections=8)
    idle = [ask(b"GET ") for _ in range(7)]
    kept = ask(HEALTH)
    assert status(kept) == 200
    more = [ask() for _ in range(5)]
    assert [closed(connection) for connection in idle[:5]] == [True] * 5
    kept.sendall(HEALTH)
    assert status(kept) == 200
    assert status(ask(HEALTH)) == 200
    assert more


def test_where_all_connections_are_busy_the_next_is_told_so(opened: Any) -> None:
    ask, service = opened(connections=8, grace=30.0)
    uploads = [ask(UPLOAD % 100) for _ in range(8)]
    while service.waiting < 8:
        time.sleep(0.01)
    told = answer(ask(HEALTH))
    assert b" 503 " in told and b"too many connections" in told and b"retry-after" in told
    uploads[0].close()
    while service.waiting > 7:
        time.sleep(0.01)
    assert status(ask(HEALTH)) == 200


def test_a_server_that_ends_tells_those_who_wait(served: Any, capfd: pytest.CaptureFixture[str]) -> None:
    service = Service(FAST, Limits(stop=1, grace=30.0))
    address, stop = served(create_app(service), service.limits)
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 20) as waiting:
        waiting.sendall(UPLOAD % 1000)
        while service.waiting < 1:
            time.sleep(0.01)
        stop()
        told = answer(waiting)
    assert b" 503 " in told and b"the server is stopping" in told
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="the number of open files is set by the shell")
def test_half_open_connections_do_not_stop_a_server_with_few_files() -> None:
    """140 connections that never finish their first lines, where a process may have 128 files open."""
    command = f"ulimit -n 128; exec {sys.executable} -m meanshape serve --port 0 --model cpr --workers 1"
    with subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stderr.readline().split("/")[2].rpartition(":")[2])
            with ExitStack() as half:
                for _ in range(140):
                    connection = half.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                    with suppress(OSError):  # closed already, for another one
                        connection.sendall(b"GET / HTTP/1.1\r\nhost: ")
                for _ in range(3):
                    with socket.create_connection(("127.0.0.1", port), timeout=60) as asking:
                        asking.sendall(HEALTH)
                        assert status(asking) == 200
        finally:
            server.send_signal(signal.SIGINT)
        assert "Too many open files" not in server.stderr.read()
    assert server.returncode in (0, 130)


CHUNKED = b"%s HTTP/1.1\r\nhost: %s\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED % (b"GET /", b"localhost") + b"zz\r\n",
        CHUNKED % (b"GET /", b"evil") + b"zz\r\n",
        CHUNKED % (b"POST /v1/detect", b"localhost") + b"5\r\nhello\r\nzz\r\n",
        CHUNKED % (b"POST /v1/detect", b"localhost") + b"5\r\nhello\r\n\r\n",
        HEALTH + b"nonsense\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello!!\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_what_is_no_http_leaves_no_trace_in_the_log(opened: Any, caplog: Any, sent: bytes) -> None:
    ask, _ = opened()
    for cut in (0, len(sent) - 4):
        connection = ask(sent[:cut])
        if cut:
            time.sleep(0.05)  # its answer may be on the way when the rest comes
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent[cut:])
        while True:
            try:
                if not connection.recv(65536):
                    break
            except (ConnectionResetError, TimeoutError):
                break
        connection.close()
    assert status(ask(HEALTH)) == 200
    assert not [record for record in caplog.records if record.exc_info or "failed" in record.getMessage()]

"""Work that takes too long or dies, and the processes that are replaced for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Any

import numpy as np
import pytest
from asking import FAST, PHOTO, asked, endless, gone, picture, post

from meanshape.apps.web.limits import Limits
from meanshape.apps.web.service import Service
from meanshape.apps.web.workers import FailedError, LostError, NoWorkerError, Worker


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One worker that is ready."""
    made = Service(FAST, Limits(workers=1, queue=1))
    made.workers.start(), made.workers.wait_until_ready()
    yield made
    made.close()


def test_a_worker_that_overruns_is_replaced() -> None:
    service = Service(FAST, Limits(workers=1, seconds=2))
    workers = service.workers
    with asked(service) as client:
        workers.start(), workers.wait_until_ready()
        before = workers._all[0].pid
        answer = post(client, endless())
        assert answer.status_code == 503 and "longer than 2 seconds" in answer.json()["error"]
        assert answer.headers["retry-after"] == "1"
        assert workers._all[0].pid != before and gone(before)
        workers.wait_until_ready()
        assert post(client, PHOTO.read_bytes()).status_code == 200
        assert client.get("/v1/health").json()["waiting"] == 0


def test_a_batch_has_its_time_for_each_picture() -> None:
    """Pictures that take half the time each are all answered; one that takes too long ends the batch."""
    service = Service(FAST, Limits(workers=1, seconds=0.5))

    async def half(worker: Any, job: str, data: Any, details: Any) -> Any:
        await asyncio.sleep(9 if data == b"slow" else 0.3)
        return "cpr" if job == "name" else b"{}"

    service.workers._do = half
    with asked(service) as client:
        files = [("images", (f"{n}.jpg", b"x")) for n in range(4)]
        answer = client.post("/v1/detect/batch", files=files)
        assert answer.json() == {"results": [{}] * 4}
        answer = client.post("/v1/detect/batch", files=[*files, ("images", ("s.jpg", b"slow"))])
        assert answer.status_code == 503


def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    async def ask(data: bytes) -> bytes:
        return await service.workers.ask("detect", data, name="x", options={"markup": "mtfl5"})

    async def kill_meanwhile() -> None:
        asking = asyncio.ensure_future(ask(endless()))
        await asyncio.sleep(0.3)
        os.kill(service.workers._all[0].pid, signal.SIGTERM)
        await asking

    with pytest.raises(LostError, match="process that worked on this was lost"):
        asyncio.run(kill_meanwhile())
    assert b'"mtfl5"' in asyncio.run(ask(PHOTO.read_bytes()))
    os.kill(service.workers._all[0].pid, signal.SIGTERM)  # between two requests
    service.workers._all[0]._process.join()
    assert b'"mtfl5"' in asyncio.run(ask(PHOTO.read_bytes()))


class Refusing(SpawnProcess):
    """A process that the system does not start."""

    def start(self) -> None:
        raise OSError(11, "Resource temporarily unavailable")


def test_a_process_that_could_not_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(FAST, Limits(workers=1))
    worker = service.workers._all[0]
    with asked(service) as client, monkeypatch.context() as patched:
        patched.setattr("multiprocessing.context.SpawnContext.Process", Refusing)
        with pytest.raises(NoWorkerError, match=r"no process could be started .*temporarily unavailable"):
            worker.start()
        worker.kill()  # of nothing
        worker.replace()  # the next request is told
        assert worker.pid is None and worker._pipe is None
        for _ in range(2):
            answer = post(client, PHOTO.read_bytes())
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert "no process could be started" in answer.json()["error"]
        patched.undo()
        assert post(client, PHOTO.read_bytes()).status_code == 200  # there is room again
    worker.close()


def test_files_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*given: Any) -> None:
        raise OSError(24, "Too many open files")

    worker = Worker({}, Limits())
    monkeypatch.setattr("multiprocessing.context.SpawnContext.Pipe", none)
    with pytest.raises(NoWorkerError, match="Too many open files"):
        worker.start()
    worker.close()


def test_an_unforeseen_error_is_a_500_and_the_worker_goes(capfd: pytest.CaptureFixture[str]) -> None:
    service = Service(FAST, Limits(workers=1))
    service.workers.start(), service.workers.wait_until_ready()
    before = service.workers._all[0].pid
    with pytest.raises(FailedError, match="AttributeError"):
        asyncio.run(service.workers.ask("no such job"))
    assert service.workers._all[0].pid != before
    assert "no such job" in capfd.readouterr().err  # for whoever runs the server
    service.close()


def test_workers_leave_with_the_server_even_if_it_is_killed() -> None:
    code = (
        "import sys\n"
        "from meanshape.apps.web.limits import Limits\n"
        "from meanshape.apps.web.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers({'model': 'cpr'}, Limits()); workers.start(); workers.wait_until_ready()\n"
        "    print(*(w.pid for w in workers._all), flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as server:
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 2
        server.kill()
    deadline = time.monotonic() + 10
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(gone, pids))


def test_requests_wait_in_turn_and_those_of_a_video_for_their_worker() -> None:
    service = Service(FAST, Limits(workers=2))
    first, second = service.workers._all

    async def go() -> list[Worker]:
        taken = [await service.workers._take(None), await service.workers._take(None)]
        assert taken == [first, second]
        waiting = [asyncio.ensure_future(service.workers._take(w)) for w in (second, None, None)]
        await asyncio.sleep(0)
        service.workers._give(first)
        given_up = waiting.pop()
        given_up.cancel()
        await asyncio.sleep(0)
        service.workers._give(second)
        got = [await one for one in waiting]
        assert not service.workers._free and not service.workers._waiting
        return got

    assert asyncio.run(go()) == [second, first]
    service.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
def test_a_worker_has_so_much_memory() -> None:
    service = Service(FAST, Limits(workers=1, memory=500_000_000, pixels=100_000_000))
    large = picture(np.zeros((9000, 9000, 3), np.uint8), compress_level=1)
    with asked(service) as client:
        answer = post(client, large, min_face=200)
        assert answer.status_code == 422 and "memory" in answer.json()["error"]
        assert post(client, PHOTO.read_bytes()).status_code == 200

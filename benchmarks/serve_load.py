"""Fifty clients ask a server for a minute: which answers they get, how fast, and what memory it takes.

    python benchmarks/serve_load.py PHOTO [--clients 50] [--seconds 60] [--large PHOTO] [--json FILE]

Starts `meanshape serve` on a free port. Answers must be 200 or 429 and nothing else, and memory flat. With
`--large`, a photo of 12 megapixels: how long one request takes, alone, by the page's way.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import threading
import time
from collections import Counter
from pathlib import Path

from running import served

BOUNDARY = "meanshape-load"


def body_of(photo: Path) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{photo.name}"\r\n\r\n'
    return head.encode() + photo.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/v1/detect", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def memory(process: int) -> float:
    """Megabytes of the server and its workers; what they share counts once."""
    workers = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    texts = [Path(f"/proc/{number}/smaps_rollup").read_text() for number in (process, *workers)]
    return sum(int(re.search(r"Pss:\s+(\d+)", text)[1]) for text in texts) / 1e3  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--large", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with served() as (port, process):
        body, found = body_of(given.photo), {}
        ask(port, body)
        if given.large:
            large, times = body_of(given.large), []
            for _ in range(5):
                start = time.perf_counter()
                assert ask(port, large) == 200
                times.append(time.perf_counter() - start)
            found["seconds_large"] = [round(t, 2) for t in times]
        answers: Counter[str] = Counter()
        until = time.monotonic() + given.seconds

        def client() -> None:
            while time.monotonic() < until:
                try:
                    answers[str(ask(port, body))] += 1
                except OSError as error:
                    answers[type(error).__name__] += 1

        threads = [threading.Thread(target=client) for _ in range(given.clients)]
        for thread in threads:
            thread.start()
        rows = []
        while time.monotonic() < until:
            time.sleep(given.seconds / 10)
            rows.append(round(memory(process), 1))
        for thread in threads:
            thread.join()
        found |= {
            "answers": dict(answers),
            "memory_mb": rows,
            "good_per_second": answers["200"] / given.seconds,
        }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

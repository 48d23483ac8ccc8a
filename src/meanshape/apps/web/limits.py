"""What a server takes on, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes on.

    Attributes
    ----------
    workers : requests that are worked on at a time, each in a process of its own
    queue : requests that wait; one more is told to come again (429)
    seconds : one picture may take, waiting included
    bytes, pixels : of one picture
    looks : pixels that the search for faces looks at in one picture, over all scales
        and turns
    batch : pictures in one request
    body : bytes of one request with several pictures
    in_flight : bytes of all requests that are coming in or are worked on
    json : bytes of a request that is no picture
    memory : bytes that a worker may take (on Linux, where no device but the CPU is asked for)
    connections : open at a time
    head : seconds for a request's first lines, and until the next request on the same connection
    grace, rate : an upload may lag behind `rate` bytes a second by `grace` seconds
    stop : seconds in which requests may still be answered when the server ends
    """

    workers: int = 2
    queue: int = 16
    seconds: float = 30.0
    bytes: int = 32_000_000
    pixels: int = 60_000_000
    looks: int = 32_000_000
    batch: int = 32
    body: int = 128_000_000
    in_flight: int = 256_000_000
    json: int = 2_000_000
    memory: int = 2_000_000_000
    connections: int = 64
    head: float = 10.0
    grace: float = 5.0
    rate: int = 64_000
    stop: int = 3

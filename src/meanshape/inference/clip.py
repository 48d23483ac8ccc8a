"""Video files, read frame by frame through PyAV: true timestamps, frames as players show them, sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from meanshape.core.errors import ImageError, MissingExtra
from meanshape.core.image import Pixels
from meanshape.core.regular import open_regular

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".gif")
"""What counts as a video by name; whatever else PyAV can read is read, too."""
WIDEST = 10
"""Ratios of a pixel's sides beyond this are errors of the file."""
ALONE = {"protocol_whitelist": "none"}
"""What keeps FFmpeg from opening another file: playlists, which have a video's name, name such."""
CLOCKS = ("mpeg", "mpegts")
"""Formats whose times come from the sender's clock; in others the file begins at 0."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its number, its time in seconds, and upright RGB pixels (H, W, 3), square ones."""

    number: int
    time: float
    pixels: Pixels


class Clip:
    """A video file that is being read; a context manager.

    Attributes
    ----------
    count : frames that the file promises, 0 where it does not say
    seconds : how long it is, 0 where it does not say
    rate : frames per second on average, 25 where it does not say
    broken : packets that could not be decoded, so far
    """

    def __init__(self, path: str | Path) -> None:
        """Open a video; `ImageError` if it is none."""
        self._av = pyav()
        self.path, self.broken = Path(path), 0
        try:
            self._bytes = open_regular(path)
        except FileNotFoundError:
            raise ImageError(f"{path}: there is no such file") from None
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
        try:
            self._file = self._av.open(self._bytes, options=ALONE)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            self._bytes.close()
            why = getattr(error, "strerror", None) or error  # not FFmpeg's number of it
            raise ImageError(f"{path}: not a video that can be read ({why})") from error
        films = [stream for stream in self._file.streams.video if not _is_cover(stream)]
        if not films or films[0].codec_context is None:
            self.close()
            raise ImageError(f"{path}: holds no video" + (" that this FFmpeg can decode" if films else ""))
        self._video = films[0]
        self._video.thread_type = "AUTO"
        self.audio = self._file.streams.audio[0] if self._file.streams.audio else None
        self.count = int(self._video.frames or 0)
        self.seconds = float(self._file.duration or 0) / 1e6
        self.rate = float(self._video.average_rate or 25)
        begins = (self._file.start_time or 0) if self._file.format.name in CLOCKS else 0
        self._begins = Fraction(begins, 1_000_000)

    def frames(self, on_audio: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """Yield the frames in order; packets that are broken are counted and left out.

        Parameters
        ----------
        on_audio : is given every packet of the audio, to be written beside the frames
        """
        number, last = 0, -1.0
        streams = [self._video] if self.audio is None or on_audio is None else [self._video, self.audio]
        for packet in self._packets(streams):
            if packet.stream.type == "audio":
                if on_audio is not None and packet.dts is not None:
                    on_audio(self._shifted(packet))
                continue
            for frame in self._decoded(packet):
                time = last + 1 / self.rate if frame.time is None else float(frame.time - self._begins)
                time = max(time, last + 1e-4)  # broken stamps must not run backwards
                yield Frame(number, time, _shown(frame, self._video.sample_aspect_ratio))
                number, last = number + 1, time
        if not number:
            raise ImageError(f"{self.path}: no frame of this video could be decoded")

    def _packets(self, streams: list[Any]) -> Iterator[Any]:
        """Yield packets until the file ends or nothing more can be read of it."""
        packets = self._file.demux(*streams)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except self._av.error.FFmpegError:  # truncated: what was read so far is all there is
                self.broken += 1
                return

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except self._av.error.FFmpegError:
            self.broken += 1
            return []

    def _shifted(self, packet: Any) -> Any:
        """Return a packet with its times counted as those of the frames are."""
        if self._begins:
            by = round(self._begins / packet.time_base)
            packet.dts -= by
            packet.pts = None if packet.pts is None else packet.pts - by
        return packet

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._bytes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _shown(frame: Any, ratio: Any) -> Pixels:
    """Return a frame's RGB pixels: made square by widening or heightening, then turned as the file asks."""
    size = {}
    if ratio and ratio != 1 and 1 / WIDEST < ratio < WIDEST:
        width, height = round(frame.width * max(ratio, 1)), round(frame.height / min(ratio, 1))
        size = {"width": width, "height": height, "interpolation": "BICUBIC"}
    pixels: Pixels = frame.to_ndarray(format="rgb24", **size)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _is_cover(stream: Any) -> bool:
    """Tell whether a stream is a picture that belongs to a sound, not a film."""
    return bool(stream.disposition & stream.disposition.attached_pic)


def pyav() -> Any:
    """Return PyAV, or say how to get it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtra.of("video", "Reading and writing video") from error
    return av

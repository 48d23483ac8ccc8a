"""Video files, read frame by frame and written again, through PyAV: true timestamps, rotation, audio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from meanshape.core.errors import ImageError, MissingExtra, OutputError
from meanshape.core.image import Pixels

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".gif")
"""What counts as a video by name; whatever else PyAV can read is read, too."""
TICK = Fraction(1, 90_000)
"""The unit of written timestamps, seconds: divides the frame times of all usual rates."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its number, its time in seconds, and upright RGB pixels (H, W, 3)."""

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
        self._av = _av()
        self.path, self.broken = Path(path), 0
        try:
            self._file = self._av.open(os.fspath(path))
        except FileNotFoundError:
            raise ImageError(f"{path}: there is no such file") from None
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise ImageError(f"{path}: not a video that can be read ({error})") from error
        if not self._file.streams.video:
            self._file.close()
            raise ImageError(f"{path}: holds no video")
        self._video = self._file.streams.video[0]
        self._video.thread_type = "AUTO"
        self.audio = self._file.streams.audio[0] if self._file.streams.audio else None
        self.count = int(self._video.frames or 0)
        self.seconds = float(self._file.duration or 0) / 1e6
        self.rate = float(self._video.average_rate or 25)

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
                    on_audio(packet)
                continue
            for frame in self._decoded(packet):
                time = float(frame.time) if frame.time is not None else last + 1 / self.rate
                time = max(time, last + 1e-4)  # broken stamps must not run backwards
                yield Frame(number, time, _upright(frame))
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

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Recorder:
    """A video file that is being written: H.264 in whatever container the suffix names.

    It is written beside its place and moved there by `close`, so that there is a whole file or none; after
    an interruption `close` still makes a file that plays.

    Parameters
    ----------
    path : the file
    rate : frames per second, for players; each frame has its own time
    audio : an audio stream of a `Clip`, to be copied as it is
    """

    def __init__(self, path: str | Path, rate: float, audio: Any = None) -> None:
        """Open the file; `OutputError` if that cannot be."""
        self._av = _av()
        self.path, self._rate = Path(path), rate
        self._stream: Any = None
        self._last = -1
        self._early: list[Any] = []  # sound that came before the first frame
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.path.parent, prefix=".", suffix=self.path.suffix, delete=False
            ) as file:
                self._scratch = Path(file.name)
            self._file = self._av.open(str(self._scratch), "w")
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{path}: cannot be written as a video ({error})") from error
        self._video = self._file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._video.pix_fmt = "yuv420p"
        self._video.options = {"preset": "veryfast", "crf": "20"}
        self._video.codec_context.time_base = TICK
        self._audio = None if audio is None else self._file.add_stream_from_template(audio)

    def add(self, pixels: Pixels, time: float) -> None:
        """Write a frame; an odd last row or column is left out, for H.264 has none."""
        height, width = (length // 2 * 2 for length in pixels.shape[:2])
        if self._stream is None:
            self._video.width, self._video.height = width, height
            self._stream = self._video
        frame = self._av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels[: self._video.height, : self._video.width]), format="rgb24"
        )
        self._last = max(round(time / TICK), self._last + 1)
        frame.pts, frame.time_base = self._last, TICK
        self._mux(self._video.encode(frame))
        while self._early:
            self._mux([self._early.pop(0)])

    def add_audio(self, packet: Any) -> None:
        """Copy a packet of the audio."""
        if self._audio is not None:
            packet.stream = self._audio
            if self._stream is None:  # writing anything would settle the size of the picture
                self._early.append(packet)
            else:
                self._mux([packet])

    def _mux(self, packets: list[Any]) -> None:
        try:
            for packet in packets:
                self._file.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{self.path}: cannot be written ({error})") from error

    def close(self) -> None:
        """Finish the file and put it in its place."""
        try:
            if self._stream is not None:
                self._mux(self._video.encode(None))
            self._file.close()
            self._scratch.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error})") from error
        finally:
            self._scratch.unlink(missing_ok=True)


def _upright(frame: Any) -> Pixels:
    """Return a frame's RGB pixels, turned as its file asks."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtra.of("video", "Reading and writing video") from error
    return av

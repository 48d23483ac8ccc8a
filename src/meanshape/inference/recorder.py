"""Video files that are written: picture and sound, in what the container of the suffix can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from meanshape.core.errors import OutputError
from meanshape.core.files import check_place
from meanshape.core.image import Pixels, warp
from meanshape.inference.clip import pyav
from meanshape.inference.outputs import writable


@dataclass(frozen=True, slots=True)
class Container:
    """How a kind of video file is written.

    Attributes
    ----------
    name : FFmpeg's name of the format
    video, pixels, options : the encoder of the picture, its pixel format and its settings
    sound : the encoder of sound that cannot be copied; None: the container holds no sound
    copied : codecs of sound that are copied as they are
    tick : the unit of frame times, seconds; None: one frame, as the container knows no other
    """

    name: str
    video: str
    pixels: str
    options: dict[str, str]
    sound: str | None
    copied: frozenset[str]
    tick: Fraction | None


H264 = {"preset": "veryfast", "crf": "20"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"}
Q3 = {"flags": "+qscale", "global_quality": str(3 * 118)}  # FF_QP2LAMBDA
FINE = Fraction(1, 90_000)  # divides the frame times of all usual rates
COMMON = frozenset({"aac", "mp3", "ac3", "eac3", "alac"})
MP4 = COMMON | {"opus", "flac"}
RAW = frozenset({"pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8"})
CONTAINERS = {
    ".mp4": Container("mp4", "libx264", "yuv420p", H264, "aac", MP4, FINE),
    ".m4v": Container("mp4", "libx264", "yuv420p", H264, "aac", MP4, FINE),
    ".mov": Container(
        "mov", "libx264", "yuv420p", H264, "aac", COMMON | RAW | {"pcm_mulaw", "pcm_alaw", "pcm_s16be"}, FINE
    ),
    ".mkv": Container(
        "matroska", "libx264", "yuv420p", H264, "aac",
        COMMON | RAW | {"opus", "vorbis", "flac", "mp2", "dts"}, Fraction(1, 1000),
    ),
    ".webm": Container(
        "webm", "libvpx-vp9", "yuv420p", VP9, "libopus", frozenset({"opus", "vorbis"}), Fraction(1, 1000)
    ),
    ".avi": Container(
        "avi", "mpeg4", "yuv420p", Q3, "libmp3lame",
        frozenset({"mp3", "mp2", "ac3", "pcm_s16le", "pcm_u8", "pcm_mulaw", "pcm_alaw"}), None,
    ),
    ".gif": Container("gif", "gif", "pal8", {}, None, frozenset(), Fraction(1, 100)),
}  # fmt: skip
"""The files that can be written, by suffix."""


class Recorder:
    """A video file that is being written.

    It is written beside its place and moved there by `close`, so that there is a whole file or none; after
    an interruption `close` still makes a file that plays. The picture has the size of the first frame.

    Parameters
    ----------
    path : the file; its suffix is one of `CONTAINERS`
    rate : frames per second, for players; each frame has its own time
    audio : an audio stream of a `Clip`: copied where the container can hold it, else encoded anew or left out

    Attributes
    ----------
    notes : what is not in the file as it was in the source, in words
    """

    def __init__(self, path: str | Path, rate: float, audio: Any = None) -> None:
        """Check that the file can be written; `OutputError` if not."""
        self._av = pyav()
        self.path, self._rate, self._source = Path(path), Fraction(rate).limit_denominator(1001), audio
        kind = CONTAINERS.get(self.path.suffix.lower())
        if kind is None:
            known = ", ".join(CONTAINERS)
            raise OutputError(f"{path}: a video cannot be written as {self.path.suffix!r}; {known} can")
        self._kind = kind
        self._tick = kind.tick or 1 / self._rate
        self.notes: list[str] = []
        writable(self.path.parent)
        check_place(self.path)
        if self.path.is_dir():
            raise OutputError(f"{path}: a folder; the output is a file of that suffix")
        self._scratch = self.path.with_name(f".{self.path.stem[:40]}.{os.getpid()}.part{self.path.suffix}")
        self._file: Any = None
        self._video: Any = None
        self._sound: Any = None
        self._last = -1
        self._early: list[Any] = []  # sound that came before the first frame

    def add(self, pixels: Pixels, time: float) -> None:
        """Write a frame, without an odd last row or column (codecs want even sizes); one that is larger or
        smaller than the first is scaled into its size.
        """
        if self._file is None:
            self._open(pixels)
        self._last = max(round(time / self._tick), self._last + 1)
        frame = self._frame(self._fitted(pixels, time))
        frame.pts, frame.time_base = self._last, self._tick
        self._mux(self._video.encode(frame))

    def add_audio(self, packet: Any) -> None:
        """Write a packet of the sound."""
        if self._file is None:  # the size of the picture is not known yet
            self._early.append(packet)
        elif self._sound is not None:
            try:
                for made in self._heard(packet):
                    self._file.mux(made)
            except (self._av.error.FFmpegError, ValueError) as error:
                where = 0.0 if packet.pts is None else float(packet.pts * packet.time_base)
                self.notes.append(f"the sound is left out from {where:.1f} s on ({_said(error)})")
                self._sound = None

    def close(self) -> None:
        """Finish the file and put it in its place; without a frame there is none."""
        if self._file is None:
            return
        try:
            if self._sound is not None and not self._copies:
                self._mux(self._sound.encode(None))
            self._mux(self._video.encode(None))
            self._file.close()
            self._scratch.replace(self.path)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self.path}: cannot be written ({_said(error)})") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            with suppress(Exception):  # closing writes, and may fail as what came before did
                self._file.close()
        self._scratch.unlink(missing_ok=True)

    def _open(self, pixels: Pixels) -> None:
        """Open the file for frames of this size, with the sound as well as the container can hold it."""
        self._shape = pixels.shape[:2]
        self._height, self._width = (max(2, length // 2 * 2) for length in self._shape)
        failed: Exception | None = None
        for codec in self._sounds():
            try:
                self._begin(codec)
            except (self._av.error.FFmpegError, OSError, ValueError) as error:
                self.discard()
                failed = error
                continue
            if self._source is not None and not self._copies:
                name = _codec_of(self._source) or "of an unknown kind"
                how = "is left out" if self._sound is None else f"becomes {_codec_of(self._sound)}"
                self.notes.append(f"{self.path.suffix} cannot hold the sound ({name}): it {how}")
            break
        else:
            raise OutputError(f"{self.path}: cannot be written as a video ({_said(failed)})") from failed
        for packet in self._early:
            self.add_audio(packet)
        self._early.clear()

    def _sounds(self) -> Iterator[str | None]:
        """Yield what to try with the sound, best first: "copy", an encoder, or None for no sound."""
        if self._source is not None and (codec := _codec_of(self._source)) is not None:
            if codec in self._kind.copied:
                yield "copy"
            if self._kind.sound is not None:
                yield self._kind.sound
        yield None

    def _begin(self, sound: str | None) -> None:
        """Write the head of the file."""
        self._file = self._av.open(str(self._scratch), "w", format=self._kind.name)
        self._video = self._file.add_stream(self._kind.video, rate=self._rate, options=self._kind.options)
        self._video.width, self._video.height = self._width, self._height
        self._video.pix_fmt = self._kind.pixels
        self._video.codec_context.time_base = self._tick
        self._sound, self._copies = None, sound == "copy"
        if self._copies:
            self._sound = self._file.add_stream_from_template(self._source)
        elif sound is not None:
            self._sound = self._file.add_stream(sound, **_like(self._av, self._source, sound))
        self._file.start_encoding()

    def _heard(self, packet: Any) -> Iterator[Any]:
        """Yield what is written for a packet of the sound."""
        if self._copies:
            packet.stream = self._sound
            yield packet
        else:
            for frame in packet.decode():
                yield from self._sound.encode(frame)

    def _fitted(self, pixels: Pixels, time: float) -> Pixels:
        """Return a frame in the size of the file."""
        if pixels.shape[:2] == self._shape:
            cut = pixels[: self._height, : self._width]
            missing = [(0, self._height - cut.shape[0]), (0, self._width - cut.shape[1]), (0, 0)]
            return np.ascontiguousarray(np.pad(cut, missing, mode="edge") if min(self._shape) < 2 else cut)
        if not any("changes its size" in note for note in self.notes):
            said = f"the picture changes its size at {time:.2f} s: scaled into {self._width} x {self._height}"
            self.notes.append(said)
        return _letterboxed(pixels, self._width, self._height)

    def _frame(self, pixels: Pixels) -> Any:
        """Return pixels as PyAV's frame; of a GIF with a palette of its own."""
        if self._kind.pixels != "pal8":
            return self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        from PIL import Image

        few = Image.fromarray(pixels).quantize(256, method=Image.Quantize.FASTOCTREE)
        palette = np.full((256, 4), 255, np.uint8)  # alpha first
        colors = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(colors), 1:] = colors
        return self._av.VideoFrame.from_ndarray((np.asarray(few), palette), format="pal8")

    def _mux(self, packets: list[Any]) -> None:
        try:
            for packet in packets:
                self._file.mux(packet)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{self.path}: cannot be written ({_said(error)})") from error


def _letterboxed(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the whole frame in the middle of a black one of this size."""
    high, wide = pixels.shape[:2]
    factor = min(width / wide, height / high)
    size = (max(1, round(wide * factor)), max(1, round(high * factor)))
    x, y = size[0] / wide, size[1] / high
    small = warp(pixels, [[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]], size)
    out = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out


def _codec_of(audio: Any) -> str | None:
    """Return the codec of a stream; None where this FFmpeg does not know it."""
    return None if audio.codec_context is None else str(audio.codec_context.codec.canonical_name)


def _like(av: Any, source: Any, encoder: str) -> dict[str, Any]:
    """Return the sample rate and channels of a sound for an encoder, none of it lost if that can be."""
    heard = source.codec_context
    rates = av.codec.Codec(encoder, "w").audio_rates or [heard.sample_rate]
    above = [rate for rate in rates if rate >= heard.sample_rate]
    rate = min(above) if above else max(rates)
    return {"rate": rate, "layout": "mono" if heard.channels == 1 else "stereo"}


def _said(error: Exception | None) -> str:
    """Return what an error says, without the name of the scratch file."""
    return str(getattr(error, "strerror", None) or error)

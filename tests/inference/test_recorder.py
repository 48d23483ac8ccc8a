"""Video files that are written: each kind with its times, sound that fits or is made to, sizes, leftovers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meanshape.core.errors import OutputError
from meanshape.inference.clip import Clip
from meanshape.inference.recorder import CONTAINERS, Recorder

av = pytest.importorskip("av")
TIMES = [0.0, 0.04, 0.12, 0.16, 0.2, 0.4]
RATE = 44100


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def with_sound(path: Path, codec: str, frames: int = 10, late: float = 0.0, channels: str = "stereo") -> Path:
    """A clip with a tone, which may begin late."""
    with av.open(str(path), "w") as file:
        picture = file.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = file.add_stream(codec, rate=48000 if codec == "libopus" else RATE, layout=channels)
        for number in range(frames):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(grey(20 * number), format="rgb24")))
        tone = np.sin(np.arange(RATE * frames // 25) / 16).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone[None], 2, 0), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, round(late * RATE), Fraction(1, RATE)
        file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
        file.mux(picture.encode(None))
    return path


def recorded(source: Path, target: Path) -> Recorder:
    """Write a clip again as `meanshape video` does."""
    with Clip(source) as clip:
        recorder = Recorder(target, clip.rate, clip.audio)
        for frame in clip.frames(recorder.add_audio):
            recorder.add(frame.pixels, frame.time)
        recorder.close()
    return recorder


def sound_of(path: Path) -> tuple[str, float, float] | None:
    """Return codec, start and length of the sound in a file, seconds."""
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return None
        codec = file.streams.audio[0].codec_context.codec.canonical_name
        frames = list(file.decode(audio=0))
        samples = sum(frame.samples for frame in frames)
        return codec, frames[0].time, samples / frames[0].sample_rate


@pytest.mark.parametrize("suffix", list(CONTAINERS))
def test_every_kind_of_file_holds_frames_and_times(tmp_path: Path, suffix: str) -> None:
    recorder = Recorder(tmp_path / f"a{suffix}", 25)
    for number, time in enumerate(TIMES):
        recorder.add(grey(20 + 30 * number), time)
    recorder.close()
    with Clip(tmp_path / f"a{suffix}") as clip:
        frames = list(clip.frames())
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-3)
    assert [frame.pixels.mean() for frame in frames] == pytest.approx(
        [20 + 30 * n for n in range(len(TIMES))], abs=4
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("source", "codec", "target", "wanted", "note"),
    [
        ("a.mov", "pcm_mulaw", "b.mov", "pcm_mulaw", None),
        ("a.mov", "pcm_mulaw", "b.mp4", "aac", "(pcm_mulaw): it becomes aac"),
        ("a.mov", "pcm_mulaw", "b.mkv", "aac", "becomes aac"),
        ("a.avi", "pcm_s16le", "b.avi", "pcm_s16le", None),
        ("a.avi", "pcm_s16le", "b.mp4", "aac", "becomes aac"),
        ("a.avi", "pcm_s16le", "b.webm", "opus", "becomes opus"),
        ("a.mp4", "aac", "b.avi", "mp3", "becomes mp3"),
        ("a.mp4", "aac", "b.gif", None, "left out"),
        ("a.mkv", "libopus", "b.mp4", "opus", None),
    ],
)
def test_sound_is_copied_made_anew_or_left_out(
    tmp_path: Path, source: str, codec: str, target: str, wanted: str | None, note: str | None
) -> None:
    recorder = recorded(with_sound(tmp_path / source, codec), tmp_path / target)
    heard = sound_of(tmp_path / target)
    assert (heard and heard[0]) == wanted
    assert heard is None or heard[2] == pytest.approx(0.4, abs=0.08)
    assert (note is None) == (not recorder.notes) and all(str(note) in said for said in recorder.notes)
    with Clip(tmp_path / target) as clip:
        assert len(list(clip.frames())) == 10


@pytest.mark.parametrize("target", ["b.mkv", "b.mp4", "b.webm"])
def test_sound_that_begins_late_stays_late(tmp_path: Path, target: str) -> None:
    recorded(with_sound(tmp_path / "a.mkv", "aac", late=0.3), tmp_path / target)
    heard = sound_of(tmp_path / target)
    assert heard is not None and heard[1] == pytest.approx(0.3, abs=0.03)


def test_mono_stays_mono(tmp_path: Path) -> None:
    recorded(with_sound(tmp_path / "a.avi", "pcm_s16le", channels="mono"), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as file:
        assert file.streams.audio[0].codec_context.channels == 1


def test_sound_that_breaks_in_the_middle_costs_the_sound_alone(tmp_path: Path) -> None:
    source, target = with_sound(tmp_path / "a.mkv", "aac"), tmp_path / "b.mp4"
    with Clip(source) as clip:
        recorder = Recorder(target, clip.rate, clip.audio)
        packets = 0

        def add(packet: Any) -> None:
            nonlocal packets
            packets += 1
            if packets > 5:
                packet.pts = packet.dts = 0  # backwards: no muxer takes that
            recorder.add_audio(packet)

        for frame in clip.frames(add):
            recorder.add(frame.pixels, frame.time)
        recorder.close()
    assert packets > 6 and len(recorder.notes) == 1 and "left out from" in recorder.notes[0]
    with Clip(target) as clip:
        assert len(list(clip.frames())) == 10


def test_a_frame_of_another_size_is_shown_whole(tmp_path: Path) -> None:
    """It was cropped: the right and lower part of a clip that grew was gone."""
    recorder = Recorder(tmp_path / "a.mp4", 25)
    recorder.add(grey(200, (48, 64)), 0.0)
    wide = grey(0, (120, 240))
    wide[:, :120] = 200  # the left half
    recorder.add(wide, 0.04)
    recorder.add(wide, 0.08)
    recorder.close()
    with Clip(tmp_path / "a.mp4") as clip:
        *_, last = (frame.pixels.mean(axis=2) for frame in clip.frames())
    assert last.shape == (48, 64)
    assert last[24, :28].mean() > 180 and last[24, 36:].mean() < 20
    assert last[:6].mean() < 20 and last[-6:].mean() < 20  # bars
    assert recorder.notes == ["the picture changes its size at 0.04 s: scaled into 64 x 48"]


@pytest.mark.parametrize(("size", "wanted"), [((49, 63), (48, 62)), ((1, 1), (2, 2)), ((1, 65), (2, 64))])
def test_sizes_are_even(tmp_path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    recorder = Recorder(tmp_path / "a.mp4", 25)
    for number in range(3):
        recorder.add(grey(90, size), number / 25)
    recorder.close()
    with Clip(tmp_path / "a.mp4") as clip:
        assert next(iter(clip.frames())).pixels.shape[:2] == wanted


def test_what_was_there_stays_unless_a_film_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    Recorder(path, 25).close()
    assert path.read_bytes() == b"older"
    recorder = Recorder(path, 25)
    recorder.add(grey(90), 0.0)
    recorder.discard()
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("")
    for name, said in (
        ("a.nothing", "'.nothing'; .mp4, "),
        ("a", "cannot be written as ''"),
        ("folder.mp4", "a folder"),
        ("file/a.mp4", "a file, not a folder"),
    ):
        with pytest.raises(OutputError, match=said):
            Recorder(tmp_path / name, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.mp4"]

"""Video files that are read: times, rotation, broken, cut and unknown ones."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meanshape.core.errors import ImageError
from meanshape.inference import camera
from meanshape.inference.clip import Clip
from meanshape.inference.recorder import Recorder

av = pytest.importorskip("av")
SIZE = (96, 128)


def write(path: Path, times: list[float], size: tuple[int, int] = SIZE) -> Path:
    """A clip whose frames grow lighter."""
    recorder = Recorder(path, 25)
    for number, time in enumerate(times):
        recorder.add(np.full((*size, 3), 20 + 4 * number, np.uint8), time)
    recorder.close()
    return path


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.1, 0.35, 0.36, 1.0]
    with Clip(write(tmp_path / "a.mp4", times)) as opened:
        frames = list(opened.frames())
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-4)
    assert [frame.number for frame in frames] == list(range(6))
    assert [int(frame.pixels.mean()) for frame in frames] == pytest.approx(
        [20 + 4 * n for n in range(6)], abs=3
    )


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", PLAYLIST.format("other.ts")),
        ("list.m3u8", PLAYLIST.format("../other.ts")),
        ("list.m3u8", PLAYLIST.format("http://127.0.0.1:9/other.ts")),
        ("list.mp4", "ffconcat version 1.0\nfile other.ts\n"),
    ],
)
def test_a_playlist_leads_to_no_other_file(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for place in (tmp_path, tmp_path / "inner"):
        with av.open(str(place / "other.ts"), "w", format="mpegts") as file:
            stream = file.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            for packet in [*(p for _ in range(6) for p in stream.encode(picture)), *stream.encode(None)]:
                file.mux(packet)
        with Clip(place / "other.ts") as opened:
            assert len(list(opened.frames())) == 6
    (tmp_path / "inner" / name).write_text(text)
    with pytest.raises(ImageError, match="not a video that can be read"):
        Clip(tmp_path / "inner" / name)
    with pytest.raises(ImageError, match="not a video that can be read"):
        next(camera.frames(str(tmp_path / "inner" / name)))  # a file that stands for a camera


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes of that kind")
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(ImageError, match="a pipe or a device"):
        Clip(tmp_path / "a.mp4")


def test_odd_sizes_lose_a_row_and_a_column(tmp_path: Path) -> None:
    with Clip(write(tmp_path / "a.mp4", [0.0, 0.1], size=(49, 63))) as opened:
        assert next(iter(opened.frames())).pixels.shape == (48, 62, 3)


def test_a_clip_that_was_filmed_sideways_stands_upright(tmp_path: Path) -> None:
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a clip that says it is turned")
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :32] = 255  # light on the left
        for packet in [
            *stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")),
            *stream.encode(None),
        ]:
            file.mux(packet)
    with av.open(str(path)) as file:
        turn = next(file.decode(video=0)).rotation
    with Clip(path) as opened:
        (frame,) = opened.frames()
    assert turn % 180 == 90 and frame.pixels.shape == (64, 48, 3)
    wanted = np.rot90(pixels, turn // 90)
    assert np.abs(frame.pixels.astype(int) - wanted).mean() < 5


def test_a_truncated_clip_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    whole = write(path, [n / 25 for n in range(50)], size=(240, 320)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with Clip(path) as opened:
        assert 0 < len(list(opened.frames())) < 50


def test_broken_packets_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    start = data.find(b"\x89PNG", len(data) // 2)
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with Clip(path) as opened:
        assert len(list(opened.frames())) == 9 and opened.broken == 1


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00" * 5000])
def test_what_is_no_video_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.mp4"):
        Clip(path)
    with pytest.raises(ImageError, match="no such file"):
        Clip(tmp_path / "none.mp4")


def test_times_of_a_broadcast_begin_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        rng = np.random.default_rng(0)
        for number in range(5):
            noise = rng.integers(0, 256, (48, 64, 3), np.uint8)  # of a file too small nothing is known
            frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
            frame.pts = 25 * 3600 + number
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with Clip(path) as opened:
        assert [frame.time for frame in opened.frames()] == pytest.approx(
            [n / 25 for n in range(5)], abs=0.05
        )


def test_a_clip_that_nobody_can_decode_and_sound_alone_are_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [0.0, 0.04])
    unknown = tmp_path / "b.mp4"
    unknown.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(ImageError, match="no video that this FFmpeg can decode"):
        Clip(unknown)
    with av.open(str(tmp_path / "c.m4a"), "w", format="ipod") as file:
        sound = file.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        file.mux([*sound.encode(frame), *sound.encode(None)])
    with pytest.raises(ImageError, match="holds no video"):
        Clip(tmp_path / "c.m4a")


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    """A picture in an ID3 tag; FFmpeg calls it a video stream."""
    cover, song = io.BytesIO(), tmp_path / "a.mp3"
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    body = b"\0image/jpeg\0\x03\0" + cover.getvalue()
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    with av.open(str(song), "w", format="mp3") as file:
        sound = file.add_stream("mp3", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        file.mux([*sound.encode(silence), *sound.encode(None)])
    song.write_bytes(b"ID3\x03\0\0" + size + frame + song.read_bytes())
    with av.open(str(song)) as file:
        assert file.streams.video
    with pytest.raises(ImageError, match="holds no video"):
        Clip(song)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile '/etc/hostname'\n", "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"]
)
def test_a_playlist_under_a_video_s_name_is_refused_in_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(ImageError, match="not a video that can be read") as told:
        Clip(tmp_path / "a.mp4")
    assert "Errno" not in str(told.value)

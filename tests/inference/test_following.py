"""Frames and predictions of files, cameras and lists: `follow`, and a tracker in a loop of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import meanshape as ms
from meanshape.core.errors import ConfigError, ImageError
from meanshape.inference import following, tracking
from meanshape.inference.clip import Clip
from meanshape.inference.options import FollowOptions, PipelineOptions, Settings
from meanshape.inference.pipeline import SETTINGS, Pipeline
from meanshape.inference.recorder import Recorder

BLUE = np.full((96, 128, 3), (20, 90, 200), np.uint8)


class Camera:
    """OpenCV's camera before a blue wall."""

    opened: list[Camera]

    def __init__(self, source: Any) -> None:
        self.source, self.released = source, False
        self.opened.append(self)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return -1.0

    def read(self) -> tuple[bool, Any]:
        return True, BLUE[:, :, ::-1].copy()

    def release(self) -> None:
        self.released = True


@pytest.fixture
def options(model_folder: Path) -> dict[str, Any]:
    return {"detector": "whole_image", "model": model_folder}


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list[Camera]:
    Camera.opened = []
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    return Camera.opened


@pytest.fixture
def film(tmp_path: Path) -> Path:
    pytest.importorskip("av")
    recorder = Recorder(tmp_path / "a.mp4", 25)
    for number in range(3):
        recorder.add(BLUE, number / 25)
    recorder.close()
    return tmp_path / "a.mp4"


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_frames_come_in_the_order_that_was_asked_for(
    color: Any, options: dict[str, Any], cameras: list[Camera], film: Path
) -> None:
    """The model sees RGB whatever comes in, and what is yielded has the order of what is given."""
    wanted = BLUE if color == "rgb" else BLUE[:, :, ::-1]
    Image.fromarray(BLUE).save(film.with_suffix(".png"))
    for source in (0, film, str(film), [wanted] * 3, iter([film.with_suffix(".png")] * 3)):
        with ms.follow(source, color=color, **options) as frames:
            frame, prediction = next(frames)
        assert np.abs(frame.astype(int) - wanted).max() < 12, source
        assert frame.flags.c_contiguous and frame.dtype == np.uint8
        assert prediction.size == (128, 96) and prediction.faces[0].track == 0
        with pytest.raises(StopIteration):
            next(frames)


def test_the_model_sees_rgb_whatever_the_order(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(tracking.cuts, "thumbnail", lambda pixels: seen.append(pixels) or np.zeros((9, 9)))
    next(ms.follow([BLUE], **options))
    next(ms.follow([BLUE[:, :, ::-1]], color="bgr", **options))
    ms.Tracker(color="bgr", **options)(BLUE[:, :, ::-1])
    assert all((pixels == BLUE).all() for pixels in seen) and len(seen) == 3


def test_a_stream_is_opened_by_its_address(options: dict[str, Any], cameras: list[Camera]) -> None:
    _, prediction = next(ms.follow("rtsp://10.0.0.7/live", **options))
    assert prediction.source is not None and prediction.source.startswith("rtsp://10.0.0.7/live#t=")
    assert cameras[0].source == "rtsp://10.0.0.7/live"


def test_a_camera_is_released(options: dict[str, Any], cameras: list[Camera]) -> None:
    frames = ms.follow(0, **options)
    assert not cameras  # opened with the first frame
    next(frames)
    assert not cameras[0].released
    frames.close()
    assert cameras[0].released
    for _ in ms.follow(0, **options):
        break
    assert cameras[1].released
    next(iter(ms.video(0, **options)))
    assert cameras[2].released


def test_a_file_is_closed(options: dict[str, Any], film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(Clip, "close", lambda clip, close=Clip.close: closed.append(clip) or close(clip))
    with ms.follow(film, **options) as frames:
        next(frames)
        assert not closed
    assert len(closed) == 1
    assert [p.source for _, p in ms.follow(film, **options)] == [f"{film}#t={n / 25:.4f}" for n in range(3)]
    assert len(closed) == 2


def test_frames_of_a_generator_are_asked_for_one_by_one(options: dict[str, Any]) -> None:
    asked = []

    def pictures() -> Iterator[Any]:
        for number in range(5):
            asked.append(number)
            yield BLUE

    frames = ms.follow(pictures(), **options)
    next(frames)
    next(frames)
    assert asked == [0, 1]


def in_a_thread(what: Any) -> Any:
    """Run a coroutine where no loop can be running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, what).result()


def test_async_for(options: dict[str, Any], cameras: list[Camera], film: Path) -> None:
    async def all_of(source: Any) -> list[Any]:
        return [prediction.faces[0].track async for _, prediction in ms.follow(source, **options)]

    async def some_of_a_camera() -> int:
        ticks = 0
        pairs = aiter(ms.follow(0, **options))
        async for _ in pairs:
            ticks += 1
            if ticks == 2:
                break
        await pairs.aclose()  # type: ignore[attr-defined]
        return ticks

    assert in_a_thread(all_of(film)) == [0, 0, 0]
    assert in_a_thread(some_of_a_camera()) == 2 and cameras[0].released


def test_a_cancelled_loop_closes_after_the_frame_that_is_worked_on(
    options: dict[str, Any], cameras: list[Camera]
) -> None:
    async def cancelled() -> None:
        pairs = aiter(ms.follow(0, **options))

        async def endless() -> None:
            async for _ in pairs:
                started.set()

        started = asyncio.Event()
        task = asyncio.create_task(endless())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pairs.aclose()  # type: ignore[attr-defined]

    in_a_thread(cancelled())
    assert cameras[0].released


def test_an_error_comes_through_async_for(options: dict[str, Any], tmp_path: Path) -> None:
    async def first() -> None:
        async for _ in ms.follow([tmp_path / "none.png"], **options):
            pass

    with pytest.raises(ImageError, match="there is no such file"):
        in_a_thread(first())


def test_wrong_words_are_said_at_once(options: dict[str, Any]) -> None:
    for wrong, said in (
        ({"color": "grb"}, "color must be"),
        ({"rate": -1}, "rate is"),
        ({"every": 0}, "every"),
    ):
        with pytest.raises(ConfigError, match=said):
            ms.follow([], **options | wrong)
    with pytest.raises(ImageError, match="a video is a file"):
        ms.follow(b"bytes", **options)


def test_a_tracker_makes_its_pipeline_or_changes_the_settings_of_a_given_one(options: dict[str, Any]) -> None:
    own = ms.Tracker(color="bgr", max_faces=1, **options)
    assert own.pipeline.color == "bgr" and own.pipeline.max_faces == 1
    given = Pipeline(**options)
    assert ms.Tracker(given).pipeline is given
    changed = ms.Tracker(given, color="bgr")
    assert changed.pipeline.color == "bgr" and changed.pipeline.model is given.model and given.color == "rgb"
    with pytest.raises(ConfigError, match="not emotion: make another"):
        ms.Tracker(given, emotion=True)


def test_time_is_the_clocks_where_none_is_given(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([70.0, 70.5, 72.0])
    monkeypatch.setattr(tracking.clock, "monotonic", lambda: next(now))
    tracker = ms.Tracker(**options)
    seen = []
    for _ in range(3):
        assert [face.track for face in tracker(BLUE).faces] == [0]
        seen.append(tracker.tracks[0].seen)
    assert seen == [0.0, 0.5, 2.0]
    with pytest.raises(ConfigError, match="of all frames or of none"):
        tracker(BLUE, 2.5)
    timed = ms.Tracker(**options)
    timed(BLUE, 0)
    with pytest.raises(ConfigError, match="of all frames or of none"):
        timed(BLUE)
    with pytest.raises(ConfigError, match="a frame's time must be finite"):
        timed(BLUE, float("nan"))


def test_the_typed_options_are_those_of_the_classes() -> None:
    pipeline = set(signature(Pipeline).parameters)
    tracker = set(signature(ms.Tracker).parameters) - {"pipeline", "options"}
    assert set(PipelineOptions.__annotations__) == pipeline
    assert set(Settings.__annotations__) == set(SETTINGS)
    assert set(FollowOptions.__annotations__) == (pipeline | tracker) - {"color"}
    assert following.follow is ms.follow

"""Cameras: absent, lost, and what else may stand for one."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.errors import ConfigError, ImageError, MissingExtra
from meanshape.inference.video import video

shipped = pytest.mark.skipif(
    not {"dan", "mtcnn"} <= set(weights.names()), reason="the weights of dan and mtcnn are not here"
)


def test_a_camera_that_is_not_there_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["webcam", "/nowhere/camera", "--headless"]) not in (0, 1)
    assert capfd.readouterr().err.splitlines() == [  # OpenCV would add lines of its own
        "meanshape: camera /nowhere/camera cannot be opened; is it there, and not in use elsewhere?"
    ]


@pytest.mark.parametrize("source", ["9" * 14, "crypto:a.mp4", "subfile,,start,0,end,9,,:a.mp4"])
def test_what_is_no_camera_is_one_sentence(
    source: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"no film" * 100)
    assert main(["webcam", source, "--headless"]) == 3
    (line,) = capfd.readouterr().err.splitlines()
    assert f"camera {source[:50]}" in line and "cannot be opened" in line


class Camera:
    """OpenCV's camera, which is unplugged after some pictures."""

    def __init__(self, source: Any, left: int = 3) -> None:
        self.left = left

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return -1.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, np.full((96, 128, 3), (200, 90, 20), np.uint8)  # blue

    def release(self) -> None:
        pass


def test_a_camera_that_is_lost_is_said(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended with exit code 0 and not a word."""
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    words = ["webcam", "0", "--headless", "--model", str(model_folder)]
    assert main(words) == ImageError.exit_code
    shown = capsys.readouterr()
    assert "no picture came after 3 frames" in shown.err and len(shown.out.splitlines()) == 3
    assert main([*words, "--frames", "3"]) == 0
    monkeypatch.setattr("cv2.VideoCapture", lambda source: Camera(source, 0))
    assert main(words) == ImageError.exit_code


def test_where_opencv_has_no_windows_the_camera_is_in_a_page(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    httpx = pytest.importorskip("httpx2")
    pytest.importorskip("uvicorn")
    seen: list[np.ndarray] = []
    looked: list[int] = []

    def look() -> None:
        address = capsys.readouterr().err.split()[0]
        with httpx.Client(follow_redirects=True) as client:
            root = address.split("?")[0]
            looked.append(client.get(root).status_code)  # without the token
            looked.append(client.get(address).status_code)
            looked.append(client.get(root, headers={"host": "elsewhere.example"}).status_code)
            with client.stream("GET", f"{root}stream") as answer:
                data = b""
                for chunk in answer.iter_bytes():
                    data += chunk
                    if data.count(b"--picture") > 2:
                        break
        jpeg = data[data.index(b"\xff\xd8") : data.index(b"--picture", 5)]
        seen.append(np.asarray(Image.open(io.BytesIO(jpeg))))

    class Watched(Camera):
        """One that stays until a page has looked."""

        thread: threading.Thread | None = None

        def read(self) -> tuple[bool, Any]:
            if self.thread is None:
                self.thread = threading.Thread(target=look)
                self.thread.start()
            time.sleep(0.02)
            return self.thread.is_alive(), np.full((96, 128, 3), (200, 90, 20), np.uint8)

    monkeypatch.setattr("cv2.VideoCapture", Watched)
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "  GUI:                           NONE\n")
    assert main(["webcam", "0", "--model", str(model_folder)]) == ImageError.exit_code  # then it is lost
    assert looked == [401, 200, 421]
    assert seen[0].shape == (96, 128, 3) and abs(seen[0][0, 0].astype(int) - (20, 90, 200)).max() < 12


def test_without_windows_and_page_the_command_says_what_to_install(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "  GUI:                           NONE\n")
    monkeypatch.setitem(sys.modules, "meanshape.apps.web.stream", None)
    assert main(["webcam", "0", "--model", str(model_folder)]) == MissingExtra.exit_code
    assert "pip install 'meanshape[web]'" in capsys.readouterr().err


def test_a_window_is_used_where_there_is_one(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    monkeypatch.setattr("cv2.getBuildInformation", lambda: "  GUI:                           QT5\n")
    monkeypatch.setattr("cv2.imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr("cv2.waitKey", lambda wait: ord("q") if len(shown) == 2 else -1)
    assert main(["webcam", "0", "--model", str(model_folder)]) == 0
    assert len(shown) == 2 and shown[0][0, 0].tolist() == [200, 90, 20]  # OpenCV's order


@shipped
def test_a_file_may_stand_for_a_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96))
    for _ in range(3):
        writer.write(np.full((96, 128, 3), 90, np.uint8))
    writer.release()
    assert main(["webcam", str(path), "--headless", "--frames", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["webcam", str(path), "--headless"]) == 0  # a file just ends
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_video_may_be_a_camera_or_frames(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"detector": "whole_image", "model": model_folder}
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    assert next(video(np.int64(0), **options)).source.startswith("0#")
    followed = video(0, **options, color="bgr")  # arrays of ours are RGB, whatever users have
    seen = [next(followed) for _ in range(3)]
    assert [p.source.split("#")[0] for p in seen] == ["0"] * 3 and seen[2].faces[0].track == 0
    with pytest.raises(ImageError, match="no picture came"):
        next(followed)
    pictures = [np.full((96, 128, 3), 90, np.uint8)] * 3
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    for frames in (pictures, iter(pictures), np.stack(pictures), [tmp_path / "a.png"] * 3):
        found = list(video(frames, rate=10, **options))
        assert [p.source.split("#")[1] for p in found] == ["t=0.0000", "t=0.1000", "t=0.2000"]
        assert [p.faces[0].track for p in found] == [0, 0, 0]


@pytest.mark.parametrize("source", [None, True, 1.5, b"bytes", np.zeros((4, 4, 3), np.uint8), object()])
def test_what_is_no_video_is_an_error(source: Any) -> None:
    with pytest.raises(ImageError, match="a video is a file, a camera's number or the frames"):
        video(source)
    with pytest.raises(ConfigError, match="frames a second"):
        video([], rate=0)
    with pytest.raises(ConfigError, match="rate must be a number, not '25'"):
        video([], rate="25")


@pytest.mark.parametrize("source", ["clip.mp4", 0, []])
def test_wrong_options_are_said_before_any_frame_is_asked_for(source: Any, model_folder: Path) -> None:
    with pytest.raises(ConfigError, match="every must be"):
        video(source, every=0, detector="whole_image", model=model_folder)

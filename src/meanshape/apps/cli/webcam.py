"""Follow the faces before a camera, in a window or as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, ImageError
from meanshape.core.image import read_image

if TYPE_CHECKING:
    from meanshape.core.image import Pixels

app = typer.Typer()
QUIT = (27, ord("q"))


@app.command()
def webcam(
    camera: Annotated[str, typer.Argument(help="The camera's number, a device file, or a stream.")] = "0",
    headless: Annotated[bool, typer.Option("--headless", help="No window: JSON Lines on stdout.")] = False,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    min_face: options.MinFace = 80,
    smoothing: Annotated[str, typer.Option(help="one_euro, kalman or none.")] = "one_euro",
    threads: options.Threads = 1,
) -> None:
    """Follow the faces before a camera, in a window or as lines of JSON; q or Ctrl-C ends.

    Nothing is stored.
    """
    from meanshape.inference.outputs import Printed
    from meanshape.inference.overlay import draw
    from meanshape.inference.video import make_tracker

    tracker = make_tracker(
        model=model, licence=licence, min_face=min_face, threads=threads, smoothing=smoothing
    )
    printed, show = Printed(), None if headless else _window()
    try:
        for number, (pixels, seconds) in enumerate(_frames(camera), 1):
            prediction = tracker(pixels, seconds, source=f"{camera}#t={seconds:.4f}")
            if show is None:
                printed.add(prediction)
            elif show(draw(pixels, prediction)):
                break
            if number == frames:
                break
    except KeyboardInterrupt:
        console.say("stopped")


def _frames(camera: str) -> Iterator[tuple[Pixels, float]]:
    """Yield a camera's pictures and their times, until it ends."""
    import cv2

    source: Any = int(camera) if camera.isdecimal() else camera
    opened = cv2.VideoCapture(source)
    if not opened.isOpened():
        raise ImageError(f"camera {camera} cannot be opened; is it there, and not in use elsewhere?")
    start = time.perf_counter()
    try:
        while True:
            there, picture = opened.read()
            if not there:
                return
            yield read_image(picture, "bgr"), time.perf_counter() - start
    finally:
        opened.release()


def _window() -> Any:
    """Return a function that shows pixels and tells whether a key asked to stop."""
    import cv2

    def show(pixels: Pixels) -> bool:
        try:
            cv2.imshow("meanshape (q ends)", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            return cv2.waitKey(1) & 0xFF in QUIT
        except cv2.error as error:
            raise ConfigError(
                "this OpenCV has no windows: add --headless, or pip install opencv-python in place of "
                "opencv-python-headless"
            ) from error

    return show

"""Follow the faces before a camera, in a window, in a page or as lines of JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from meanshape.core.image import Pixels

app = typer.Typer()
QUIT = (27, ord("q"))


@app.command()
def webcam(
    camera: Annotated[str, typer.Argument(help="The camera's number, a device file, or a stream.")] = "0",
    headless: Annotated[bool, typer.Option("--headless", help="JSON Lines on stdout instead.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the page.", show_default="any that is free")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    min_face: Annotated[float, typer.Option(help="The smallest face to look for, in pixels.")] = 80,
    smoothing: Annotated[str, typer.Option(help="one_euro, kalman or none.")] = "one_euro",
    threads: options.Threads = 1,
    device: options.Device = None,
) -> None:
    """Follow the faces before a camera, in a window, in a page or as lines of JSON; q or Ctrl-C ends.

    The page is shown where OpenCV has no windows, as the one that comes with Meanshape; this machine alone
    reaches it, and only with the token in its address. Nothing is stored.
    """
    if headless and port is not None:
        raise ConfigError("--headless shows no page: leave out --port")
    from meanshape.inference import camera as cameras
    from meanshape.inference.following import moment
    from meanshape.inference.overlay import draw
    from meanshape.inference.printing import JsonLinesPrinter
    from meanshape.inference.tracking import Tracker

    chosen: Any = {"licence": licence, "smoothing": smoothing}
    tracker = Tracker(model=model, min_face=min_face, threads=threads, device=device, **chosen)
    printed = JsonLinesPrinter()
    try:
        with nullcontext() if headless else _view(port or 0) as show:
            for frame in cameras.frames(camera):
                prediction = tracker(frame.pixels, frame.time, source=moment(camera, frame.time))
                if show is None:
                    printed.add(prediction)
                elif show(draw(frame.pixels, prediction)):
                    break
                if frame.number + 1 == frames:
                    break
    except KeyboardInterrupt:
        console.say("stopped")


@contextmanager
def _view(port: int) -> Iterator[Callable[[Pixels], bool]]:
    """Yield what shows pixels and tells whether to stop: in a window if OpenCV has any, else in a page."""
    import cv2

    if re.search(r"GUI:\s*NONE", cv2.getBuildInformation()) is None:
        yield _in_window
        return
    try:
        from meanshape.apps.web.stream import served
    except ImportError as error:
        raise MissingExtra(
            "this OpenCV has no windows: pip install 'meanshape[web]' to see the camera in a page, or "
            "opencv-python in place of opencv-python-headless for a window, or add --headless for JSON"
        ) from error
    with served(port) as (stream, address):
        console.say(f"{address}  (Ctrl-C ends)", plain=True)

        def in_page(pixels: Pixels) -> bool:
            stream.show(pixels)
            return False

        yield in_page


def _in_window(pixels: Pixels) -> bool:
    import cv2

    cv2.imshow("meanshape (q ends)", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF in QUIT

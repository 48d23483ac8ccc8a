"""Follow the faces through a video, with points for each frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from meanshape.inference.clip import Clip, Recorder
    from meanshape.inference.outputs import Written
    from meanshape.inference.tracking import Tracker

app = typer.Typer()

Every = Annotated[int, typer.Option(min=1, help="Frames between two looks for new faces.")]
Stages = Annotated[
    int | None, typer.Option(min=1, help="Run only the first so many stages: quicker, less accurate.")
]
Smoothing = Annotated[str, typer.Option(help="one_euro, kalman or none; see meanshape jitter.")]


@app.command()
def video(
    clip: Annotated[Path, typer.Argument(help="A video file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The video with the points drawn, .mp4 or .mkv.")
    ] = None,
    points: Annotated[Path | None, typer.Option(help="A .jsonl or .csv file, one entry a frame.")] = None,
    model: options.Model = None,
    markup: options.MarkUp = None,
    licence: options.Licence = "any",
    min_face: options.MinFace = 40,
    max_faces: options.MaxFaces = None,
    every: Every = 15,
    smoothing: Smoothing = "one_euro",
    stages: Stages = None,
    threads: options.Threads = 1,
    numbers: options.Numbers = False,
) -> None:
    """Follow the faces through a video: points for each frame, and the video with them drawn.

    Ctrl-C ends early and leaves files that can be used.
    """
    from meanshape.inference.clip import Clip, Recorder
    from meanshape.inference.outputs import Written
    from meanshape.inference.video import make_tracker

    if output is None and points is None:
        raise ConfigError("nothing to write: name a video with -o, or a file of points with --points")
    if points is not None and points.suffix.lower() == ".pts":
        raise FormatError("a .pts file holds one frame; write .jsonl or .csv", path=points)
    if output is not None and output.exists() and output.samefile(clip):
        raise ConfigError(f"{output} is the video itself; choose another output")
    tracker = make_tracker(
        model=model, markup=markup, licence=licence, min_face=min_face, max_faces=max_faces,
        threads=threads, every=every, smoothing=smoothing, stages=stages,
    )  # fmt: skip
    with Clip(clip) as opened:
        recorder = None if output is None else Recorder(output, opened.rate, opened.audio)
        written = None if points is None else Written(points, [], tracker.pipeline.name)
        counts = _follow(opened, tracker, recorder, written, numbers)
    console.table([*counts, ("broken packets, skipped", str(opened.broken))])
    console.say(f"written: {', '.join(str(place) for place in (output, points) if place)}", plain=True)


def _follow(
    clip: Clip, tracker: Tracker, recorder: Recorder | None, written: Written | None, numbers: bool
) -> list[tuple[str, str]]:
    """Go through the frames and return what a table says of them; Ctrl-C only ends it."""
    from meanshape.inference.overlay import Style, draw
    from meanshape.inference.video import moment

    style, faces, seconds, number = Style(numbers=numbers), 0, 0.0, 0
    on_audio = None if recorder is None else recorder.add_audio
    try:
        with console.progress(clip.count or round(clip.seconds * clip.rate), "frames") as step:
            for frame in clip.frames(on_audio):
                prediction = tracker(frame.pixels, frame.time, source=moment(clip.path, frame.time))
                if written is not None:
                    written.add(prediction)
                if recorder is not None:
                    recorder.add(draw(frame.pixels, prediction, style), frame.time)
                number, faces = number + 1, faces + len(prediction.faces)
                seconds += prediction.seconds
                step()
    except KeyboardInterrupt:
        console.say(f"stopped after {number} frames; what there is can be used")
    finally:
        _finish(recorder, written, number)
    rate = f"{number / seconds:.0f}" if seconds else "-"
    return [
        ("frames", str(number)),
        ("faces", str(faces)),
        ("looks of the detector", str(tracker.looks)),
        ("frames per second, without decoding and drawing", rate),
    ]


def _finish(recorder: Recorder | None, written: Written | None, count: int) -> None:
    """Make files of what there is."""
    if recorder is not None:
        recorder.close()
    if written is not None:
        written.finish() if count else written.discard()

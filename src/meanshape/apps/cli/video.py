"""Follow the faces through a video, with points for each frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, FormatError, OutputError

if TYPE_CHECKING:
    from meanshape.core.image import Pixels
    from meanshape.core.prediction import Prediction
    from meanshape.inference.clip import Clip
    from meanshape.inference.outputs import FileWriter
    from meanshape.inference.overlay import Style
    from meanshape.inference.recorder import Recorder
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
        Path | None,
        typer.Option(
            "-o", "--output", help="The video with the points drawn: .mp4, .mkv, .mov, .webm, .avi, .gif."
        ),
    ] = None,
    points: Annotated[Path | None, typer.Option(help="A .jsonl or .csv file, one entry a frame.")] = None,
    model: options.Model = None,
    markup: options.MarkUp = None,
    licence: options.Licence = "any",
    min_face: options.MinFace = None,
    max_faces: options.MaxFaces = None,
    turns: options.Turns = "auto",
    every: Every = 15,
    smoothing: Smoothing = "one_euro",
    stages: Stages = None,
    threads: options.Threads = 1,
    device: options.Device = None,
    numbers: options.Numbers = False,
) -> None:
    """Follow the faces through a video: points for each frame, and the video with them drawn.

    Ctrl-C ends early and leaves files that can be used.
    """
    from meanshape.inference.clip import Clip
    from meanshape.inference.outputs import FileWriter
    from meanshape.inference.overlay import Style
    from meanshape.inference.recorder import Recorder
    from meanshape.inference.tracking import Tracker

    _check(clip, output, points)
    if numbers and output is None:
        raise ConfigError("--numbers are drawn on the video: name one with -o")
    chosen: Any = {"licence": licence, "turns": turns, "smoothing": smoothing}
    tracker = Tracker(
        model=model, markup=markup, min_face=min_face, max_faces=max_faces, threads=threads, device=device,
        every=every, stages=stages, **chosen,
    )  # fmt: skip
    with Clip(clip) as opened:
        written = None if points is None else FileWriter(points, [], tracker.pipeline.name, anew=True)
        try:
            recorder = None if output is None else Recorder(output, opened.rate, opened.audio)
        except BaseException:
            if written is not None:
                written.discard()
            raise
        film = _Film(recorder, Style(numbers=numbers), alone=written is None)
        counts = _follow(opened, tracker, film, written)
    for note in film.notes:
        console.say(note)
    console.table([*counts, ("broken packets, skipped", str(opened.broken))])
    made = [None if film.error else output, None if written is None else written.written]
    if any(made):
        told = ", ".join(f"{place} ({counts[0][1]} frames)" for place in made if place)
        console.say(f"written: {told}", plain=True)
    if film.error is not None:
        raise film.error


LABELS = (".jsonl", ".csv", ".json", ".xml", ".parquet")


def _check(clip: Path, output: Path | None, points: Path | None) -> None:
    """Say what cannot be written before there is any work to lose."""
    if output is None and points is None:
        raise ConfigError("nothing to write: name a video with -o, or a file of points with --points")
    if points is not None and (kind := points.suffix.lower()) in (".pts", ".ljson"):
        raise FormatError(f"a {kind} file holds one frame; write .jsonl or .csv", path=points)
    if points is not None and (points.is_dir() or not points.suffix):
        where = points / f"{clip.stem}.jsonl"
        raise OutputError(f"{points}: the points of all frames go into one file, such as {where}")
    if output is not None and output.suffix.lower() in LABELS:
        raise ConfigError(f"{output}: -o is the video with the points drawn; points go to --points {output}")
    if output is not None and output.exists() and clip.exists() and output.samefile(clip):
        raise ConfigError(f"{output} is the video itself; choose another output")


class _Film:
    """The video with the points drawn. What goes wrong with it must not cost the points: it is kept, to be
    said when they are written.
    """

    def __init__(self, recorder: Recorder | None, style: Style, alone: bool) -> None:
        self.recorder, self.style, self.alone = recorder, style, alone
        self.error: OutputError | None = None
        self.on_audio = None if recorder is None else self._add_audio

    @property
    def notes(self) -> list[str]:
        return [] if self.recorder is None else self.recorder.notes

    def add(self, pixels: Pixels, prediction: Prediction, time: float) -> None:
        from meanshape.inference.overlay import draw

        if self.recorder is not None and self.error is None:
            self._try(lambda recorder: recorder.add(draw(pixels, prediction, self.style), time))

    def _add_audio(self, packet: Any) -> None:
        if self.error is None:
            self._try(lambda recorder: recorder.add_audio(packet))

    def close(self) -> None:
        if self.error is None:
            self._try(lambda recorder: recorder.close())

    def _try(self, step: Callable[[Recorder], None]) -> None:
        if self.recorder is None:
            return
        try:
            step(self.recorder)
        except OutputError as error:
            self.recorder.discard()
            self.error = error
            if self.alone:
                raise


def _follow(clip: Clip, tracker: Tracker, film: _Film, written: FileWriter | None) -> list[tuple[str, str]]:
    """Go through the frames and return what a table says of them; Ctrl-C only ends it."""
    from meanshape.inference.following import moment

    faces, seconds, number = 0, 0.0, 0
    try:
        with console.progress(clip.count or round(clip.seconds * clip.rate), "frames") as step:
            for frame in clip.frames(film.on_audio):
                prediction = tracker(frame.pixels, frame.time, source=moment(clip.path, frame.time))
                if written is not None:
                    written.add(prediction)
                film.add(frame.pixels, prediction, frame.time)
                number, faces = number + 1, faces + len(prediction.faces)
                seconds += prediction.seconds
                step()
    except KeyboardInterrupt:
        console.say(f"stopped after {number} frames; what there is can be used")
    finally:
        _finish(film, written, number)
    rate = f"{number / seconds:.0f}" if seconds else "-"
    return [
        ("frames", str(number)),
        ("faces", str(faces)),
        ("looks of the detector", str(tracker.looks)),
        ("frames per second, without decoding and drawing", rate),
    ]


def _finish(film: _Film, written: FileWriter | None, count: int) -> None:
    """Make files of what there is."""
    try:
        film.close()
    finally:
        if written is not None:
            written.finish() if count else written.discard()

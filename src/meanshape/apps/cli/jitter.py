"""Measure jitter and lag of tracked points, to choose a smoothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError

app = typer.Typer()
FRAMES = 60


@app.command()
def jitter(
    clip: Annotated[
        Path | None, typer.Argument(help="A video; without, a still and a moving face are rendered.")
    ] = None,
    smoothing: Annotated[list[str] | None, typer.Option(help="What to try; may be repeated.")] = None,
    frames: Annotated[
        int | None, typer.Option(min=20, help="Frames of the rendered clips.", show_default="60")
    ] = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    min_face: options.MinFace = None,
    threads: options.Threads = 1,
    device: options.Device = None,
) -> None:
    """Measure jitter and lag of tracked points, to choose a smoothing.

    Jitter and error are percent of the face's size; lag is in frames. Of a video nobody knows the true
    points: its lag is against the unsmoothed ones.
    """
    from meanshape.evaluation import jitter as measured
    from meanshape.inference.pipeline import Pipeline
    from meanshape.inference.smoothing import SMOOTHERS, smoother

    if clip is not None and frames is not None:
        raise ConfigError(f"--frames is for rendered clips, and {clip} is a video: leave it out")
    names = smoothing or list(SMOOTHERS)
    for name in names:
        smoother(name)
    options: Any = {"licence": licence, "min_face": min_face, "threads": threads, "device": device}
    pipeline = Pipeline(model=model, **options)
    if clip is None:
        clips = {kind: measured.rendered(kind, frames or FRAMES) for kind in ("still", "moving")}
    else:
        clips = {str(clip): measured.filmed(clip)}
    rows = []
    for title, pictures in clips.items():
        for row in measured.compare(measured.follow(pictures, pipeline), names):
            error = "-" if row.error is None else f"{row.error:.2f}"
            rows.append([title, row.smoothing, f"{row.jitter:.3f}", f"{row.lag:.2f}", error])
    console.grid(rows, ("clip", "smoothing", "jitter %", "lag, frames", "error %"), right=(2, 3, 4))

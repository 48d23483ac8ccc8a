"""Find the faces in photos and the points of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from meanshape.core.box import Box
    from meanshape.core.prediction import Prediction
    from meanshape.detectors.base import FaceDetector
    from meanshape.inference.batch import Summary
    from meanshape.inference.overlays import Overlays
    from meanshape.inference.pipeline import Pipeline
    from meanshape.inference.printing import PredictionWriter

app = typer.Typer()

APPEARANCE = (
    "emotions and attributes are labels of appearance as annotators gave them, often wrong, and say nothing "
    "of identity or feeling; do not decide about people by them"
)


@app.command()
def detect(
    photos: options.Photos,
    output: options.Output = None,
    overlay: options.Overlay = None,
    model: options.Model = None,
    markup: options.MarkUp = None,
    emotion: options.Emotion = False,
    attributes: options.Attributes = False,
    licence: options.Licence = "any",
    detector: options.Detector = None,
    min_face: options.MinFace = None,
    max_faces: options.MaxFaces = None,
    turns: options.Turns = "auto",
    box: options.OwnBox = None,
    boxes: options.Boxes = None,
    recursive: options.Recursive = False,
    resume: options.Resume = False,
    threads: options.Threads = 1,
    device: options.Device = None,
    workers: options.Workers = 1,
    shard: options.Shard = None,
    engine: options.Engine = "local",
    numbers: options.Numbers = False,
    names: options.Names = False,
    scale: options.Scale = 1.0,
) -> None:
    """Find the faces in photos and the points of each.

    A photo that cannot be read is reported, counted and skipped.
    The output appears when all is done; a run that was stopped goes on with --resume.
    """
    from meanshape.inference.pipeline import Pipeline
    from meanshape.inference.shards import Shard

    _check(engine, output, overlay, resume, numbers or names or scale != 1)
    sources, total = _sources(photos, recursive, shard)
    settings: dict[str, Any] = {
        "detector": _detector(detector, box, boxes), "model": model, "min_face": min_face, "threads": threads,
        "markup": markup, "max_faces": max_faces, "turns": turns, "licence": licence,
        "emotion": emotion, "attributes": attributes, "device": device,
    }  # fmt: skip
    pipeline = Pipeline(**settings)
    if emotion or attributes:
        console.say(APPEARANCE)
    if _partitioned(engine, output):
        _write_partitions(settings, sources, str(output), workers)
        return
    drawn = _overlays(overlay, sources, numbers, names, scale)
    results = _results(output, overlay, sources, pipeline, resume)
    todo = [source for source in sources if source not in results.done]
    predictions = _predictions(pipeline, settings, todo, len(sources) == 1, drawn, workers, engine)
    summary = _run(predictions, sources, results)
    _close(summary, results, output, overlay, len(sources))
    if shard is not None and _is_file(output):
        Shard.of(shard, total).write(str(output))


def _sources(photos: list[str], recursive: bool, shard: str | None) -> tuple[list[str], int]:
    """Return the photos of the shard and how many there are in all; say which pictures were left out."""
    from meanshape.inference.sources import part, some
    from meanshape.inference.sources import photos as expand

    left_out: list[str] = []
    found = expand(photos, recursive, left_out)
    if left_out:
        console.say(f"left out: {len(left_out)} pictures of kinds that are not read: {some(left_out)}")
    return part(found, shard), len(found)


def _check(engine: str, output: str | None, overlay: str | None, resume: bool, written: bool) -> None:
    """Say which options do not go together."""
    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine is local or ray, not {engine!r}")
    if engine == "ray" and overlay is not None:
        raise ConfigError("--engine ray draws no overlays; draw them from the points, or with --engine local")
    if written and overlay is None:
        raise ConfigError("--numbers, --names and --scale are drawn on photos: say where to, by --overlay")
    if resume and output is None:
        raise ConfigError("--resume needs -o FILE, the output to go on with")


def _is_file(output: str | None) -> bool:
    """Tell whether the output is one file: a folder of `.pts` files and standard output are not."""
    return output not in (None, "-") and not os.path.isdir(str(output))  # noqa: PTH112


def _partitioned(engine: str, output: str | None) -> bool:
    """Tell whether the workers of a cluster write the output themselves: a folder of Parquet files."""
    return engine == "ray" and output is not None and output.endswith((".parquet/", ".parquet" + os.sep))


def _write_partitions(settings: dict[str, Any], sources: list[str], folder: str, workers: int) -> None:
    from meanshape.inference import ray_engine

    parts = ray_engine.write_parquet(settings, sources, folder, workers)
    console.say(f"written: {folder} ({parts} files)", plain=True)


def _overlays(
    overlay: str | None, sources: list[str], numbers: bool, names: bool, scale: float
) -> Overlays | None:
    """Return what draws predictions, if that is asked for."""
    from meanshape.inference.overlay import Style
    from meanshape.inference.overlays import Overlays

    style = Style(numbers=numbers, names=names, scale=scale)
    return None if overlay is None else Overlays(overlay, sources, style)


def _results(
    output: str | None, overlay: str | None, sources: list[str], pipeline: Pipeline, resume: bool
) -> PredictionWriter:
    """Return where predictions go; what cannot be written is said now."""
    from meanshape.core.markup import markup as named
    from meanshape.inference.outputs import FileWriter, check_points
    from meanshape.inference.printing import JsonLinesPrinter, SummaryPrinter

    if output == "-" or (output is None and overlay is None and not sys.stdout.isatty()):
        return JsonLinesPrinter()
    if output is None:
        return SummaryPrinter()
    if pipeline.markup is not None and pipeline.model.markup is not None:
        sources_of = pipeline.model.markup.conversion(pipeline.markup).sources
        check_points(output, holes=not all(sources_of))
    wanted = pipeline.markup or pipeline.model.markup
    return FileWriter(output, sources, pipeline.name, resume, None if wanted is None else named(wanted).name)


def _predictions(
    pipeline: Pipeline,
    settings: dict[str, Any],
    todo: list[str],
    strict: bool,
    drawn: Overlays | None,
    workers: int,
    engine: str,
) -> Iterator[Prediction]:
    """Yield what is found in each photo; with `strict`, what is wrong with a photo is raised."""
    from meanshape.inference import batch, ray_engine
    from meanshape.inference import workers as several

    if engine == "ray":
        yield from ray_engine.predict(settings, todo, workers)
        return
    if workers > 1 and len(todo) > 1:
        yield from several.predict(settings, todo, workers, drawn)
        return
    for prediction, pixels in batch.predict(pipeline, todo, strict):
        if drawn is not None and pixels is not None:
            drawn.add(pixels, prediction)
        yield prediction


def _run(predictions: Iterator[Prediction], sources: list[str], results: PredictionWriter) -> Summary:
    """Write the predictions and return what was counted."""
    from meanshape.inference.batch import Summary

    summary = Summary(skipped=sum(source in results.done for source in sources))
    todo = len(sources) - summary.skipped
    try:
        with console.progress(todo, "photos") as step:
            for prediction in predictions:
                results.add(prediction)
                summary.add(prediction)
                if prediction.error is not None:
                    console.say(f"skipped: {prediction.error}")
                step()
    except BaseException as error:
        results.close()
        if isinstance(error, KeyboardInterrupt) and summary.photos:
            on = "; add --resume to go on" if results.resumable else ""
            console.say(f"{summary.photos} of {todo} photos done{on}")
        raise
    return summary


def _close(
    summary: Summary, results: PredictionWriter, output: str | None, overlay: str | None, count: int
) -> None:
    """Write the output and the summary; if no photo could be read, there is nothing to write."""
    if not summary.read and not summary.skipped:
        results.discard()
        raise ImageError(f"none of the {count} photos could be read")
    results.finish()
    if count > 1:
        console.table(summary.rows())
    if count == 1 and summary.empty:
        console.say("no face was found in this photo")
    faces = f"{summary.faces} face{'' if summary.faces == 1 else 's'}"
    told = f"{summary.read} photo{'' if summary.read == 1 else 's'}, {faces}"
    places = [f"{results.written} ({told})"] if results.written else []
    places += [f"{overlay} ({summary.read} drawn)"] if overlay else []
    if places:
        console.say(f"written: {', '.join(places)}", plain=True)
    elif sys.stdout.isatty() and output is None:
        console.say("-o points.jsonl writes the points, --overlay FOLDER draws them", plain=True)


def _detector(name: str | None, typed: list[str] | None, file: Path | None) -> str | FaceDetector | None:
    """Return who says where faces are: a detector by name, boxes that were typed, or those in a file."""
    from meanshape.detectors.given import Given

    ways = {"--detector": name, "--box": typed, "--boxes": file}
    named = [option for option, value in ways.items() if value]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)}: each says where the faces are; give one of them")
    if typed:
        return Given([_box(text) for text in typed])
    return name if file is None else Given.from_file(file)


def _box(text: str) -> Box:
    """Return a box that was typed."""
    from meanshape.core.box import Box
    from meanshape.core.errors import BoxError

    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        raise BoxError(f"--box takes four numbers LEFT,TOP,RIGHT,BOTTOM, not {text!r}") from None
    return Box(left, top, right, bottom)

"""Write a model as one ONNX file that needs no Python beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from meanshape.core.sample import Sample
    from meanshape.methods.base import LandmarkModel

app = typer.Typer()
FACES = "synthetic:200@160@7"


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A shipped model or a run folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .onnx file.")],
    fp16: Annotated[bool, typer.Option("--fp16", help="Store weights in half precision.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Store and run convolutions in 8 bits.")] = False,
    with_crop: Annotated[
        bool, typer.Option("--with-crop", help="Take whole picture and box, not a crop of the face.")
    ] = False,
    data: Annotated[
        str, typer.Option(help="NAME:ROOT[:SPLIT]: half sets the ranges of int8, half measures the loss.")
    ] = FACES,
    limit: Annotated[int, typer.Option(min=2, help="Use at most so many of its faces.")] = 200,
) -> None:
    """Write a model as one ONNX file that needs no Python beside it.

    Its metadata say mark-up, input, terms and SHA-256; what the file answers is compared with the model.
    """
    from meanshape.core.origin import joined
    from meanshape.datasets import origin as data_origin
    from meanshape.methods import load
    from meanshape.methods.onnx import portable

    if output.suffix != ".onnx":
        raise ConfigError(f"an exported model is an .onnx file, not {output.name!r}")
    if fp16 and int8:
        raise ConfigError("--fp16 and --int8 are two ways to store the same weights; take one")
    original = load(model)
    graph = original.graph()
    samples = _faces(data, limit)
    numbers: portable.Numbers = "int8" if int8 else "fp16" if fp16 else "fp32"
    crops = _crops(samples[::2], graph.matrix, graph.size) if int8 else ()
    origin = joined([original.origin, *([data_origin(data)] if int8 else [])])
    told = portable.write(original, output, numbers=numbers, with_crop=with_crop, crops=crops, origin=origin)
    _compare(original, load(output), samples[1::2])
    size = output.stat().st_size / 1e6
    console.say(f"written: {output} ({size:.1f} MB, {numbers}, takes {told['input']})", plain=True)


def _faces(data: str, limit: int) -> list[Sample]:
    """Return faces with points and boxes, evenly thinned."""
    from meanshape.datasets import load_data, thinned

    found = [sample for sample in load_data(data) if sample.shape is not None]
    if len(found) < 2:
        raise ConfigError(f"{data}: needs at least two faces with points")
    return thinned(found, limit)


def _crops(samples: list[Sample], matrix: object, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Return the crops of faces that a graph takes."""
    from meanshape.core.image import warp

    assert callable(matrix)
    return [
        warp(sample.pixels(), matrix(sample.box or (sample.shape and sample.shape.box())), size)
        for sample in samples
    ]


def _compare(original: LandmarkModel, exported: LandmarkModel, samples: list[Sample]) -> None:
    """Print both errors and how far the points of the two lie apart."""
    import numpy as np

    from meanshape.evaluation.scoring import Scoring

    errors: dict[str, list[float]] = {"model": [], "file": [], "apart": []}
    for sample in samples:
        assert sample.shape is not None and original.markup is not None
        pixels, box = sample.pixels(), sample.box or sample.shape.box()
        one, other = original.predict(pixels, box), exported.predict(pixels, box)
        between = Scoring.between(original.markup, sample.shape.markup)
        true = between.true(sample)
        gaps = {
            "model": one.to(between.markup).points - true,
            "file": other.to(between.markup).points - true,
            "apart": one.points - other.points,
        }
        for key, gap in gaps.items():
            errors[key].append(100 * float(np.nanmean(np.hypot(*gap.T))) / box.size)
    mean = {key: float(np.mean(values)) for key, values in errors.items()}
    console.table(
        [
            ("error of the model, % of the box", f"{mean['model']:.3f}"),
            ("error of the file", f"{mean['file']:.3f}"),
            ("points of the two apart, mean", f"{mean['apart']:.4f}"),
            ("and in the worst face", f"{max(errors['apart']):.4f}"),
        ]
    )

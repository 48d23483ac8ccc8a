"""Join the outputs of several shards or runs into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.core.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from meanshape.core.prediction import Prediction

app = typer.Typer()


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="Outputs of meanshape detect, in the order wanted.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file for all of them, any format.")],
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Join what there is though shards are missing.")
    ] = False,
) -> None:
    """Join the outputs of several shards or runs into one.

    A photo that is in several stays once: the first time without an error. Shards that are missing are named,
    by the notes (NAME.shard) that detect leaves beside its outputs.
    """
    from meanshape import formats
    from meanshape.inference.shards import missing

    if output in parts or any(output.exists() and p.exists() and output.samefile(p) for p in parts):
        raise ConfigError(f"{output} is one of the parts; choose another output")
    gaps, noted = missing(parts)
    if gaps:
        told = f"missing shards: {', '.join(gaps[:20])}{' …' if len(gaps) > 20 else ''}"
        if noted and not allow_missing:
            raise ConfigError(f"{told}; add them, or take --allow-missing")
        console.say(told if noted else f"{told}, unless a part without a note beside it (NAME.shard) is one")
    best: dict[str | None, Prediction] = {}
    total = 0
    for path in parts:
        if not path.is_file():
            raise FormatError("there is no such file", path=path)
        for prediction in formats.read(path):
            total += 1
            before = best.get(prediction.source)
            if before is None or (before.error is not None and prediction.error is None):
                best[prediction.source] = prediction
    named = {one.model for one in best.values() if one.error is None}
    models = sorted(model for model in named if model is not None)  # some formats do not say it
    if len(models) > 1:
        raise ConfigError(f"the parts hold points of different models: {', '.join(models)}")
    formats.write(output, best.values())
    broken = sum(prediction.error is not None for prediction in best.values())
    console.table(
        [
            ("parts", str(len(parts))),
            ("missing shards", str(len(gaps)) if gaps or noted else "not known"),
            ("photos", str(len(best))),
            ("in several parts", str(total - len(best))),
            ("broken photos", str(broken)),
        ]
    )
    console.say(f"written: {formats.called(output)}", plain=True)

"""Say which of two results is better, face by face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from meanshape.apps.cli import _console as console

app = typer.Typer()


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Written by meanshape evaluate --json.")],
    b: Annotated[Path | None, typer.Argument(help="Another; without, the models in the first.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the comparisons to this file.")] = None,
) -> None:
    """Say which of two results is better: the paired difference and its interval, on faces both measured."""
    from json import dumps

    from meanshape.core.errors import DataSetError
    from meanshape.evaluation.compare import compare as compared
    from meanshape.evaluation.schema import read_results, write_file

    first, second = read_results(a), read_results(a if b is None else b)
    if b is None:
        pairs = [(x, y) for i, x in enumerate(first) for y in first[i + 1 :] if _where(x) == _where(y)]
    else:
        pairs = [(x, y) for x in first for y in second if _where(x) == _where(y)]
    if not pairs:
        raise DataSetError("there are no two results on the same data to compare")
    found = [compared(x, y) for x, y in pairs]
    for (x, _), one in zip(pairs, found, strict=True):
        where = ":".join(str(part) for part in (x.get("data"), x.get("split")) if part)
        console.show(f"{where}: {one.sentence}" if where else one.sentence)
    if json is not None:
        write_file(json, dumps({"comparisons": [one.to_dict() for one in found]}, indent=1) + "\n")


def _where(result: dict[str, Any]) -> tuple[Any, ...]:
    """Return what two results must have in common."""
    return result.get("data"), result.get("split"), result.get("norm"), result.get("markup")

"""List the mark-ups, or show the points of one."""

from __future__ import annotations

from typing import Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.core import registry

app = typer.Typer()


@app.command()
def markups(
    name: Annotated[str | None, typer.Argument(help="A mark-up; without, all are listed.")] = None,
) -> None:
    """List the mark-ups, or show the points, groups and conversions of one."""
    if name is None:
        rows = []
        for each in registry.names("markups"):
            one = registry.markup(each)
            rows.append([each, str(len(one)), one.title, ", ".join(one.conversions) or "-"])
        console.grid(rows, ["mark-up", "points", "what it is", "converts to"], right=(1,))
        return
    one = registry.markup(name)
    console.show(f"{one.title}: {len(one)} points. Left and right are the subject's.")
    smallest = {
        key: indices
        for key, indices in one.groups.items()
        if not any(set(other) < set(indices) for other in one.groups.values())
    }
    rows = []
    for index, point in enumerate(one.points):
        groups = [key for key, indices in smallest.items() if index in indices]
        rows.append([str(index), point, ", ".join(groups), str(one.mirror[index])])
    console.grid(rows, ["point", "name", "group", "mirrored"], right=(0, 3))
    for conversion in one.conversions.values():
        console.show(f"to {conversion.to}: loses {conversion.loses or 'nothing'}")

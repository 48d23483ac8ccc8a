"""List the mark-ups, or show the points of one."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def markups(
    name: Annotated[str | None, typer.Argument(help="A mark-up; without, all are listed.")] = None,
) -> None:
    """List the mark-ups, or show the points, groups and conversions of one."""
    print(name)

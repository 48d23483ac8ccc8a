"""What commands say beside their results: on stderr, short; bars and colours on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from meanshape.formats.text import printable


def say(text: str, plain: bool = False) -> None:
    """Print one line on stderr, after the program's name unless `plain`."""
    line = printable(" ".join(text.split()))
    print(line if plain else f"meanshape: {line}", file=sys.stderr)


def show(text: str) -> None:
    """Print lines of a result."""
    print(printable(text))


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[], None]]:
    """Show a bar while a loop runs, if stderr is a terminal; yields what to call after each step."""
    if not sys.stderr.isatty() or total < 2:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def table(rows: Sequence[tuple[str, str]], header: Sequence[str] = ()) -> None:
    """Print a table of two columns on stderr."""
    grid([list(row) for row in rows], header, right=(1,), to_stderr=True)


def grid(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    right: Sequence[int] = (),
    to_stderr: bool = False,
) -> None:
    """Print a table, as wide as the terminal lets it; `right` are the columns of numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, width=240)  # a file has no width to fit into
    out = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
    for index in range(max(map(len, [*rows, header]), default=0)):
        title = header[index] if index < len(header) else ""
        out.add_column(title, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(printable(cell)) for cell in row))
    console.print(out)

"""Write docs/cli.md, the reference of the command line, from the program itself.

python docs/cli_reference.py            # write
python docs/cli_reference.py --check    # exit code 1 if the page is not what the program says
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from meanshape.apps.cli._frame import commands
from meanshape.core import errors

KINDS = {int: "INTEGER", float: "NUMBER", Path: "PATH"}
PAGE = Path(__file__).parent / "cli.md"
HEAD = """# The command line

Written by `python docs/cli_reference.py` from the program; `meanshape COMMAND --help` says the same.

Results go to the files that `-o` and its like name, or to standard output. Everything else goes to standard
error, a line for each thing: what was skipped and why, and in the end what was written, with counts.
`--traceback`, anywhere on the line, shows where an error came from.

**Completion.** `meanshape --install-completion` makes your shell (bash, zsh, fish, PowerShell) complete
commands and options with the Tab key, by a line in its settings; `meanshape --show-completion` prints that
line instead.

| exit code | what it means |
|---|---|
"""
TOLD = {
    0: "Done; photos that could not be read were reported and skipped",
    1: "An error of no kind below, or too little memory",
    2: "Wrong usage",
    130: "Stopped by Ctrl-C",
    141: "Whoever read the output has gone",
}


def codes() -> str:
    """Return the rows of the exit codes, those of the errors from their docstrings."""
    told = {
        kind.exit_code: str(kind.__doc__).partition("\n")[0].rstrip(".")
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MeanshapeError)
    } | TOLD
    return "".join(f"| {code} | {told[code]} |\n" for code in sorted(told))


def page() -> str:
    """Return the page as it must be."""
    rows = [f"| [`{name}`](#meanshape-{name}) | {line} |" for name, line in commands().items()]
    parts = [HEAD + codes(), "| command | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"]
    for name in commands():
        app = import_module(f"meanshape.apps.cli.{name}").app
        several = len(app.registered_commands) > 1 or app.registered_callback is not None
        parts.append(f"## meanshape {name}\n")
        for one in app.registered_commands:
            called = one.name or one.callback.__name__.rstrip("_").replace("_", "-")
            if several:
                parts.append(f"### meanshape {name} {called}\n")
            parts += described(one.callback, f"meanshape {name}" + (f" {called}" if several else ""))
    return "\n".join(parts)


def described(function: Callable[..., Any], called: str) -> Iterator[str]:
    """Yield the usage, the help and the options of a command."""
    hints = get_type_hints(function, include_extras=True)
    given = inspect.signature(function).parameters
    told = [(one, *hints[name].__metadata__, get_args(hints[name])[0]) for name, one in given.items()
            if get_origin(hints[name]) is Annotated]  # fmt: skip
    arguments = [one for one in told if isinstance(one[1], ArgumentInfo)]
    usage = [called, "[OPTIONS]", *(spelling(*one) for one in arguments)]
    yield "```\n" + " ".join(usage) + "\n```\n"
    yield plain(inspect.getdoc(function) or "") + "\n"
    if told:
        yield "| | |\n|---|---|\n" + "\n".join(row(*one) for one in told) + "\n"


def spelling(one: inspect.Parameter, info: Any, kind: Any) -> str:
    """Return how an option or argument is written."""
    if isinstance(info, ArgumentInfo):
        name = str(info.metavar or one.name.upper())
        return name if one.default is inspect.Parameter.empty else f"[{name}]"
    # Typer takes the first spelling of an annotated option for its default
    spelt = (info.default, *(info.param_decls or ()))
    flags = [text for text in spelt if isinstance(text, str) and text.startswith("-")]
    flags = flags or [f"--{one.name.rstrip('_').replace('_', '-')}"]
    inner = next(part for part in get_args(kind) or (kind,) if part is not type(None))
    inner = (get_args(inner) or (inner,))[0]
    value = info.metavar or KINDS.get(inner, "TEXT")
    return ", ".join(flags) + ("" if inner is bool else f" {value}")


def row(one: inspect.Parameter, info: Any, kind: Any) -> str:
    """Return the row of an option or argument: how it is written, what it does, what counts without it."""
    said = plain(info.help or "")
    default = info.show_default if isinstance(info.show_default, str) else one.default
    if default is inspect.Parameter.empty:
        said += "" if isinstance(info, ArgumentInfo) else " Required."
    elif default not in (None, False, "", [], ()):
        said += f" Default: {default}."
    return f"| `{escaped(spelling(one, info, kind))}` | {escaped(said)} |"


def escaped(text: str) -> str:
    """Return a text for the cell of a table."""
    return text.replace("|", r"\|")


def plain(text: str) -> str:
    """Return the paragraphs of a help text, each in one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def main() -> None:
    """Write, or compare with --check."""
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text("utf-8") == page() else 1)
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()

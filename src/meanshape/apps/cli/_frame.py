"""The frame around all commands: lists them without importing one, imports the one that is asked for."""

from __future__ import annotations

import os
import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from meanshape.apps.cli import _console as console
from meanshape.apps.cli._codes import USAGE
from meanshape.core import resources
from meanshape.core.errors import ConfigError, suggestion
from meanshape.formats.text import whole

FIRST = (
    "detect",
    "video",
    "webcam",
    "blur",
    "train",
    "evaluate",
    "compare",
    "benchmark",
    "robustness",
    "data",
)
"""Commands that help names before the others, which follow by alphabet."""


WIDEST = 1000
"""Columns that help is filled up to, at most."""


def run(arguments: list[str]) -> int:
    """Run one command line; what is not wrong usage comes through as it was raised."""
    width = os.environ.get("TERMINAL_WIDTH", "")  # Typer reads it for its help, and says nothing of it
    if width and not 1 <= whole(width) <= WIDEST:
        raise ConfigError(f"TERMINAL_WIDTH is {width!r}: set it to 1 to {WIDEST} columns, or unset it")
    try:
        command = typer.main.get_command(_app())
        code = command(args=arguments or ["--help"], prog_name="meanshape", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # Click's own errors; Typer has a copy of Click inside since 0.20, so that they have no one class.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        return _wrong_usage(error, said())


def _wrong_usage(error: Any, message: str) -> int:
    """Say in one line what was wrong and where to read on."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "meanshape"
    message = " ".join(message.split()).rstrip(".") or "missing command"
    console.say(f"{where}: {message[:1].lower()}{message[1:]} (see {where} --help)", plain=True)
    return USAGE


@cache
def commands() -> dict[str, str]:
    """Return the commands and their one line of help."""
    modules = pkgutil.iter_modules([str(resources.CODE / "apps" / "cli")])
    found = {one.name: _first_line(one.name) for one in modules if not one.name.startswith("_")}
    order = {name: number for number, name in enumerate(FIRST)}
    return {name: found[name] for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))}


def _first_line(name: str) -> str:
    """Return the first line of a command's docstring, from its source; a frozen app may have none."""
    module = f"meanshape.apps.cli.{name}"
    spec = find_spec(module)
    source = getattr(spec.loader, "get_source", lambda _: None)(module) if spec is not None else None
    text = source or import_module(module).__doc__ or ""
    return text.partition("\n")[0].strip().strip('"').strip()


class _Commands(TyperGroup):
    """A group whose commands are the files of this folder."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        return list(commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command: while help is written only its name and line, else the whole, imported."""
        if cmd_name not in commands():
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=commands()[cmd_name])
        app = import_module(f"meanshape.apps.cli.{cmd_name}").app
        app._add_completion = False  # the root's matter
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Answer a wrong name with the nearest right one."""
        if args and not args[0].startswith("-") and args[0] not in commands():
            ctx.fail(f"no command is called {args[0]!r}{suggestion(args[0], commands())}")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return how a word may go on, for the shell; no command is imported for its name."""
        self._listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._listing = False


def _app() -> typer.Typer:
    """Return the root command."""
    app = typer.Typer(cls=_Commands, pretty_exceptions_enable=False)

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", help="Print the version and leave.", is_eager=True, callback=_version
        ),
        traceback: bool = typer.Option(False, "--traceback", help="Show where an error came from."),
    ) -> None:
        """Facial landmarks from ASM to DAN: find faces, place points, train, measure, compare."""

    return app


def _version(wanted: bool) -> None:
    """Print the version and leave, if that was asked for."""
    if wanted:
        from meanshape import __version__

        console.show(f"meanshape {__version__}")
        raise typer.Exit


__all__ = ["commands", "run"]

"""The command line: a file is a command.

`NAME.py` in this folder is `meanshape NAME`. It holds `app`, a `typer.Typer`: with one function and no
callback it is the command itself, else a group of sub-commands. The first line of its docstring is what
`meanshape --help` says of it. A file is imported when its command is started, so that help is quick;
files whose name begins with `_` are no commands.

A command raises what `core.errors` has; here it becomes one line on stderr and the error's exit code
(2: wrong usage, 130: stopped by Ctrl-C). `--traceback`, anywhere on the line, shows where it came from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from meanshape.core.errors import MeanshapeError

USAGE = 2
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from meanshape.apps.cli._frame import run

    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    trace = "--traceback" in options
    if trace:
        given.remove("--traceback")
    try:
        return run(given)
    except MeanshapeError as error:
        if trace:
            raise
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("stopped", STOPPED)


def _say(message: str, code: int) -> int:
    """Print one line on stderr and hand the exit code on."""
    print(f"meanshape: {' '.join(message.split())}", file=sys.stderr)
    return code

"""The command line: a file is a command.

`NAME.py` in this folder is `meanshape NAME`. It holds `app`, a `typer.Typer`: with one function and no
callback it is the command itself, else a group of sub-commands. The first line of its docstring is what
`meanshape --help` says of it. A file is imported when its command is started, so that help is quick;
files whose name begins with `_` are no commands.

A command raises what `core.errors` has; here it becomes one line on stderr and the error's exit code
(2: wrong usage, 130: stopped by Ctrl-C, 141: who read the output has gone, of which nothing is said).
`--traceback`, anywhere on the line, shows where it came from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from meanshape.apps.cli._codes import STOPPED, UNREAD
from meanshape.core.errors import LONGEST, MeanshapeError, warn_in_one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if getattr(sys, "frozen", False):  # a worker of a frozen app is the app, started again
        from multiprocessing import freeze_support

        freeze_support()
    from meanshape.apps.cli._streams import Messages, Results

    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    trace = "--traceback" in options
    if trace:
        given.remove("--traceback")
    warn_in_one_line()
    results, messages = Results(sys.stdout), Messages(sys.stderr)
    try:
        with redirect_stdout(results), redirect_stderr(messages):
            return _run(given, trace)
    finally:
        results.drop()
        messages.drop()


def _run(given: list[str], trace: bool) -> int:
    """Run a command; what is wrong becomes one line and an exit code."""
    from meanshape.apps.cli._frame import run
    from meanshape.apps.cli._streams import ReaderGoneError

    try:
        code = run(given)
        sys.stdout.flush()  # now, while an error can be told
        return code
    except ReaderGoneError:
        return UNREAD
    except MeanshapeError as error:
        if trace:
            raise
        return _say(str(error), error.exit_code)
    except OSError as error:  # of a name that no system has, such as a very long one
        if trace or error.filename is None:
            raise
        return _say(f"{error.filename}: {error.strerror or error}"[:LONGEST], MeanshapeError.exit_code)
    except MemoryError:
        if trace:
            raise
        return _say("there is not enough memory for this", MeanshapeError.exit_code)
    except KeyboardInterrupt:
        return _say("stopped", STOPPED)


def _say(message: str, code: int) -> int:
    """Print one line on stderr and hand the exit code on."""
    from meanshape.apps.cli._console import say

    say(message)
    return code

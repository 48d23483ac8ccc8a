"""Where the program starts, as `meanshape` and as `python -m meanshape`.

It imports next to nothing, so that Ctrl-C is taken care of before what is slow to import. Until a
command begins, nothing has been read or written: the process just ends, with the exit code of Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys

STOPPED = 130


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual:  # else somebody else wants it otherwise, as `nohup` and a shell's `&` do
            signal.signal(signal.SIGINT, _leave)
        from meanshape.apps.cli import main as run

        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        return STOPPED


def _leave(number: int, frame: object) -> None:
    """Leave without a word."""
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())

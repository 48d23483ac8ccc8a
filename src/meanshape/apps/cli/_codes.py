"""Exit codes beside those of `core.errors`."""

USAGE = 2
STOPPED = 130
UNREAD = 141
"""What a shell calls a program whose reader has gone, as in `meanshape models | head -1`."""

"""Every error Meanshape raises on purpose.

MeanshapeError                       exit code 1
├── ImageError        (ValueError)    3   a picture that cannot be read or is not a picture
├── DataSetError      (ValueError)    4   a data set that is not as its card says
├── FormatError       (ValueError)    5   a label file with a wrong line
├── ConfigError       (ValueError)    6   a setting that does not exist or does not fit
├── UnknownName       (KeyError)      7   a method, detector, data set, mark-up or point nobody knows
├── MarkUpError       (ValueError)    8   a mark-up that contradicts itself, or a conversion it does not have
├── BoxError          (ValueError)    9   a box with a NaN, or without width or height
├── ShapeError        (ValueError)   10   points that do not fit their mark-up
├── NotFitted         (ValueError)   11   a model asked to predict before it was fitted
├── WeightsError      (ValueError)   12   weights that are missing, broken or not the ones on the card
├── MissingExtra      (ImportError)  13   a part that needs an optional package
├── ResultError       (ValueError)   14   a pose, an emotion, a face or a prediction out of range
└── OutputError       (OSError)      15   a file or folder that cannot be written

MeanshapeWarning (UserWarning): something was read, but perhaps not as it was meant.

Each also descends from what a caller would already catch. The command line exits with `exit_code`
(2 is left to wrong usage). A message says what was wanted, what came, where, and what to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from os import PathLike
from typing import ClassVar

LONGEST = 5000
"""Characters of a message: a path and a sentence, but not all of a file that somebody made."""


class MeanshapeError(Exception):
    """The root of the tree."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *told: object) -> None:
        """Keep the message; what quotes a whole file is cut off."""
        super().__init__(*(_cut(part) if isinstance(part, str) else part for part in told))


class ImageError(MeanshapeError, ValueError):
    """A picture that cannot be read, or is not a picture."""

    exit_code = 3


class DataSetError(MeanshapeError, ValueError):
    """A data set that is not as its card says."""

    exit_code = 4


class FormatError(MeanshapeError, ValueError):
    """A label file with a wrong line; `path` and `line` (1-based) say where."""

    exit_code = 5

    def __init__(
        self, message: str, path: str | PathLike[str] | None = None, line: int | None = None
    ) -> None:
        """Put the place in front of the message."""
        where = "" if path is None else f"{path}"
        where += "" if line is None else f"{', ' if where else ''}line {line}"
        super().__init__(f"{where}: {message}" if where else message)
        self.path = path
        self.line = line


class ConfigError(MeanshapeError, ValueError):
    """A setting that does not exist, or a value that does not fit it."""

    exit_code = 6


class UnknownName(MeanshapeError, KeyError):  # noqa: N818 - the frozen word
    """A name nobody knows; the message offers the nearest right one."""

    exit_code = 7

    def __str__(self) -> str:
        """Return the message itself (a KeyError would print its repr)."""
        return str(self.args[0]) if self.args else ""

    @classmethod
    def of(cls, kind: str, name: object, known: Iterable[str]) -> UnknownName:
        """Build the error for `name`, which is no `kind` ("method", "mark-up", …)."""
        return cls(f"no {kind} is called {name!r}{suggestion(name, known)}")


class MarkUpError(MeanshapeError, ValueError):
    """A mark-up that contradicts itself, or a conversion it does not have."""

    exit_code = 8


class BoxError(MeanshapeError, ValueError):
    """A box with a NaN, or without width or height."""

    exit_code = 9


class ShapeError(MeanshapeError, ValueError):
    """Points that do not fit their mark-up."""

    exit_code = 10


class NotFitted(MeanshapeError, ValueError):  # noqa: N818 - the frozen word
    """A model asked to predict or to be saved before it was fitted or loaded."""

    exit_code = 11


class WeightsError(MeanshapeError, ValueError):
    """Weights that are missing, broken, or not the ones on the card."""

    exit_code = 12


class MissingExtra(MeanshapeError, ImportError):  # noqa: N818 - the frozen word
    """A part that needs a package of an optional extra."""

    exit_code = 13

    @classmethod
    def of(cls, extra: str, what: str) -> MissingExtra:
        """Build the error for `what` ("Training", "Video files"), which needs `extra`."""
        return cls(f"{what} needs an optional part: pip install 'meanshape[{extra}]'")


class ResultError(MeanshapeError, ValueError):
    """A pose, an emotion, a face or a prediction out of range."""

    exit_code = 14


class OutputError(MeanshapeError, OSError):
    """A file or folder that cannot be written."""

    exit_code = 15


class MeanshapeWarning(UserWarning):
    """Something was read, but perhaps not as it was meant."""


def warn_in_one_line() -> None:
    """Let this process print our warnings as the command line prints errors: without file and line.

    Pillow's are left out.
    """
    warnings.formatwarning = _one_line
    # Of EXIF or tags that are broken, with a path of its own code; the pixels count, and are read.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


_usual_format = warnings.formatwarning


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if not issubclass(category, MeanshapeWarning):
        return _usual_format(message, category, filename, lineno, line)
    return f"meanshape: {' '.join(str(message).split())}\n"


def in_words(error: Exception) -> str:
    """Return what is wrong with a file's content, without Python's words for it."""
    if isinstance(error, KeyError) and not isinstance(error, MeanshapeError):
        return f"{error} is missing"
    if isinstance(error, RecursionError):
        return "too many lists or tables in one another"
    if isinstance(error, UnicodeError):
        return "not a text in UTF-8"
    if isinstance(error, ValueError) and str(error).startswith("Exceeds the limit"):  # Python's, of digits
        return "a number of more digits than can be read"
    if isinstance(error, (MeanshapeError, OSError, ValueError)):
        return str(error)
    return "something in it is of another kind than it should be"


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, which may go on with advice that is not ours."""
    return str(error).partition("\n")[0]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return how a message goes on after an unknown name: the nearest right one, or all there are.

    Near is the only name that begins so, or one of nearly the same letters; of two thirds the same only if
    the first is: `gpu` is no `webgpu`.
    """
    names = sorted(known)
    given, bare = str(name).lower().lstrip("."), {one.lstrip("."): one for one in names}
    begun = [one for one in bare if len(given) > 1 and one.startswith(given)]
    near = [one for one in get_close_matches(given, bare, cutoff=0.6) if one[:1] == given[:1]]
    nearest = begun if len(begun) == 1 else get_close_matches(given, bare, n=1, cutoff=0.8) or near
    if nearest:
        return f"; did you mean {bare[nearest[0]]!r}?"
    return f"; there are: {', '.join(names)}" if names else "; there are none"


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """Make what the operating system says against a file that is written an `OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error

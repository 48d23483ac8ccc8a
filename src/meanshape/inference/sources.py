"""What a command line calls photos: files, folders, globs, `@list`; each photo once, in natural order."""

from __future__ import annotations

import glob
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from meanshape.core.errors import ConfigError, ImageError, MeanshapeWarning
from meanshape.core.files import LONGEST, fitting
from meanshape.core.openers import UNREAD, looks_like_picture
from meanshape.core.regular import read_whole
from meanshape.formats.text import decode_names

_GLOB = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"(\d+)")


def photos(arguments: Sequence[str], recursive: bool = False, left_out: list[str] | None = None) -> list[str]:
    """Return the paths of all photos that arguments name, as they were given.

    Parameters
    ----------
    arguments : files; folders (the pictures in them); globs, `**` too; `@FILE`, a list with a path on each
        line, `@-` for standard input
    recursive : look into the folders in folders too
    left_out : takes the pictures in folders that nothing here reads, such as cameras' raw files
    """
    found: dict[str, str] = {}
    others: list[str] = [] if left_out is None else left_out
    for argument in arguments:
        for path in _expand(argument, recursive, others):
            key = os.path.normpath(path)
            found.setdefault(path if key == path else key, path)  # of millions, one text each
    return list(found.values())


def part(sources: Sequence[str], shard: str | None) -> list[str]:
    """Return the I-th of N parts of the photos, for `shard` "I/N"; the parts in order are the whole."""
    if shard is None:
        return list(sources)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, count = (int(group) for group in match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"a shard is I/N, such as 2/8: the I-th of N parts, from 1; not {shard!r}")
    first, last = ((len(sources) * (number - step)) // count for step in (1, 0))
    if first == last:
        raise ImageError(f"shard {shard} of {len(sources)} photos is empty; take fewer shards")
    return list(sources[first:last])


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return the key that sorts `photo2` before `photo10`."""
    parts = _NUMBER.split(text.lower())
    return tuple((1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts)


def short_names(sources: Iterable[str]) -> dict[str, str]:
    """Return a name for each photo's files, no two alike even where case does not count.

    The name is the file's without suffix; if others have it, with as many folders in front, or with a
    number at the end, as it takes: `a/1.jpg` and `b/1.jpg` become `1` and `b-1`. What would be too long for a
    file with a suffix is cut off.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    last: dict[str, int] = {}
    for source in sources:
        name = next(name for name in _candidates(source, last) if name.lower() not in taken)
        taken.add(name.lower())
        names[source] = name
    return names


def _candidates(source: str, last: dict[str, int]) -> Iterator[str]:
    """Yield longer and longer names for a photo's files; `last` holds the last number of each stem."""
    path = Path(source)
    name = stem = path.stem
    yield fitting(stem)
    folders = [part for part in path.parent.parts if part not in (path.anchor, "..", ".")]
    for folder in reversed(folders):
        name = f"{folder}-{name}"
        if len(name) > LONGEST:  # it is cut off, and what follows is told by a hash: of all of it, once
            name = "-".join([*folders, stem])
            yield fitting(name)
            break
        yield fitting(name)
    while True:
        last[stem] = last.get(stem, 1) + 1
        yield fitting(f"{stem}-{last[stem]}")


def _expand(argument: str, recursive: bool, left_out: list[str]) -> Iterable[str]:
    """Return the photos of one argument."""
    if os.path.exists(argument):  # noqa: PTH110 - a name too long is not there, and no error either
        if os.path.isdir(argument):  # noqa: PTH112
            return _in_folder(Path(argument), argument, recursive, left_out)
        return [argument]
    if argument.startswith("@"):
        return _in_list(argument[1:], recursive, left_out)
    if _GLOB.search(argument):
        every = glob.iglob(argument, recursive=True)  # noqa: PTH207 - pathlib would drop a leading ./
        matches = sorted(filter(os.path.isfile, every), key=natural)
        if not matches:
            raise ImageError(f"{argument}: no file is called like that")
        return matches
    return [argument]  # not there: said in its turn, as of any photo that cannot be read


def _in_folder(folder: Path, argument: str, recursive: bool, left_out: list[str]) -> list[str]:
    """Return the pictures in a folder; hidden files and folders do not count."""
    try:
        files = [path for path in _below(folder, recursive) if path.is_file()]
        found = sorted((str(path) for path in files if looks_like_picture(path)), key=natural)
    except OSError as error:
        raise ImageError(f"{argument}: the folder cannot be read ({error.strerror or error})") from error
    taken = set(found)
    unread = [str(path) for path in files if path.suffix.lower() in UNREAD and str(path) not in taken]
    left_out += sorted(unread, key=natural)
    if not found:
        hint = "" if recursive else "; --recursive looks into its folders too"
        hint = f" that could be read, only others: {some(left_out)}" if unread else hint
        raise ImageError(f"{argument}: there are no pictures in this folder{hint}")
    return found


def _below(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield what is in a folder and is not hidden; of a folder in it that cannot be read a warning says so.

    `Path.rglob` would pass over such a folder, and the photos in it, without a word.
    """
    if not recursive:
        yield from (path for path in folder.iterdir() if not path.name.startswith("."))
        return

    def left_out(error: OSError) -> None:
        if error.filename == str(folder):
            raise error
        said = f"{error.filename}: left out, the folder cannot be read ({error.strerror or error})"
        warnings.warn(said, MeanshapeWarning, stacklevel=2)

    for place, folders, names in os.walk(folder, onerror=left_out):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def some(paths: Sequence[str], most: int = 3) -> str:
    """Return the names of some files in words."""
    names = ", ".join(Path(path).name for path in paths[:most])
    return f"{names} and {len(paths) - most} more" if len(paths) > most else names


def _in_list(name: str, recursive: bool, left_out: list[str]) -> Iterator[str]:
    """Yield the photos that a list names, one path on a line; empty lines do not count."""
    try:
        text = _standard_input() if name == "-" else decode_names(_bytes_of(name))
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise ImageError(f"@{name}: the list cannot be read ({why})") from error
    empty = True
    for line in _lines(text):
        bare, empty = line.strip(), False
        path = line if bare != line and os.path.exists(line) else bare  # noqa: PTH110 - spaces of a name
        yield from [path] if path.startswith("@") else _expand(path, recursive, left_out)
    if empty:
        raise ImageError(f"@{name}: the list is empty")


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a list that are not empty, one at a time: there may be millions."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].rstrip("\r")
        if line.strip():
            yield line
        start = end + 1


def _bytes_of(name: str) -> bytes:
    """Return a list's bytes; it may come through a pipe, but has an end."""
    with Path(name).open("rb") as file:
        return read_whole(file)


def _standard_input() -> str:
    """Return what standard input says, whatever encoding the console has."""
    buffer = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if buffer is None else decode_names(read_whole(buffer))

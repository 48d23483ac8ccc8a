"""Files that are written whole, names that are names, and folders that nothing leads out of.

A name or a path in a file that somebody else wrote never decides that something outside the folder at hand is
read or written: neither by `..`, nor from the root, nor through a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, TextIO

from meanshape.core.errors import OutputError
from meanshape.core.regular import read_whole

LONGEST = 240
"""Bytes of a file's name without its suffix; most systems take 255 with it."""

_CALLS = {os.open, os.stat, os.mkdir, os.rename, os.unlink}
BY_FOLDER = os.supports_dir_fd >= _CALLS and hasattr(os, "O_NOFOLLOW")
"""Whether files can be reached from an open folder, so that no link is followed, just put there or not."""

_HIGH = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of a name."""

_PART = re.compile(r"\.(.+)\.[0-9]+\.[0-9]+\.part", re.DOTALL)
"""What `_part` makes."""

_NAME = re.compile(r"\w(?:[\w. -]*\w)?")


def is_name(text: str) -> bool:
    """Tell whether a text is letters, digits, `_` and, between these, `-`, `.` and spaces: never a path."""
    return len(text) <= 100 and _NAME.fullmatch(text) is not None


def beside(path: Path) -> Path:
    """Return a place to write a file before it is moved to `path`: hidden, free, this thread's alone."""
    check_place(path)
    part = path.with_name(_part(path))
    with suppress(OSError):  # of a killed process of the same number, or a link that somebody put there
        part.unlink()
    return part


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of `path` once all is written; no link is written through."""
    part = beside(path)
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def open_to_append(path: Path) -> TextIO:
    """Open a text file in UTF-8 to write at its end, following no link; what is no file is an `OSError`."""
    with suppress(FileNotFoundError):
        _check_kind(path.lstat().st_mode)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # what there is of it on this system
        flags |= getattr(os, name, 0)
    number = os.open(path, flags, 0o666)
    try:
        _check_kind(os.fstat(number).st_mode)  # it may be another one by now
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "a", encoding="utf-8", newline="\n")


def check_place(path: Path) -> None:
    """Refuse a pipe, a device or `/dev/stdout` as an output: a file that is moved there would replace it."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing is there yet
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or path.parent.resolve() == Path("/dev"):
        raise OutputError(f"{path}: a pipe or a device, which a file would replace; choose another output")


def _part(path: Path) -> str:
    return f".{path.stem[:40]}.{os.getpid()}.{threading.get_ident()}.part"


def ending(root: Path, suffix: str) -> list[Path]:
    """Return the files below a folder whose names end in a suffix, in capitals or not, sorted."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() == suffix)


def fitting(stem: str) -> str:
    """Return a file's name without its suffix, cut off where it is too long; a hash keeps it distinct."""
    name = os.fsencode(stem)
    if len(name) <= LONGEST:
        return stem
    return f"{name[: LONGEST - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(name).hexdigest()[:8]}"


def below(name: str) -> str | None:
    """Return a path from a file as `folder/file`, or None where it leads out of its folder."""
    path = posixpath.normpath(name.replace("\\", "/"))
    away = path in (".", "..") or path.startswith(("/", "../")) or "\0" in path
    return None if away or (os.name == "nt" and PureWindowsPath(path).drive) else path


def derived(name: str) -> str:
    """Return the path below a folder that is most like a path from a file; "" where nothing is left of it."""
    path = _HIGH.sub("", posixpath.normpath(name.replace("\\", "/")).replace("\0", ""))
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return "/".join(part.replace(":", "") if os.name == "nt" else part for part in parts)


def open_below(root: Path, name: str) -> BinaryIO:
    """Open `folder/file` below a folder to read it, following no link; what is no file is an `OSError`."""
    if not BY_FOLDER:
        return _regular(os.open(_checked(root, name), os.O_RDONLY | getattr(os, "O_BINARY", 0)))
    *folders, last = name.split("/")
    with _folder(root, folders) as place:
        _check_kind(os.stat(last, dir_fd=place, follow_symlinks=False).st_mode)
        return _regular(os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place))


def open_unlinked(path: Path) -> BinaryIO:
    """Open a file to read it, unless it is a link itself; what is no file is an `OSError`."""
    return open_below(path.parent.resolve(), path.name)


def read_below(root: Path, name: str) -> bytes:
    """Return what is in `folder/file` below a folder; more than a file may have is an `OSError`, too."""
    with open_below(root, name) as file:
        return read_whole(file, size=os.fstat(file.fileno()).st_size)


def write_below(root: Path, name: str, data: bytes, make: bool = False) -> None:
    """Write `folder/file` below a folder, whole or not at all, following no link; `make` makes the folders.

    The folder itself is none that a link leads to: resolve it once, before anybody could change it.
    """
    if not BY_FOLDER:
        path = _checked(root, name)
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        _write(beside(path), path, data, None)
        return
    *folders, last = name.split("/")
    with _folder(root, folders, make) as place:
        _write(Path(_part(Path(last))), Path(last), data, place)


def remove_parts(root: Path, names: Iterable[str]) -> None:
    """Remove what was left beside files below a folder where their writer was killed; nobody writes now."""
    if not BY_FOLDER:
        return
    places: dict[str, set[str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        places.setdefault(folder, set()).add(Path(last).stem[:40])
    for folder, stems in places.items():
        with suppress(OSError), _folder(root, [part for part in folder.split("/") if part]) as place:
            for name in os.listdir(place):  # noqa: PTH208 - of the folder that is open
                if (match := _PART.fullmatch(name)) and match[1] in stems:
                    os.unlink(name, dir_fd=place)


@contextmanager
def _folder(root: Path, names: list[str], make: bool = False) -> Iterator[int]:
    """Hold a folder below another open; one that is not there is made, if wanted."""
    place = _open_folder(root)
    try:
        for name in names:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=place)
            inner = _open_folder(name, place)
            os.close(place)
            place = inner
        yield place
    finally:
        os.close(place)


def _open_folder(name: str | Path, place: int | None = None) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
    except NotADirectoryError:  # what Linux says of a link, too
        _check_kind(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
        raise


def _write(part: Path, path: Path, data: bytes, place: int | None) -> None:
    """Write a file beside its place and move it there."""
    with suppress(FileNotFoundError):
        mode = os.stat(path, dir_fd=place, follow_symlinks=False).st_mode
        if not stat.S_ISLNK(mode):  # which is replaced
            _check_kind(mode)
    with suppress(FileNotFoundError):  # of a process of the same number that was killed
        os.unlink(part, dir_fd=place)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o666, dir_fd=place), "wb") as file:
            file.write(data)
        os.replace(part, path, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=place)
        raise


def _regular(number: int) -> BinaryIO:
    """Return an open file that is one."""
    try:
        _check_kind(os.fstat(number).st_mode)
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "rb")


def _check_kind(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "a link, which is not followed")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, a device or a folder, no file")


def _checked(root: Path, name: str) -> Path:
    """Return a path that no link leads out of now; the best there is without `BY_FOLDER`."""
    path = root / name
    try:
        within = path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # a loop of links
        within = False
    if not within or not (path.is_file() or not path.exists()):
        raise OSError(errno.ELOOP, "a link, or no file")
    return path

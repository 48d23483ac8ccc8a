"""Predictions in a label file or in a folder of `.pts` files.

While a run goes on, its predictions are lines of a journal beside the output (`points.jsonl.part`), each
written whole. When the run is over, the journal becomes the output in one step; until then an older
output stays as it was. A run that was stopped, however, leaves its journal: `resume` goes on from it, and a
run that would begin anew is refused.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from meanshape import formats
from meanshape.core.errors import ConfigError, FormatError, OutputError, writing
from meanshape.core.files import check_place, open_below, open_to_append, write_below
from meanshape.core.locks import FileLock
from meanshape.core.prediction import Prediction
from meanshape.core.regular import open_regular
from meanshape.formats import jsonl, pts
from meanshape.inference.sources import short_names

JOURNAL = ".part"


class FileWriter:
    """Predictions in a label file, or in a folder of `.pts` files.

    Parameters
    ----------
    target : FILE.jsonl, FILE.csv, FILE.pts, or a folder for one `.pts` file per face
    sources : all photos of the run, which name the `.pts` files
    model : what the predictions will call their model; a resumed run must have the same
    resume : keep what an earlier run wrote, but for photos that could not be read
    markup : the mark-up of all points; a resumed run must have the same. None: not known, not checked
    anew : throw away what a stopped run left; else that is refused, unless `resume` goes on with it

    Until the end, or `close`, nobody else can write to the same output.
    """

    resumable = True

    def __init__(
        self,
        target: str | Path,
        sources: Sequence[str],
        model: str,
        resume: bool = False,
        markup: str | None = None,
        anew: bool = False,
    ) -> None:
        """Open the journal, so that an output that cannot be written is known before any work."""
        self.target, self.model, self.markup = Path(target), model, markup
        self.sources, self._resumed, self._anew = sources, resume, anew
        self.done: set[str] = set()
        self.written = ""
        self.folder = _is_folder(target)
        if not self.folder and self.target.suffix.lower() not in formats.SUFFIXES:
            raise FormatError(f"{formats.unknown(target)} (a new folder ends with /)", path=target)
        if not self.folder:
            formats.check(self.target, len(sources))
        every = self.folder or self.target.suffix.lower() == ".pts"
        if every and not sources:
            raise OutputError(f"{target}: .pts files are named after photos, and none is known; write .jsonl")
        self._pts = _PtsNames(self.target, sources, self.folder) if every else None
        if self._pts is not None and not resume:
            self._pts.check()
        parent = self.target if self.folder else self.target.parent
        writable(parent)
        self._root = parent.resolve()  # it may be a link; what lies in it may not
        if not self.folder and self.target.is_dir():
            raise OutputError(f"{self.target}: a folder; the output is a file of that suffix")
        check_place(self.target)
        self.journal = self.target / f"points{JOURNAL}" if self.folder else Path(f"{self.target}{JOURNAL}")
        self._lock = FileLock(
            self.journal.with_name(f".{self.journal.stem}.lock"),
            f"{target}: another run is writing to it; wait for its end, or choose another output",
        )
        try:
            with writing(self.journal):
                self._file = self._resume() if resume else self._fresh()
        except BaseException:
            self._lock.release()
            raise

    def add(self, prediction: Prediction) -> None:
        """Write one line of the journal."""
        with writing(self.journal):
            self._file.write(jsonl.render(prediction) + "\n")
            self._file.flush()

    def finish(self) -> None:
        """Turn the journal into the output."""
        try:
            with writing(self.target):
                os.fsync(self._file.fileno())
                self._check_journal()
                self._file.close()
                if self._resumed:
                    self._put_in_order()
                self.written = f"{self.target}" if self.folder else formats.called(self.target)
                if self._pts is not None:
                    self._pts.add(self.done)
                    files = self._pts.write(self._root, self._rows_so_far())
                    self.written += f" ({files} files, one a face)" if files > 1 else ""
                elif self.target.suffix.lower() == ".jsonl":
                    self.journal.replace(self.target)
                else:
                    formats.write(self.target, self._rows_so_far())
                self.journal.unlink(missing_ok=True)
        finally:
            with suppress(OSError):  # closed already, unless something went wrong
                self._file.close()
            self._lock.release()

    def close(self) -> None:
        """Leave the journal for a later run to go on from; an empty one is removed."""
        with suppress(OSError):  # what a full disk has no room for was told already
            self._file.close()
        if self.journal.exists() and not self.journal.stat().st_size:
            self.journal.unlink()
        self._lock.release()

    def discard(self) -> None:
        """Remove the journal."""
        with suppress(OSError):
            self._file.close()
        self.journal.unlink(missing_ok=True)
        self._lock.release()

    def _fresh(self) -> IO[str]:
        kept = not self._anew and self.journal.is_file() and not self.journal.is_symlink()
        if kept and (done := self._lines_in_journal()):
            raise OutputError(
                f"{self.journal} holds {done} photo{'s' if done > 1 else ''} of a stopped run: "
                "go on with resume (--resume), or remove the file to begin anew"
            )
        self.journal.unlink(missing_ok=True)  # whatever else it is: a link would lead elsewhere
        return self.journal.open("x", encoding="utf-8", newline="\n")

    def _resume(self) -> IO[str]:
        """Write a new journal of what the output and the old journal hold, and go on at its end."""
        path = self.journal.with_name(f"{self.journal.name}.new")  # the same again after a kill: no litter
        if self.journal.exists() and (self.journal.is_symlink() or not self.journal.is_file()):
            raise OutputError(f"{self.journal}: a link or no file; remove it, or choose another output")
        path.unlink(missing_ok=True)
        try:
            with path.open("x", encoding="utf-8", newline="\n") as fresh:
                for prediction in self._earlier():
                    if prediction.error is None and prediction.source not in self.done:
                        self._check_same(prediction)
                        self.done.add(str(prediction.source))
                        fresh.write(jsonl.render(prediction) + "\n")
            path.replace(self.journal)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return open_to_append(self.journal)

    def _earlier(self) -> Iterator[Prediction]:
        """Yield what earlier runs wrote."""
        if self._pts is None and self.target.exists():
            yield from self._lines() if self.target.suffix.lower() == ".jsonl" else self._other()
        if self.journal.exists():
            yield from self._rows_so_far(torn=True)
        if self._pts is not None:  # after the journal: of a photo's faces only the first may be there
            self.done |= self._pts.there()

    def _check_journal(self) -> None:
        """Refuse to go on with a journal that is not the file that was written to."""
        if not os.path.samestat(os.fstat(self._file.fileno()), self.journal.lstat()):
            raise OutputError(f"{self.journal}: somebody replaced it meanwhile; remove it and run again")

    def _lines_in_journal(self) -> int:
        with open_below(self._root, self.journal.name) as file:
            return sum(line.endswith(b"\n") for line in file)

    def _rows_so_far(self, torn: bool = False) -> Iterator[Prediction]:
        """Yield what is in the journal."""
        with open_below(self._root, self.journal.name) as file:
            yield from _rows(file, self.journal, torn)

    def _lines(self) -> Iterator[Prediction]:
        """Yield what an output in JSON Lines holds."""
        with open_regular(self.target) as file:
            yield from _rows(file, self.target)

    def _other(self) -> list[Prediction]:
        """Return what an output of another format holds; one that we wrote is whole."""
        faults = formats.Faults()
        found = formats.read(self.target, faults=faults)
        faults.refuse()
        return found

    def _put_in_order(self) -> None:
        """Sort the journal's lines as the photos are: a resumed run writes what an undisturbed one writes.

        Lines of photos that are not of this run come first, as they were. Only places in the file are held.
        """
        turn = {source: number for number, source in enumerate(self.sources)}
        with open_below(self._root, self.journal.name) as file:
            places: list[tuple[int, int]] = []
            start = 0
            for line in file:
                places.append((turn.get(json.loads(line)["source"], -1), start))
                start += len(line)
            if places == sorted(places):
                return
            ordered = self.journal.with_name(f"{self.journal.name}.ordered")
            ordered.unlink(missing_ok=True)
            with ordered.open("xb") as out:
                for _, start in sorted(places):
                    file.seek(start)
                    out.write(file.readline())
        ordered.replace(self.journal)

    def _check_same(self, prediction: Prediction) -> None:
        """Refuse to go on with points of another model or mark-up: one file would hold both."""
        if prediction.model not in (None, self.model):
            raise ConfigError(
                f"{self.target} holds points of model {prediction.model}, not {self.model}: "
                "resume with that model, or choose another output"
            )
        shapes = [face.shape for face in prediction.faces if face.shape is not None]
        if self.markup is not None and shapes and shapes[0].markup.name != self.markup:
            raise ConfigError(
                f"{self.target} holds points of the mark-up {shapes[0].markup.name}, not {self.markup}: "
                "resume with that --markup, or choose another output"
            )


class _PtsNames:
    """One `.pts` file per face: PHOTO.pts, PHOTO.face2.pts … in a folder; or NAME.pts for a single photo."""

    def __init__(self, target: Path, sources: Sequence[str], folder: bool) -> None:
        self.target, self.folder = target, folder
        self.first = dict.fromkeys(sources, target)
        self.add(())

    def add(self, sources: Iterable[str]) -> None:
        """Name the photos of an earlier run, too, after those of this one; a folder has room for them."""
        if self.folder:
            names = short_names([*self.first, *sorted(set(sources) - set(self.first))])
            self.first = {source: self.target / f"{name}.pts" for source, name in names.items()}

    def check(self) -> None:
        """Refuse to replace labels that stand beside their photo: somebody may have made them by hand."""
        for source, path in self.first.items():
            if path.exists() and path.parent.resolve() == Path(source).parent.resolve():
                raise OutputError(
                    f"{path}: there are labels beside this photo already; choose another output"
                )

    def there(self) -> set[str]:
        """Return the photos whose first file is there."""
        return {source for source, path in self.first.items() if path.exists()}

    def write(self, root: Path, predictions: Iterable[Prediction]) -> int:
        """Write the files of all faces into a folder, none over another; return how many."""
        count = 0
        taken = {path.name.lower() for path in self.first.values()}
        for prediction in predictions:
            first = self.first.get(str(prediction.source))
            shapes = [face.shape for face in prediction.faces if face.shape is not None]
            for number, shape in enumerate(shapes if first else (), 1):
                assert first is not None
                path = first if number == 1 else _free(first, number, taken)
                with writing(path):
                    write_below(root, path.name, pts.render(shape.points, path).encode())
                count += 1
        return count


def _free(first: Path, number: int, taken: set[str]) -> Path:
    """Return where a photo's further face goes: `PHOTO.face2.pts`, or what is next to it and free."""
    name = f"{first.stem}.face{number}"
    while f"{name}.pts".lower() in taken:
        name += "_"
    taken.add(f"{name}.pts".lower())
    return first.with_name(f"{name}.pts")


def writable(folder: Path) -> None:
    """Make a folder and try a file in it; `OutputError` if that cannot be."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: a file, not a folder to write into")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_points(target: str | Path, holes: bool) -> None:
    """Refuse a `.pts` output for a mark-up that leaves points out, which the format cannot say."""
    if holes and (_is_folder(target) or Path(target).suffix.lower() == ".pts"):
        said = "the mark-up leaves points out, which .pts cannot say; write csv or jsonl"
        raise FormatError(said, path=target)


def _is_folder(target: str | Path) -> bool:
    """Tell whether an output is a folder: it is one, or its name ends like one's."""
    text = os.fspath(target)
    of_file = Path(target).suffix.lower() in formats.SUFFIXES
    return text.endswith(("/", os.sep)) or (Path(target).is_dir() and not of_file)


def _rows(file: BinaryIO, path: Path, torn: bool = False) -> Iterator[Prediction]:
    """Yield the predictions of a JSON Lines file; a last line that was cut off does not count.

    It may be cut in the middle of a character. With `torn`, no line that cannot be read counts.
    """
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n") or not line.strip():
            continue
        try:
            yield jsonl.parse(line.decode("utf-8-sig"), path, number)
        except UnicodeDecodeError as error:
            if not torn:
                raise FormatError("not text in UTF-8", path, number) from error
        except FormatError:
            if not torn:
                raise


__all__ = ["JOURNAL", "FileWriter", "check_points", "writable"]

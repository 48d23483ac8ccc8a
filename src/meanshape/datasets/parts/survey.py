"""What a reader found of a split, and what it did not find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import BoxError, DataSetError, FormatError, ImageError, ShapeError
from meanshape.core.face_box import face_box
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape


@dataclass(slots=True)
class Survey:
    """The samples of a split, a sentence for each that is missing, the label files that cannot be read."""

    found: list[Sample] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: list[FormatError] = field(default_factory=list)
    left_out: list[Sample] = field(default_factory=list)
    """Samples of the split that are there and must train nothing."""
    expected: int = 0
    """How many there should be: by the list that names them, else by the card."""

    def add(self, other: Survey) -> Self:
        """Take in what was found in another part."""
        self.found += other.found
        self.missing += other.missing
        self.broken += other.broken
        self.left_out += other.left_out
        self.expected += other.expected
        return self

    def take(
        self,
        identity: str,
        picture: Path | NDArray[Any] | None,
        shape: Callable[[], Shape | None] = lambda: None,
        attributes: Mapping[str, Any] | None = None,
        split: str | None = None,
        own_box: Box | None = None,
        canonical: Callable[[Shape], Box | None] | None = None,
    ) -> None:
        """Add a sample, or what is wrong with it: no picture, or a label that cannot be read.

        The tight box of the 68 points of iBUG is canonical; `canonical` gives that of other points. A set's
        own boxes are kept beside it.
        """
        try:
            points = shape()
            box = None if points is None else (canonical or face_box)(points)
        except FormatError as error:
            self.broken.append(error)
        except (ShapeError, BoxError, ImageError) as error:
            self.broken.append(FormatError(f"{identity}: {error}"))
        else:
            if picture is None:
                self.missing.append(f"{identity}: no photo")
                return
            self.found.append(Sample(identity, picture, points, box, attributes or {}, split, own_box))

    def leave_out(self, which: Callable[[Sample], bool]) -> Self:
        """Move samples to those that are left out."""
        self.left_out += [sample for sample in self.found if which(sample)]
        self.found = [sample for sample in self.found if not which(sample)]
        return self

    @property
    def absent(self) -> int:
        """How many samples are not there."""
        return max(len(self.missing), self.expected - len(self.found) - len(self.left_out) - len(self.broken))

    def samples(self, name: str, split: str | None, allow_missing: bool) -> list[Sample]:
        """The samples; an error for a broken label, for an empty split, and for an incomplete one unless
        allowed.

        Without a split, what is there is all that is wanted.
        """
        if self.broken:
            first, more = self.broken[0], len(self.broken) - 1
            if not more:
                raise first
            rest = f"{more} more labels cannot be read: meanshape data verify names them"
            raise FormatError(f"{first}; {rest}") from first
        if self.found and (allow_missing or split is None or not self.absent):
            return self.found
        example = f" (first: {self.missing[0]})" if self.missing else ""
        which = f"split {split!r}" if split else "all splits"
        count = f"{len(self.found)} of {self.expected} samples are here, {self.absent} missing"
        message = f"{name}, {which}: {count}{example}"
        if self.found:
            message += "; --allow-missing (allow_missing=True) takes those that are here"
        raise DataSetError(message)

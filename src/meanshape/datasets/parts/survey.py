"""What a reader found of a split, and what it did not find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from meanshape.core.errors import DataSetError, FormatError
from meanshape.core.types import Sample


@dataclass(slots=True)
class Survey:
    """The samples of a split, a sentence for each that is missing, the label files that cannot be read."""

    found: list[Sample] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: list[FormatError] = field(default_factory=list)
    expected: int = 0
    """How many there should be: by the list that names them, else by the card."""

    def add(self, other: Survey) -> Self:
        """Take in what was found in another part."""
        self.found += other.found
        self.missing += other.missing
        self.broken += other.broken
        self.expected += other.expected
        return self

    @property
    def absent(self) -> int:
        """How many samples are not there."""
        return max(len(self.missing), self.expected - len(self.found) - len(self.broken))

    def samples(self, name: str, split: str | None, allow_missing: bool) -> list[Sample]:
        """The samples; an error for a broken label, for an empty split, and for an incomplete one unless
        allowed.

        Without a split, what is there is all that is wanted.
        """
        if self.broken:
            raise self.broken[0]
        if self.found and (allow_missing or split is None or not self.absent):
            return self.found
        example = f" (first: {self.missing[0]})" if self.missing else ""
        which = f"split {split!r}" if split else "all splits"
        count = f"{len(self.found)} of {self.expected} samples are here, {self.absent} missing"
        message = f"{name}, {which}: {count}{example}"
        if self.found:
            message += "; --allow-missing (allow_missing=True) takes those that are here"
        raise DataSetError(message)

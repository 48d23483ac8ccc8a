"""Mark-ups: which points a shape has, what they are called and how one mark-up becomes another.

A mark-up is one TOML file in `markups/`. Left and right are the subject's: the eye on the left side of
a picture is the *right* eye. Point order is that of the data sets, whatever they call their points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meanshape.core import resources, toml
from meanshape.core.errors import MarkUpError, UnknownName, in_words
from meanshape.core.files import is_name
from meanshape.core.regular import read_text

FOLDER = resources.beside(__file__, "markups")

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How to make another mark-up's points out of these.

    `sources[j]` are the indices whose mean is the new point j; none means that there is no such point
    (NaN). `loses` says in words what does not survive.
    """

    to: str
    sources: tuple[tuple[int, ...], ...]
    loses: str = ""

    def weights(self, count: int) -> NDArray[np.float64]:
        """Return the averaging matrix (L, `count`); a point without a source has a row of zeros."""
        return _averaging(self.sources, count)


@dataclass(frozen=True, slots=True, repr=False)
class MarkUp:
    """K named points on a face.

    Attributes
    ----------
    points : the K names, in the data sets' order
    groups : name -> indices (`contour`, `inner`, `left_eye`, …)
    edges : index pairs to draw
    mirror : permutation; point i of a mirrored face is point `mirror[i]` of the face
    inter_ocular : the outer eye corners (subject's right, left), or None
    left_eye, right_eye : indices whose mean is the centre of the eye, or None
    conversions : by the name of the other mark-up
    sides : whether it is known which point is the mirror image of which; where not, `mirror` is the identity
        and stands for nothing, and shapes refuse to be mirrored
    usual : whether a file that does not name its mark-up may be taken for one of this, by the count of points
    """

    name: str
    points: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    mirror: tuple[int, ...] = ()
    inter_ocular: Edge | None = None
    left_eye: tuple[int, ...] | None = None
    right_eye: tuple[int, ...] | None = None
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    title: str = ""
    sides: bool = True
    usual: bool = True

    def __post_init__(self) -> None:
        """Check the name, which becomes a file's, and that everything points at points there are."""
        if not isinstance(self.name, str) or not is_name(self.name) or self.name.endswith(".toml"):
            raise MarkUpError(
                f"a mark-up cannot be called {str(self.name)[:60]!r}: a name is letters, digits, "
                "'_', '-' and '.'; a file may give it another by name = \"…\""
            )
        if len(set(self.points)) != len(self.points) or not self.points:
            raise MarkUpError(f"mark-up {self.name!r}: it needs point names, each once")
        if not self.mirror:
            object.__setattr__(self, "mirror", _mirror_by_name(self.name, self.points))
        if sorted(self.mirror) != list(range(len(self))) or any(
            self.mirror[j] != i for i, j in enumerate(self.mirror)
        ):
            raise MarkUpError(f"mark-up {self.name!r}: mirror must be a permutation that undoes itself")
        if both := set(self.groups) & set(self.points):
            raise MarkUpError(f"mark-up {self.name!r}: {sorted(both)} are both points and groups")
        self._check_indices("edges", (i for edge in self.edges for i in edge))
        for name, indices in self.groups.items():
            self._check_indices(f"group {name!r}", indices)
        for pair in (self.inter_ocular, self.left_eye, self.right_eye):
            self._check_indices("eyes", pair or ())
        for conversion in self.conversions.values():
            self._check_indices(
                f"conversion to {conversion.to!r}", (i for many in conversion.sources for i in many)
            )

    def _check_indices(self, what: str, indices: Iterable[int]) -> None:
        if wrong := [i for i in indices if not 0 <= i < len(self)]:
            raise MarkUpError(
                f"mark-up {self.name!r}: {what} names points {wrong}, but there are {len(self)}"
            )

    def __repr__(self) -> str:
        """Say what it is called and how many points it has."""
        return f"MarkUp({self.name}, {len(self)} points)"

    def __len__(self) -> int:
        """Return K, the number of points."""
        return len(self.points)

    def __hash__(self) -> int:
        """Hash by name and points (the mappings have no hash of their own)."""
        return hash((self.name, self.points))

    def indices(self, name: str) -> tuple[int, ...]:
        """Return the indices of a group, or of a single point, by its name, or raise `UnknownName`."""
        if name in self.groups:
            return self.groups[name]
        if name in self.points:
            return (self.points.index(name),)
        raise UnknownName.of(f"point or group of {self.name}", name, (*self.groups, *self.points))

    def eye_centers(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centres of the left and of the right eye, each (..., 2), of points (..., K, 2).

        A mark-up that does not say where the eyes are is a `MarkUpError`.
        """
        if self.left_eye is None or self.right_eye is None:
            raise MarkUpError(f"mark-up {self.name!r} does not say where the eyes are")
        array = self.check(points)
        return array[..., list(self.left_eye), :].mean(-2), array[..., list(self.right_eye), :].mean(-2)

    def gives(self, name: str) -> bool:
        """Tell whether the points of another mark-up can be made of these."""
        return name == self.name or name in self.conversions

    def conversion(self, to: str | MarkUp) -> Conversion:
        """Return the conversion to another mark-up, or say which there are by a `MarkUpError`."""
        name = to if isinstance(to, str) else to.name
        if name == self.name:
            return Conversion(name, tuple((i,) for i in range(len(self))))
        target = markup(to)  # an unknown name is another mistake than a missing conversion
        if name not in self.conversions:
            there = ", ".join(self.conversions) or "nothing else"
            lost = _some([point for point in target.points if point not in self.points])
            raise MarkUpError(f"{self.name} cannot become {name}: it has no {lost}; it converts to {there}")
        return self.conversions[name]

    def convert(self, points: ArrayLike, to: str | MarkUp) -> NDArray[np.float64]:
        """Return points (..., K, 2) of this mark-up as points (..., L, 2) of another.

        A point that is the mean of several is NaN where one of them is; a point that has no
        counterpart is NaN.
        """
        array = self.check(points)
        conversion = self.conversion(to)
        weights = conversion.weights(len(self))
        if all(conversion.sources) and np.isfinite(array).all():
            return np.asarray(weights @ array)
        missing = np.isnan(array)
        converted = weights @ np.where(missing, 0.0, array)  # 0 * NaN would spread it to every point
        nowhere = np.array([not many for many in conversion.sources])[:, None]
        return np.where((weights @ missing > 0) | nowhere, np.nan, converted)

    def check(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return points as float64 (..., K, 2), or say how many were wanted by a `MarkUpError`."""
        array = np.asarray(points, np.float64)
        if array.ndim < 2 or array.shape[-2:] != (len(self), 2):
            raise MarkUpError(f"{self.name} has points ({len(self)}, 2), not {array.shape}")
        return array


@lru_cache(maxsize=64)  # a tracker asks in every frame
def _averaging(sources: tuple[tuple[int, ...], ...], count: int) -> NDArray[np.float64]:
    matrix = np.zeros((len(sources), count))
    for row, many in zip(matrix, sources, strict=True):
        row[list(many)] = 1.0 / max(len(many), 1)
    matrix.flags.writeable = False
    return matrix


def _some(points: list[str]) -> str:
    """Return the first few names of points, and how many there are."""
    if not points:
        return "such conversion"
    rest = f" and {len(points) - 4} more points" if len(points) > 5 else ""
    return ", ".join(points[:4] if rest else points) + rest


def _mirror_by_name(name: str, points: tuple[str, ...]) -> tuple[int, ...]:
    """Return the permutation that swaps `left_…` and `right_…`."""
    swap = {"left": "right", "right": "left"}
    index = {point: i for i, point in enumerate(points)}
    try:
        return tuple(index["_".join(swap.get(word, word) for word in point.split("_"))] for point in points)
    except KeyError as error:
        raise MarkUpError(f"mark-up {name!r}: no mirror given and no point called {error}") from None


def from_toml(name: str, text: str) -> MarkUp:
    """Return the mark-up a TOML text describes, under its own name if it has one. Paths (chains of indices)
    become edges; `mirror = "unknown"` says that left and right are not known.
    """
    try:
        card = toml.parse(text)
        mirror = card.get("mirror", ())
        sides = mirror != "unknown"
        paths = card.get("paths", [])
        conversions = {
            to: Conversion(
                to,
                tuple(tuple(s) if isinstance(s, list) else (s,) for s in entry["points"]),
                str(entry.get("loses", "")),
            )
            for to, entry in card.get("conversions", {}).items()
        }
        ocular = card.get("inter_ocular")
        return MarkUp(
            name=str(card.get("name", name)),
            title=str(card.get("title", "")),
            points=tuple(map(str, card["points"])),
            groups={key: tuple(value) for key, value in card.get("groups", {}).items()},
            edges=tuple((a, b) for path in paths for a, b in pairwise(path)),
            mirror=tuple(mirror) if sides else tuple(range(len(card["points"]))),
            inter_ocular=(ocular[0], ocular[1]) if ocular else None,
            left_eye=tuple(card["left_eye"]) if "left_eye" in card else None,
            right_eye=tuple(card["right_eye"]) if "right_eye" in card else None,
            conversions=conversions,
            sides=sides,
            usual=card.get("usual", True),
        )
    except MarkUpError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise MarkUpError(f"mark-up {name!r}: its file is not as it should be: {in_words(error)}") from error


def to_toml(kind: MarkUp) -> str:
    """Return the text from which `from_toml` makes the same mark-up."""
    from meanshape.core.config import dump

    card: dict[str, Any] = {
        "name": kind.name,
        "title": kind.title,
        "points": kind.points,
        "mirror": kind.mirror if kind.sides else "unknown",
        "usual": kind.usual,
        "paths": kind.edges,
    }
    card |= {
        key: value
        for key in ("inter_ocular", "left_eye", "right_eye")
        if (value := getattr(kind, key)) is not None
    }
    conversions = {to: {"loses": c.loses, "points": c.sources} for to, c in kind.conversions.items()}
    return dump(card | {"groups": dict(kind.groups), "conversions": conversions})


def shipped(kind: MarkUp) -> bool:
    """Tell whether a mark-up is one of the package, point for point."""
    return kind.name in markup_names() and _markup(kind.name) == kind


def markup_names() -> tuple[str, ...]:
    """Return the names of all mark-ups."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def _markup(name: str) -> MarkUp:
    path = FOLDER / f"{name}.toml"
    if name not in markup_names():
        raise UnknownName.of("mark-up", name, markup_names())
    return from_toml(name, path.read_text("utf-8"))


def markup(name: str | MarkUp) -> MarkUp:
    """Return a mark-up by its name; a mark-up is returned as it is.

    A name that ends in `.toml` is a file with a mark-up of one's own, called like the file; once it was read,
    its bare name will do.
    """
    if isinstance(name, MarkUp):
        return name
    return load_markup(name) if name.endswith(".toml") else _OWN.get(name) or _markup(name)


def named(name: object) -> MarkUp:
    """Return the mark-up that a file's content names: by its name alone, for a file must reach no other."""
    if not isinstance(name, str) or name.endswith(".toml"):
        raise UnknownName.of("mark-up", name, markup_names())
    return markup(name)


_OWN: dict[str, MarkUp] = {}


def markups_in(folder: str | Path) -> list[MarkUp]:
    """Return the mark-ups that lie in a folder as TOML files, known by name from now on.

    TOML files without a list of points do not count, nor do links: what they lead to is not in the folder.
    """
    found = sorted(Path(folder).glob("*.toml"))
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    return [load_markup(path) for path in files if _lists_points(path)]


def _lists_points(path: Path) -> bool:
    """Tell whether a TOML file has a list `points`, or cannot be read and may have one."""
    try:
        return isinstance(toml.read(path).get("points"), list)
    except (OSError, ValueError):
        return True


def load_markup(path: str | Path) -> MarkUp:
    """Return the mark-up in a TOML file, and know it by its name from now on.

    Raises `MarkUpError` if there is none, or if its name is that of another mark-up.
    """
    path = Path(path)
    try:
        kind = from_toml(path.stem, read_text(path, toml.LARGEST))
    except (OSError, UnicodeDecodeError) as error:
        raise MarkUpError(f"{path}: a mark-up cannot be read from it ({error})") from error
    if kind.name in markup_names() and not shipped(kind):
        raise MarkUpError(f"{path}: {kind.name} is a mark-up of the package; call yours something else")
    _OWN[kind.name] = kind
    return kind

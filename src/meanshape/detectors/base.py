"""What every face detector is: any picture in, faces out, best first."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from meanshape.core import checks, registry
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, ResultError
from meanshape.core.face import Face
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.origin import Origin


class FaceDetector(ABC):
    """Finds faces. `Face.box` is the detector's own; `canonical` makes it the box that methods take.

    A detector's card may hold `canonical = [left, top, right, bottom]`: where the canonical face box (the
    tight box of the 68 points) lies relative to its own, fitted on training faces. The boxes of our own
    detectors reach from forehead to chin and from ear to ear, as WIDER FACE labels them.
    """

    name: ClassVar[str]
    sure: float = 0.0
    """The score from which a face surely stands upright, so that `turns="auto"` need not look further."""

    @property
    def origin(self) -> Origin:
        """The terms of the detector, from its card; of one that brings weights, those of its weights."""
        known = self.name in registry.names("detectors")
        own = known and isinstance(self, registry.detector(self.name))  # not another under a known name
        return Origin.read(_card(self.name)) if own else Origin()

    def detect(self, image: ImageLike, **options: Any) -> tuple[Face, ...]:
        """Return the faces in a picture (path, bytes, PIL image or RGB array), best first, maybe none.

        Parameters
        ----------
        image : the picture
        options : what `_detect` names, such as `min_face` in pixels. `source`, what the picture is called,
            may always be given and reaches those that name it.

        Raises
        ------
        ConfigError : an option that this detector does not know
        """
        known = self._known(options)
        return best_first(self._faces(self._detect(read_image(image), **known)))

    def _faces(self, found: Any) -> Iterator[Face]:
        """Pass faces on; what a detector of somebody's own returns in their place is an error."""
        for face in found if isinstance(found, Iterable) else (found,):
            if not isinstance(face, Face):
                raise ResultError(f"detector {self.name} has to return Faces, not {type(face).__name__}")
            yield face

    def takes(self, option: str) -> bool:
        """Tell whether `detect` knows an option."""
        return accepts(type(self)._detect, option)

    def _known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that `_detect` names; an unknown one is an error, but for `source`."""
        for name in options:
            if name != "source" and not self.takes(name):
                raise ConfigError(f"detector {self.name} takes no {name}")
        return {name: value for name, value in options.items() if self.takes(name)}

    @abstractmethod
    def _detect(self, image: Pixels, *args: Any, **options: Any) -> Iterable[Face]:
        """Return the faces in RGB pixels, in any order. A detector names the options that it knows."""

    def looked_at(self, width: int, height: int, min_face: float | None = None) -> int:
        """Return how many pixels the search looks at in a picture of this size, over all scales.

        Time grows with it. Detectors that do not search look at none.
        """
        return 0

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first; none: it runs without."""
        return ()

    def scores(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return for each canonical box whether it holds a face, 0..1; 1 from detectors that cannot say.

        A quick check for faces that are followed through a video, not a search.
        """
        return [1.0] * len(boxes)

    def canonical(self, box: Box) -> Box:
        """Return the canonical face box that belongs to a box of this detector."""
        return box.part(_canonical(self.name))

    def head(self, box: Box) -> Box:
        """Return the box of this detector that belongs to a canonical one."""
        left, top, right, bottom = _canonical(self.name)
        wide, high = right - left, bottom - top
        return box.part((-left / wide, -top / high, (1 - left) / wide, (1 - top) / high))


def check_min_face(min_face: float, least: float = 12) -> float:
    """Return the smallest face to look for, or raise `ConfigError` if it is out of range."""
    if checks.number(min_face, "min_face", ConfigError) < least:
        raise ConfigError(f"min_face must be at least {least} pixels, not {min_face}")
    return min_face


def best_first(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Return faces by falling score, then by falling area; faces without a score come last."""
    return tuple(sorted(faces, key=rank, reverse=True))


def rank(face: Face) -> tuple[float, float]:
    """Return a face's score, -1 without one, and area: what faces are sorted by."""
    return -1.0 if face.score is None else face.score, face.box.area


@cache
def accepts(function: Callable[..., Any], option: str) -> bool:
    """Tell whether a function, or the making of a class, names an option or takes any."""
    known = inspect.signature(function).parameters
    return option in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


@cache
def _canonical(name: str) -> Sequence[float]:
    """Return where the canonical box lies in a detector's box: on it, where no card says anything."""
    fractions: Sequence[float] = _card(name).get("canonical", (0.0, 0.0, 1.0, 1.0))
    return fractions


def _card(name: str) -> dict[str, Any]:
    """Return the card of a detector that is a plug-in; of others there is none."""
    return registry.card("detectors", name) if name in registry.names("detectors") else {}

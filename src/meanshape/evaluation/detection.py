"""How many faces a detector finds, by groups of them, and how many boxes hold none.

For data sets with boxes and no points, such as WIDER FACE. Boxes are matched in order of their scores; a pair
needs an intersection over union of 0.4. Faces marked invalid, and those below 10 pixels, are neither hits nor
misses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.errors import DataSetError
from meanshape.core.sample import Sample
from meanshape.detectors.base import FaceDetector
from meanshape.evaluation.labels import Labels
from meanshape.evaluation.slices import FEW, check_groups, group, ordered

OVERLAP, SMALLEST, DRAWS = 0.4, 10.0, 1000


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Which faces one detector found.

    Attributes
    ----------
    found : (N,) bool, by face
    photos : (N,) the number of the photo that each face is in
    false : (P,) boxes without a face, by photo
    groupings : by name the group of each face
    """

    detector: str
    found: NDArray[np.bool_]
    photos: NDArray[np.intp]
    false: NDArray[np.intp]
    groupings: Labels = field(default_factory=dict)

    def recall(self, inside: NDArray[np.bool_] | None = None) -> float:
        """Return how many percent of the faces, or of some of them, were found."""
        some = self.found if inside is None else self.found[inside]
        return 100 * float(some.mean()) if len(some) else float("nan")

    def interval(self, inside: NDArray[np.bool_] | None = None) -> tuple[float, float]:
        """Return the 95 % interval of the recall by drawing photos, whose faces belong together."""
        inside = np.ones(len(self.found), bool) if inside is None else inside
        faces = np.bincount(self.photos[inside], minlength=len(self.false)).astype(float)
        hits = np.bincount(self.photos[inside & self.found], minlength=len(self.false)).astype(float)
        there = np.flatnonzero(faces)
        rng = np.random.default_rng(0)
        drawn = there[rng.integers(0, len(there), (DRAWS, len(there)))]
        low, high = np.percentile(100 * hits[drawn].sum(1) / faces[drawn].sum(1), (2.5, 97.5))
        return float(low), float(high)

    def slices(self, name: str) -> dict[str, dict[str, Any]]:
        """Return number, recall and its interval of the faces of each group; `few` marks small ones."""
        labels = self.groupings[name]
        made = {}
        for label in ordered(name, labels):
            inside = np.array([other == label for other in labels])
            count, interval = int(inside.sum()), list(self.interval(inside))
            made[label] = {
                "count": count, "recall": self.recall(inside), "interval": interval, "few": count < FEW,
            }  # fmt: skip
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "detector": self.detector,
            "photos": len(self.false),
            "count": len(self.found),
            "recall": self.recall(),
            "recall_interval": list(self.interval()),
            "false_per_photo": float(self.false.mean()),
            "slices": {name: self.slices(name) for name in self.groupings},
        }


def measures_detectors(samples: Sequence[Sample]) -> bool:
    """Tell whether samples have boxes and nothing else to measure."""
    return all(sample.shape is None for sample in samples) and any(s.own_box is not None for s in samples)


def detect_all(
    detector: FaceDetector,
    samples: Sequence[Sample],
    by: Sequence[str] = (),
    progress: Callable[[float, str], None] | None = None,
) -> Detection:
    """Measure a detector on photos whose faces all have boxes."""
    check_groups(samples, by)
    photos: dict[str, list[Sample]] = {}
    for sample in samples:
        if not isinstance(sample.image, str | Path):
            raise DataSetError(f"{sample.id}: the faces of a photo are known by its file, and this has none")
        photos.setdefault(str(sample.image), []).append(sample)
    kept: list[Sample] = []
    found: list[bool] = []
    owner: list[int] = []
    false: list[int] = []
    for number, faces in enumerate(photos.values()):
        wanted = [face for face in faces if _counts(face)]
        others = [face.own_box for face in faces if not _counts(face) and face.own_box is not None]
        boxes = [face.box for face in detector.detect(faces[0].pixels())]
        hits, wrong = match(boxes, [face.own_box for face in wanted if face.own_box is not None], others)
        kept, found, false = [*kept, *wanted], [*found, *hits], [*false, wrong]
        owner += [number] * len(wanted)
        if progress is not None:
            progress((number + 1) / len(photos), f"{number + 1} of {len(photos)} photos")
    if not kept:
        raise DataSetError(f"none of {len(samples)} faces has a box of {SMALLEST:g} pixels or more")
    return Detection(
        detector.name,
        np.array(found, bool),
        np.array(owner, np.intp),
        np.array(false, np.intp),
        {name: group(kept, name) for name in by},
    )


def match(boxes: Sequence[Box], faces: Sequence[Box], ignored: Sequence[Box]) -> tuple[list[bool], int]:
    """Match boxes, best first, to faces; return which faces were found, and how many boxes hold none."""
    found, wrong = [False] * len(faces), 0
    for box in boxes:
        overlap = [0.0 if done else box.iou(face) for done, face in zip(found, faces, strict=True)]
        best = max(range(len(faces)), key=overlap.__getitem__, default=None)
        if best is not None and overlap[best] >= OVERLAP:
            found[best] = True
        elif not any(box.iou(other) >= OVERLAP for other in ignored):
            wrong += 1
    return found, wrong


def _counts(sample: Sample) -> bool:
    """Tell whether a face is to be found."""
    box = sample.own_box
    return box is not None and box.size >= SMALLEST and not sample.attributes.get("invalid")

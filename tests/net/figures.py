"""What the net measures: shipped models on fixed validation faces, shipped detectors on fixed photos.

Predictions are deterministic, so that a figure which moves means that pixels, crops, graphs, settings or the
way from the crop back to the picture have changed. Mean errors alone would be a coarse net: half a pixel to
the side hardly changes them. So the signed offset and the size of the shapes are measured as well, and the
offset of each single face. Figures are percent, those of points percent of the distance of the outer eye
corners (68 points) or of the eyes (5 points); angles are degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_data import DATA

import meanshape as ms
from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.detectors.base import FaceDetector

Floats = NDArray[np.float64]
Figures = dict[str, Any]
"""A number by name; beside them `each`, the offset of each face (N, 2), and `pixels`, a sum over the
pictures.
"""
FACES, PHOTOS, EMPTY = 60, 30, 10
IBUG = "ibug300w:{}/300w:validation"
POINTS_FROM = {"ibug68": IBUG, "ibug70": IBUG, "mtfl5": "mtfl:{}/mtfl:validation"}
LABELS_FROM = {"emotional_dan": "fer2013:{}/fer2013:validation"}
"""Where a model's labels are measured; else on the faces of its points."""


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return so many of the items, evenly spaced."""
    return [items[n * len(items) // count] for n in range(count)]


def samples(data: str, count: int = FACES) -> list[Sample]:
    """Return fixed samples of a data argument that leaves the root open."""
    return spread(load_data(data.format(DATA)), count)


def of_model(name: str, **options: Any) -> Figures:
    """Return the figures of a shipped model."""
    model = ms.load(name)
    assert model.markup is not None
    faces = samples(POINTS_FROM[model.markup.name])
    shapes = [model.predict(sample.image, sample.box, **options) for sample in faces]
    found = of_points([s.to(f.shape.markup).points for s, f in zip(shapes, faces, strict=True)], faces)
    sure = [shape.confidence for shape in shapes if shape.confidence is not None]
    if sure:
        found["confidence"] = 100 * float(np.mean(sure))
    if hasattr(model, "attributes") and not options:
        labelled = samples(LABELS_FROM[name]) if name in LABELS_FROM else faces
        found |= of_labels(model, labelled)
    return rounded(found)


SHAPE = ("nme", "right", "down", "larger")


def of_points(points: Sequence[Floats], faces: Sequence[Sample]) -> Figures:
    """Return error, offset and size of predicted shapes: `nme`, `right`, `down`, `larger`."""
    rows = []
    for found, sample in zip(points, faces, strict=True):
        assert sample.shape is not None
        true, length = sample.shape.points, eye_distance(sample)
        off = (found - true) / length
        size = [np.sqrt(((p - p.mean(0)) ** 2).sum(1).mean()) for p in (found, true)]
        rows.append((np.linalg.norm(off, axis=1).mean(), *off.mean(0), size[0] / size[1] - 1))
    table = 100 * np.array(rows)
    figures: Figures = dict(zip(SHAPE, table.mean(0).tolist(), strict=True))
    figures["each"] = table[:, 1:3].round(3).tolist()
    figures["pixels"] = sum(int(sample.pixels().sum()) for sample in faces)
    return figures


def of_labels(model: Any, faces: Sequence[Sample]) -> Figures:
    """Return, by attribute, the mean probability of the true label."""
    chances: dict[str, list[float]] = {}
    for sample in faces:
        for what, probabilities in model.attributes(sample.image, sample.box).items():
            chances.setdefault(what, []).append(probabilities[sample.attributes[what]])
    return {what: 100 * float(np.mean(values)) for what, values in chances.items()}


def of_detector(name: str) -> Figures:
    """Return the figures of a shipped detector on photos with one known face each, and on some without."""
    detector: FaceDetector = registry.detector(name)()
    photos = samples("ibug300w:{}/300w_photos:validation", PHOTOS)
    without = spread(sorted((DATA / "no_people").glob("*.jpg")), EMPTY)
    count, rows, holds = 0, [], []
    for sample in photos:
        pixels, box = sample.pixels(), sample.box
        assert box is not None
        faces = detector.detect(pixels)
        count += len(faces)
        rows.append(_nearest(detector, faces, sample))
        holds += detector.scores(pixels, [box])
    pixels = [ms.core.image.read_image(path) for path in without]
    middle = [Box.whole(one.shape[1], one.shape[0]).scaled(0.4) for one in pixels]
    false = [100 * s for one, box in zip(pixels, middle, strict=True) for s in detector.scores(one, [box])]
    keys = ("iou", "score", "box right", "box down", "box larger", "points")
    return rounded(
        {
            "faces": count,
            "false faces": sum(len(detector.detect(one)) for one in pixels),
            **dict(zip(keys, np.nanmean(rows, axis=0).tolist(), strict=True)),
            "check": 100 * float(np.mean(holds)),
            "check of no face": float(np.mean(false)),
        }
    )


def of_pipeline() -> Figures:
    """Return the figures of detector, model and pose together, as a user gets them."""
    pipeline = ms.Pipeline()
    points, poses, faces = [], [], samples("ibug300w:{}/300w_photos:validation", PHOTOS)
    for sample in faces:
        assert sample.box is not None
        best = max(pipeline(sample.image).faces, key=lambda face: face.shape.box().iou(sample.box))
        points.append(best.shape.to(sample.shape.markup).points)
        poses.append((best.pose.pitch, best.pose.yaw, best.pose.roll))
    angles = dict(zip(("pitch", "yaw", "roll"), np.mean(poses, axis=0).tolist(), strict=True))
    turned = {"turned": float(np.abs(poses).mean())}
    return rounded(of_points(points, faces) | angles | turned)


def everything() -> dict[str, Figures]:
    """Return all figures: of each shipped model, of each detector that looks, of both together."""
    models = {f"model {name}": of_model(name) for name in weights.names()}
    cut = {f"model {name}, stages=1": of_model(name, stages=1) for name in STAGED}
    detectors = {f"detector {name}": of_detector(name) for name in looking()}
    return models | cut | detectors | {"pipeline": of_pipeline()}


STAGED = ("dan", "dan_synthetic", "integral")
"""Models with a file of their own for fewer stages."""


def looking() -> list[str]:
    """Return the detectors that have weights in the package."""
    there = (*weights.names(), *weights.detector_names())
    return [name for name in registry.names("detectors") if name in there]


def eye_distance(sample: Sample) -> float:
    """Return the distance of the outer eye corners (68 points) or of the eyes (5 points)."""
    shape = sample.shape
    assert shape is not None
    outer = shape.markup.inter_ocular or (0, 1)
    return float(np.linalg.norm(np.subtract(*shape.points[list(outer)])))


TOLERANCE = 0.02
"""Of errors, offsets and sizes, in percentage points. Adding up in another order (ONNX Runtime without its
optimisations, OpenCV without SIMD) moves them by 0.0006 at most, another JPEG decoder (a tenth of the values
off by one) by 0.02.
"""
LOOSE = 0.1
"""Of confidences, labels, scores and what follows from a detector's choices, where the last bit can decide
more.
"""
DRIFT = 0.005
"""Of the offsets of single faces, root mean square: 0.0016 at most when floats are added up in another order,
0.016 at least when the crop is 3 % darker. Only where the decoded pictures are the same, for another JPEG
decoder gives 0.09.
"""
ITERATED = 0.02
"""The same for `aam`, whose many small steps carry the last bits far: 0.010 between CPUs with and without
AVX-512, 0.077 when the crop is 3 % darker.
"""


def differences(name: str, found: Figures, stored: Figures) -> list[str]:
    """Return a sentence for each figure of `name` that moved."""
    lines = [f"{what} is gone" for what in stored.keys() - found.keys()]
    for what, value in found.items():
        if what in ("each", "pixels"):
            continue
        within = 0 if "faces" in what else TOLERANCE if what in SHAPE else LOOSE
        before = stored.get(what, np.nan)
        if not abs(value - before) <= within:
            lines.append(f"{what} was {before:g} and is {value:g}")
    if "each" in found and found["pixels"] == stored.get("pixels"):
        drift = np.sqrt(np.mean((np.array(found["each"]) - stored["each"]) ** 2))
        if not drift <= (ITERATED if name == "model aam" else DRIFT):
            lines.append(f"faces moved by {drift:.4f} each")
    return lines


def rounded(figures: Figures) -> Figures:
    """Return figures as they are stored."""
    return {what: round(v, 4) if isinstance(v, float) else v for what, v in figures.items()}


def _nearest(detector: FaceDetector, faces: Sequence[Any], sample: Sample) -> tuple[float, ...]:
    """Return how the best box and its five points lie to the true face, percent; 0 if none was found."""
    box, shape = sample.box, sample.shape
    assert box is not None and shape is not None
    if not faces:
        return (0.0,) * 6
    best = max(faces, key=lambda face: detector.canonical(face.box).iou(box))
    mine = detector.canonical(best.box)
    off = (np.array(mine.center) - box.center) / box.size
    five = np.nan if best.shape is None else shape.to("mtfl5").points - best.shape.points
    points = np.linalg.norm(five, axis=1).mean() / eye_distance(sample)
    row = (mine.iou(box), best.score, *off, mine.size / box.size - 1, points)
    return tuple(100 * float(value) for value in row)

"""Measure the MTCNN detector: recall per stage, false boxes, points, box agreement.

    python benchmarks/mtcnn_evaluate.py --mtfl ROOT --photos ROOT --negatives FOLDER [--weights FOLDER]

`--mtfl` is the root of MTFL with CNN_FacePoint's list beside it (validation split), `--photos` a folder of
whole photos with one face of 68 points each (`.pts` beside the photo), `--negatives` people-free photos, of
which every sixth (those never trained on) is used. Group scenes are made by pasting validation faces into
those; every fourth validation face is cropped to a small picture that it fills. Everything printed is a
share or percent as named.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.image import read_image
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import mtfl
from meanshape.formats.pts import read_points
from meanshape.methods.mtcnn import cascade
from meanshape.methods.mtcnn.training.faces import make_faces
from meanshape.methods.mtcnn.training.mining import overlaps
from meanshape.methods.mtcnn.training.scenes import scenes

LOW = 0.02  # O-Net's threshold while measuring: one search serves all thresholds reported
REPORT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass
class Found:
    """Scores of the right boxes (0: missed), scores of the wrong ones per photo, point errors."""

    hits: list[float] = field(default_factory=list)
    wrong: list[NDArray[Any]] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    extra: dict[str, list[float]] = field(default_factory=dict)


def search(net: Any, image: NDArray[np.uint8], min_face: float) -> tuple[cascade.Windows, ...]:
    """Return what each stage passes on."""
    config, crops = net.config, cascade.Crops(image)
    first, second, _ = config.thresholds
    scan = cascade.Scan(min_face * config.stretch, config.factor, config.stride)
    proposed = cascade.propose(crops, net.pnet, scan, first, config.support)
    refined = cascade.refine(crops, net.rnet, proposed, second)
    return (
        proposed,
        refined,
        cascade.conclude(crops, net.onet, refined, LOW, config.looks, config.mirror),
    )


def labelled(net: Any, samples: Sequence[Sample], min_face: float) -> tuple[Found, dict[str, float]]:
    """Search photos of one labelled face: the list's own box at IoU 0.4 and 0.5 after each stage."""
    found = Found()
    best: dict[str, list[float]] = {name: [] for name in ("pnet", "rnet", "onet")}
    for sample in samples:
        assert sample.shape is not None
        truth = np.array([(sample.own_box or sample.box).as_list()])  # type: ignore[union-attr]
        stages = search(net, sample.pixels(), min_face)
        for name, windows in zip(best, stages, strict=True):
            best[name].append(float(overlaps(windows.boxes, truth).max(initial=0.0)))
        last = stages[-1]
        over = overlaps(last.boxes, truth)[:, 0]
        right = over > 0.4
        found.hits.append(float(last.scores[right].max(initial=0.0)))
        if right.any():
            points = last.points[int(over.argmax())]  # type: ignore[index]
            eyes = np.linalg.norm(sample.shape.points[0] - sample.shape.points[1])
            found.errors.append(float(np.linalg.norm(points - sample.shape.points, axis=1).mean() / eyes))
    recall = {f"{n}@{t}": 100 * float(np.mean(np.array(v) > t)) for n, v in best.items() for t in (0.4, 0.5)}
    return found, recall


def people_free(net: Any, photos: Sequence[NDArray[np.uint8]], min_face: float) -> list[NDArray[Any]]:
    """Return the scores of all boxes, photo by photo: every one is false."""
    return [search(net, photo, min_face)[-1].scores for photo in photos]


def groups(net: Any, made: Sequence[Any], min_face: float) -> Found:
    """Search pasted group scenes, whose labels are complete; faces smaller than `min_face` do not count."""
    found = Found()
    for scene in made:
        last = search(net, scene.image, min_face)[-1]
        table = overlaps(last.boxes, scene.boxes)
        for column, box in zip(table.T, scene.boxes, strict=True):
            if (box[2:] - box[:2]).max() >= min_face:
                found.hits.append(float(last.scores[column > 0.4].max(initial=0.0)))
        found.wrong.append(last.scores[table.max(axis=1, initial=0.0) < 0.3])
    return found


def agreement(net: Any, folder: Path, min_face: float) -> dict[str, float]:
    """Return how well the canonical box of what was found agrees with the tight box of 68 true points."""
    overlap = []
    for path in sorted(folder.rglob("*.pts")):
        truth = Box.around(read_points(path))
        image = next(p for s in (".jpg", ".png", ".jpeg") if (p := path.with_suffix(s)).exists())
        last = search(net, read_image(image), min_face)[-1]
        boxes = [Box(*box).part(net.config.canonical) for box in last.boxes[last.scores > 0.5].tolist()]
        overlap.append(max((box.iou(truth) for box in boxes), default=0.0))
    seen = np.array(overlap)
    return {
        "photos": len(seen),
        "missed_percent": 100 * float(np.mean(seen < 0.3)),
        "iou_mean": float(seen[seen >= 0.3].mean()),
        "iou_p5": float(np.percentile(seen, 5)),
    }


def filling(net: Any, samples: Sequence[Sample], min_face: float) -> dict[str, Any]:
    """Search pictures of 150x150 pixels that a face fills, off-centre, the tightest cut by the border.

    Each is a square of a photo, its side a random multiple of the canonical box's longer side, moved at
    random; a face is found where the canonical box of a face overlaps the true one by more than 0.4.
    """
    threshold, report = net.config.thresholds[2], {}
    for low, high, shift in ((1.3, 1.6, 0.1), (1.0, 1.3, 0.15), (0.8, 1.0, 0.2), (0.65, 0.8, 0.2)):
        rng = np.random.default_rng(5)
        found, errors, others = [], [], 0
        for sample in samples:
            picture, box, five = tight_crop(sample, rng.uniform(low, high), rng.uniform(-shift, shift, 2))
            last = search(net, picture, min_face)[-1]
            last = last.take(np.flatnonzero(last.scores > threshold))
            boxes = [Box(*row).part(net.config.canonical) for row in last.boxes.tolist()]
            right = [n for n, b in enumerate(boxes) if b.iou(box) > 0.4]
            found.append(bool(right))
            others += len(boxes) - len(right)
            if right and last.points is not None:
                eyes = np.linalg.norm(five[0] - five[1])
                errors.append(np.linalg.norm(last.points[right[0]] - five, axis=1).mean() / eyes)
        report[f"side {low}-{high}"] = {
            "missed_percent": round(100 - 100 * float(np.mean(found)), 2),
            "other_boxes": others,
            "nme_inter_pupil_percent": round(100 * float(np.mean(errors)), 2),
        }
    return report


def tight_crop(
    sample: Sample, sides: float, shift: NDArray[np.float64]
) -> tuple[NDArray[Any], Box, NDArray[np.float64]]:
    """Return a 150x150 square of the photo, and the canonical box and points in it."""
    assert sample.box is not None
    assert sample.shape is not None
    image = sample.pixels()
    side = min(round(max(sample.box.width, sample.box.height) * sides), *image.shape[:2])
    corner = np.round(np.array(sample.box.center) + side * (shift - 0.5)).astype(int)
    left, top = np.clip(corner, 0, np.array([image.shape[1], image.shape[0]]) - side).tolist()
    zoom = 150 / side
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    picture: NDArray[Any] = cv2.resize(
        image[top : top + side, left : left + side], (150, 150), interpolation=way
    )

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points - [left, top] + 0.5) * zoom - 0.5)

    corners = np.array(sample.box.as_list()[:4]).reshape(2, 2)
    return picture, Box(*move(corners).ravel().tolist()), move(sample.shape.points)


def own_points(samples: Sequence[Sample], weights: Path | None) -> float:
    """Return the inter-pupil NME (percent) of the method given the true canonical box."""
    model = registry.method("mtcnn")
    loaded = model.load(weights or Path(registry.__file__).parent.parent / "weights" / "mtcnn")
    errors = []
    for sample in samples:
        assert isinstance(sample.shape, Shape)
        points = loaded.predict(sample.pixels(), sample.box).points
        eyes = np.linalg.norm(sample.shape.points[0] - sample.shape.points[1])
        errors.append(np.linalg.norm(points - sample.shape.points, axis=1).mean() / eyes)
    return 100 * float(np.mean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mtfl", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--min-face", type=float, default=40)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    net = registry.detector("mtcnn")(weights=args.weights).cascade
    samples = mtfl.samples(args.mtfl, "validation")[: args.limit]
    held_out = [read_image(p) for p in sorted(args.negatives.glob("*.jpg"))[::6]]
    found, recall = labelled(net, samples, args.min_face)
    empty = people_free(net, held_out, args.min_face)
    faces = make_faces([s.pixels for s in samples], [np.array(s.shape.points) for s in samples if s.shape])
    many = groups(net, scenes(faces, held_out, 60, np.random.default_rng(7), angle=8.0), args.min_face)
    errors = np.array(found.errors)
    report: dict[str, Any] = {
        "thresholds": net.config.thresholds,
        "recall_percent_per_stage": recall,
        "points_own_box": {
            "nme_inter_pupil_percent": 100 * float(errors.mean()),
            "above_10_percent": 100 * float(np.mean(errors > 0.1)),
        },
        "points_true_box_nme_percent": own_points(samples, args.weights),
        "face_fills_150x150": filling(net, samples[::4], args.min_face),
        "agreement": agreement(net, args.photos, args.min_face),
        "by_threshold": {
            str(t): {
                "found_percent": 100 * float(np.mean(np.array(found.hits) > t)),
                "false_per_people_free_photo": float(np.mean([(s > t).sum() for s in empty])),
                "group_found_percent": 100 * float(np.mean(np.array(many.hits) > t)),
                "group_false_per_photo": float(np.mean([(s > t).sum() for s in many.wrong])),
            }
            for t in REPORT
        },
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

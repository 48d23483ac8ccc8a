"""How far head poses are off, on rendered faces of known angles; and where the generic head comes from.

python benchmarks/pose.py --json benchmarks/results/pose.json      measure, with --model dan also from its
points python benchmarks/pose.py --head src/meanshape/inference/head.toml make the head
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.markup import markup
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.datasets.synthetic.generate import Options, plan
from meanshape.inference.pose import head_pose

RANGE = (30.0, 60.0, 45.0)  # of pitch, yaw and roll, degrees
ANGLES = ("pitch", "yaw", "roll")
HEAD_SEED, TEST_SEED = 11, 77
MODES = 10
NOTE = """# The generic head that poses are measured with: {persons} of our own rendered persons with their
# expressions, brought to one size and made symmetric (`python benchmarks/pose.py --head FILE` writes this).
# `places`: their mean, the 51 inner iBUG points in millimetres, x to the picture's right when the face looks
# at the camera, y down, z toward the camera. `modes`: the main variations, one standard deviation strong.
"""


def make_head(path: Path, persons: int) -> None:
    """Write mean and variations of rendered persons, as they look before they turn."""
    kind = markup("ibug51")
    found = []
    for number in range(persons):
        figure = plan((HEAD_SEED, number), 128, Options()).figure
        found.append(figure.points[17:].astype(float) @ figure.turn.astype(float))
    places = np.array(found)
    places -= places.mean(1, keepdims=True)
    places = np.concatenate([places, places[:, list(kind.mirror)] * (-1, 1, 1)])
    mean = places.mean(0)
    places *= ((places * mean).sum((1, 2)) / (places * places).sum((1, 2)))[:, None, None]
    mean = places.mean(0)
    _, sizes, modes = np.linalg.svd((places - mean).reshape(len(places), -1), full_matrices=False)
    strong = (modes * (sizes / np.sqrt(len(places)))[:, None])[:MODES].reshape(MODES, -1, 3)

    def rows(values: NDArray[np.float64], digits: int) -> str:
        return "".join(f"  [{x:.{digits}f}, {y:.{digits}f}, {z:.{digits}f}],\n" for x, y, z in values)

    text = (
        NOTE.format(persons=f"{persons:,}")
        + 'markup = "ibug51"\nplaces = [\n'
        + rows(mean, 1)
        + "]\nmodes = [\n"
    )
    path.write_text(text + "".join(f"[\n{rows(mode, 2)}],\n" for mode in strong) + "]\n", "utf-8")


def errors(
    count: int, size: int, points: Callable[[Sample], Shape] | None, kind: str, natural: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angles (N, 3) of faces, and what was measured minus them; evenly drawn, or as people turn in photos."""
    rng = np.random.default_rng(0)
    asked, off = [], []
    for number in range(count):
        angles = rng.uniform(-1, 1, 3) * RANGE
        options = dict(zip(ANGLES, angles.tolist(), strict=True))
        if points is None:
            shape = Shape(plan((TEST_SEED, number), size, Options(**options)).points, "ibug68")
        else:
            face = synthetic.face((TEST_SEED, number), size, **({} if natural else options))
            shape = points(face)
            angles = np.array([face.attributes[name] for name in ANGLES])
        pose = head_pose(shape if kind == "ibug68" else shape.to(kind))
        assert pose is not None
        asked.append(angles)
        off.append([pose.pitch, pose.yaw, pose.roll] - angles)
    wrong = np.array(off)
    wrong[:, 2] = (wrong[:, 2] + 180) % 360 - 180
    return np.array(asked), wrong


def summary(asked: NDArray[np.float64], off: NDArray[np.float64]) -> dict[str, object]:
    """Mean and 95th percentile of the absolute errors in degrees, and by how far the head is turned."""
    size, yaw = np.abs(off), np.abs(asked[:, 1])
    by_yaw = {
        f"{low}-{low + 20}": size[(yaw >= low) & (yaw < low + 20)].mean(0).round(2).tolist()
        for low in (0, 20, 40)
    }
    return {
        "count": len(off),
        "mean": round(float(size.mean()), 2),
        "by_angle": dict(zip(ANGLES, size.mean(0).round(2).tolist(), strict=True)),
        "p95": dict(zip(ANGLES, np.percentile(size, 95, axis=0).round(2).tolist(), strict=True)),
        "bias": dict(zip(ANGLES, off.mean(0).round(2).tolist(), strict=True)),
        "by_absolute_yaw": by_yaw,
    }


def main() -> None:
    """Measure, or make the head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", type=Path, help="write the generic head to this file")
    parser.add_argument("--persons", type=int, default=2000)
    parser.add_argument("--model", nargs="*", default=[], help="also from the points of these models")
    parser.add_argument("--count", type=int, default=1000, help="faces with true points")
    parser.add_argument("--pictures", type=int, default=300, help="faces rendered for the models")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.head:
        make_head(arguments.head, arguments.persons)
        return
    results: dict[str, object] = {}
    for kind in ("ibug68", "ibug51", "mtfl5"):
        results[f"true points, {kind}"] = summary(*errors(arguments.count, 128, None, kind))
    for name in arguments.model:
        model = ms.load(name)
        for kind in ("ibug68", "mtfl5"):
            found = errors(
                arguments.pictures, 192, lambda face, m=model: m.predict(face.image, face.box), kind
            )  # type: ignore[misc]
            results[f"points of {name}, {kind}"] = summary(*found)
        found = errors(
            arguments.pictures, 192, lambda face, m=model: m.predict(face.image, face.box), "ibug68", True
        )
        results[f"points of {name}, ibug68, poses as in photos"] = summary(*found)
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

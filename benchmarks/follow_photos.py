"""What a followed face's start is worth: photos made into clips, followed by a model alone.

    python benchmarks/follow_photos.py runs/cpr --data ibug300w:ROOT:validation [--faces 50] [--json FILE]

Each photo, its face brought to 130 pixels, becomes a clip of 30 frames with fresh noise: it rests, drifts by
0.8 pixels a frame, or crosses the picture and turns by 10 degrees. No check and no detector: the first frame
begins in the true box, each later one where the tracker says. Error in percent of the outer eye corners;
jitter, as `meanshape jitter` has it, with the motion taken away, in percent of the face's size (root mean
square over faces), unsmoothed and by one_euro.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.box import Box
from meanshape.core.geometry import apply, invert
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.evaluation.jitter import WARM, _noise
from meanshape.inference import tracking
from meanshape.inference.smoothing import smoother
from meanshape.methods.base import LandmarkModel

Float = NDArray[np.float64]
SIDE, FACE, FRAMES, RATE, NOISE = 320, 130, 30, 25, 2.0
DRIFT = np.array([0.8, 0.24])  # pixels a frame
ARMS = {
    "inner points": (False, 0.0),
    "own box": (True, 0.0),
    "own box, on a leash": (True, tracking.RESTS),
}


def clip(sample: Sample, kind: str) -> Iterator[tuple[NDArray[np.uint8], Float]]:
    """Yield frames and what takes the photo to them."""
    assert sample.box is not None
    pixels, factor, middle = sample.pixels(), FACE / sample.box.size, np.array(sample.box.center)
    for number in range(FRAMES):
        time = 2 * math.pi * number / RATE if kind == "moving" else 0.0
        angle = math.radians(10) * math.sin(0.5 * time)
        c, s = factor * math.cos(angle), factor * math.sin(angle)
        matrix = np.array([[c, -s, 0.0], [s, c, 0.0]])
        place = SIDE / 2 + np.array([60 * math.sin(0.45 * time), 20 * math.sin(0.7 * time)])
        place += DRIFT * number * (kind == "drifting")
        matrix[:, 2] = place - matrix[:, :2] @ middle
        flags = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR
        frame = cv2.warpAffine(pixels, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT)
        noise = np.random.default_rng((len(sample.id), number)).normal(0, NOISE, frame.shape)
        yield np.clip(frame + noise + 0.5, 0, 255).astype(np.uint8), matrix


def follow(model: LandmarkModel, sample: Sample, kind: str, own: bool) -> tuple[float, float, float]:
    """Return error, jitter and jitter smoothed of one photo's clip."""
    assert sample.shape is not None and sample.box is not None
    track, quiet = None, smoother("one_euro")
    found, smooth = [], []
    for number, (frame, matrix) in enumerate(clip(sample, kind)):
        time = number / RATE
        if track is None:
            shape = model.predict(frame, Box.around(apply(matrix, sample.shape.points)))
            track = tracking.Track(0, shape, shape.box(), (0, 0, 1, 1), 1.0, time, smoother("none"))
            continue
        box, start = track.ahead(time, own)
        shape = model.predict(frame, box, start=start)
        track.follow(shape, shape.box(), 1.0, time)
        back = invert(matrix)
        found.append(apply(back, shape.points))
        smooth.append(apply(back, quiet(shape.points, time, track.box.size)))
    points, true = np.stack(found), sample.shape.points
    error = 100 * np.linalg.norm(points - true, axis=-1).mean() / math.dist(true[36], true[45])
    noise, quieter = (100 * _noise(np.stack(p)[WARM:]) / sample.box.size for p in (found, smooth))
    return float(error), noise, quieter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--faces", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    samples = load_data(given.data)
    samples = samples[:: max(1, len(samples) // given.faces)][: given.faces]
    rows = []
    for name in given.models:
        model = ms.load(name)
        for arm, (own, tracking.RESTS) in ARMS.items():
            for kind in ("still", "drifting", "moving"):
                error, *jitter = np.array([follow(model, sample, kind, own) for sample in samples]).T
                noise = [round(float(np.sqrt((part**2).mean())), 3) for part in jitter]
                row = {
                    "model": name,
                    "start": arm,
                    "clip": kind,
                    "faces": len(samples),
                }
                row |= {"error": round(float(error.mean()), 3), "jitter": noise[0], "one_euro": noise[1]}
                rows.append(row)
                print(row, flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

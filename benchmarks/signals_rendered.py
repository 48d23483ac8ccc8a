"""Signals of rendered faces that open eyes and mouth, smile, raise the brows; blinks of rendered clips.

python benchmarks/signals_rendered.py [MODEL]: the model's signals beside those of the exact points.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from meanshape import Pipeline, Shape, Tracker
from meanshape.datasets.synthetic import generate
from meanshape.inference import signals

SIZE = 256
MOVES = {
    "right_eye": ("eye_close", (0.0, 0.25, 0.5, 0.75, 1.0)),
    "mouth": ("jaw_open", (0.0, 0.25, 0.5, 0.75, 1.0)),
    "smile": ("smile", (0.0, 0.25, 0.5, 0.75, 1.0)),
    "right_brow": ("brow_raise", (-0.5, 0.0, 0.5, 1.0)),
}
"""By signal: the renderer's move, and how strong it is."""
PEOPLE = 10
RATE, SECONDS, STARTS = 25, 3, (0.6, 1.5, 2.3)
BLINK = (0.6, 1.0, 1.0, 0.6)
"""How far the lids come down in the frames of a blink: 160 ms."""


def rendered(person: int, moves: dict[str, float], noise: int = 0) -> tuple[np.ndarray, Shape]:
    """One frontal face that does this, alone in the picture, and its exact points."""
    options = generate.Options(
        0, 0, 0, emotion="neutral", glasses=False, occlusion=0, fill=0.45, degrade=False
    )
    with patch.object(generate, "draw_moves", lambda emotion, rng: {"asymmetry": 0.0, **moves}):
        pixels, visible, made = generate.picture(person, SIZE, options)
    shaken = pixels + np.random.default_rng((person, noise)).normal(0, 2, pixels.shape)
    return np.clip(shaken + 0.5, 0, 255).astype(np.uint8), Shape(made.points, "ibug68", visible)


def photos(pipeline: Pipeline) -> None:
    """Print each signal's range, error and correlation over all people and strengths."""
    for name, (move, levels) in MOVES.items():
        truth, found, missed = [], [], 0
        for person in range(PEOPLE):
            for level in levels:
                pixels, shape = rendered(person, {move: level})
                faces = pipeline(pixels).faces
                missed += not faces
                if faces:
                    truth.append(getattr(signals.of(shape), name))
                    found.append(getattr(signals.of(faces[0].shape), name))
        apart = np.abs(np.subtract(found, truth))
        print(
            f"{name}: true {min(truth):.2f} to {max(truth):.2f}, mean error {apart.mean():.3f}, "
            f"correlation {np.corrcoef(found, truth)[0, 1]:.2f}, {len(truth)} faces, {missed} missed"
        )


def clip(person: int) -> Iterator[np.ndarray]:
    """Yield the frames of somebody who blinks at `STARTS`."""
    for number in range(RATE * SECONDS):
        into = [number - round(start * RATE) for start in STARTS]
        shut = max((BLINK[n] for n in into if 0 <= n < len(BLINK)), default=0.0)
        yield rendered(person, {"eye_close": shut}, number)[0]


def blinks(pipeline: Pipeline) -> None:
    """Print how many of the blinks of all people are found, and how many others are."""
    hits = others = 0
    for person in range(PEOPLE):
        tracker, times, openings = Tracker(pipeline, smoothing="none"), [], []
        for number, pixels in enumerate(clip(person)):
            for face in tracker(pixels, number / RATE).faces[:1]:
                times.append(number / RATE)
                openings.append(signals.of(face.shape)[:2])
        found = signals.blinks(times, openings)
        near = {start for start in STARTS for one in found if abs(one.start - start) < 0.15}
        hits, others = hits + len(near), others + len(found) - len(near)
    print(f"blinks: {hits} of {PEOPLE * len(STARTS)} found, {others} others, {PEOPLE * SECONDS} s of film")


if __name__ == "__main__":
    ready = Pipeline(model=sys.argv[1] if len(sys.argv) > 1 else None)
    photos(ready)
    blinks(ready)

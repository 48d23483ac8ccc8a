"""Print what the faces of a film do, frame by frame, and when they blink: signals.py FILM."""

import sys
from collections import defaultdict

import meanshape as ms
from meanshape.inference import signals

times: dict[int, list[float]] = defaultdict(list)
shapes: dict[int, list[ms.Shape]] = defaultdict(list)
for prediction in ms.video(sys.argv[1], smoothing="none"):  # smoothing would flatten blinks
    for face in prediction.faces:
        if face.track is not None and prediction.source is not None:
            times[face.track].append(float(prediction.source.rpartition("=")[2]))
            shapes[face.track].append(face.shape)
for track, seen in shapes.items():
    found = signals.relative(seen)  # against the face's own median
    for time, row in zip(times[track], found, strict=True):
        now = signals.Signals(*row)
        eyes, brows = (now.right_eye + now.left_eye) / 2, (now.right_brow + now.left_brow) / 2
        print(f"#{track} {time:.2f} s: eyes {eyes:.2f} mouth {now.mouth:+.2f}", end=" ")
        print(f"smile {now.smile:.2f} brows {brows:+.3f}")
    for blink in signals.blinks(times[track], found[:, :2]):
        print(f"#{track} blinks from {blink.start:.2f} to {blink.end:.2f} s")

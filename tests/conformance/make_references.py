"""Write references.json anew, after weights have changed: `python tests/conformance/make_references.py`.

The picture is a rendered face, stored as a file, so that a better renderer does not change it; `--face`
renders it again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import meanshape as ms
from meanshape.core import weights
from meanshape.core.image import write_image
from meanshape.datasets.synthetic import face

HERE = Path(__file__).parent
IMAGE, FILE = "face.png", HERE / "references.json"


def main() -> None:
    """Ask all shipped weights for the points of the one face."""
    if "--face" in sys.argv or not FILE.exists():
        sample = face(
            4, 128, yaw=8, pitch=0, roll=4, emotion="happy", glasses=False, occlusion=0, clutter=0.3
        )
        write_image(HERE / IMAGE, sample.pixels())
        truth, box = sample.shape.points.round(3).tolist(), [round(v, 3) for v in sample.box.as_list()]
    else:
        stored = json.loads(FILE.read_text("utf-8"))
        truth, box = stored["truth"], stored["box"]
    points = {
        name: ms.load(name).predict(HERE / IMAGE, ms.Box(*box)).points.round(3).tolist()
        for name in weights.names()
    }
    found = {"image": IMAGE, "box": box, "truth": truth, "points": points}
    FILE.write_text(json.dumps(found, indent=None).replace('"points"', '\n"points"') + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Write references.json anew, after weights have changed: `python tests/conformance/make_references.py`.

The pictures are rendered and stored as files, so that a better renderer does not change them; `--pictures`
renders them again. `face.png` is a small face, `large.png` one that crops reduce and whose box reaches beyond
the picture, `scene.png` one with two faces for detectors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import meanshape as ms
from meanshape.core import registry, weights
from meanshape.core.image import write_image
from meanshape.datasets.synthetic import face, scene

HERE = Path(__file__).parent
FILE = HERE / "references.json"
SCENE = "scene.png"
STAGES = {
    "dan, stages=1": ("dan", 1),
    "dan_synthetic, stages=1": ("dan_synthetic", 1),
    "integral, stages=1": ("integral", 1),
}
"""Shipped files of their own that answer a cascade's first stages."""


def main() -> None:
    """Ask all shipped weights for the points of the faces, all detectors for the faces of the scene."""
    faces = render() if "--pictures" in sys.argv or not FILE.exists() else stored()
    for name, about in faces.items():
        picture, box = HERE / name, ms.Box(*about["box"])
        about["points"] = {model: points(model, picture, box) for model in weights.names()}
        about["points"] |= {key: points(model, picture, box, stages=n) for key, (model, n) in STAGES.items()}
    labels = {name: told for name in weights.names() if (told := attributes(name, faces["face.png"]["box"]))}
    detectors = {name: found(name) for name in looking()}
    text = json.dumps({"faces": faces, "labels": labels, "detectors": detectors})
    FILE.write_text(text.replace('"points"', '\n"points"').replace("]], ", "]],\n") + "\n", "utf-8")


def looking() -> list[str]:
    """Return the detectors that look at a picture and need no training first."""
    there = {*weights.names(), *weights.detector_names(), "whole_image"}
    return [name for name in registry.names("detectors") if name in there]


def render() -> dict[str, dict[str, Any]]:
    """Write the pictures; return box and true points of each face."""
    plain: dict[str, Any] = {"emotion": "happy", "glasses": False, "occlusion": 0, "clutter": 0.3}
    faces = {
        "face.png": face(4, 128, yaw=8, pitch=0, roll=4, **plain),
        "large.png": face(11, 360, yaw=-25, pitch=10, roll=-15, fill=0.98, **plain),
    }
    for name, sample in faces.items():
        write_image(HERE / name, sample.pixels())
    write_image(HERE / SCENE, scene(2, size=(320, 240), faces=2, occlusion=0, degrade=False)[0])
    return {
        name: {"box": [round(v, 3) for v in s.box.as_list()], "truth": s.shape.points.round(3).tolist()}
        for name, s in faces.items()
    }


def stored() -> dict[str, dict[str, Any]]:
    """Return box and true points of the faces that are there."""
    faces = json.loads(FILE.read_text("utf-8"))["faces"]
    return {name: {"box": about["box"], "truth": about["truth"]} for name, about in faces.items()}


def points(model: str, picture: Path, box: ms.Box, **options: Any) -> list[Any]:
    """Return the points of a shipped model."""
    return ms.load(model).predict(picture, box, **options).points.round(3).tolist()


def attributes(model: str, box: list[float]) -> dict[str, dict[str, float]]:
    """Return what a model says about the small face beside its points; nothing for most."""
    ask = getattr(ms.load(model), "attributes", None)
    said = ask(HERE / "face.png", ms.Box(*box)) if ask else {}
    return {what: {label: round(p, 4) for label, p in chances.items()} for what, chances in said.items()}


def found(detector: str) -> list[dict[str, Any]]:
    """Return the faces that a detector finds in the scene."""
    return [
        {
            "box": [round(v, 3) for v in one.box.as_list()],
            "score": None if one.score is None else round(one.score, 4),
            "points": [] if one.shape is None else one.shape.points.round(3).tolist(),
        }
        for one in registry.detector(detector)().detect(HERE / SCENE)
    ]


if __name__ == "__main__":
    main()

"""Measure every shipped model on the faces that tuned it, for benchmarks/results/validation.json.

    python benchmarks/validation.py --ibug300w ROOT --photos ROOT --mtfl ROOT [--only NAME] [--twin NAME=DIR]

The official tests are measured elsewhere (official.json). These figures are for tuning, so they must come
from a model that has not learnt from the faces: where a card names them as learnt from, its twin is measured,
the same command on the train split alone, which `--twin` names; without one, what was measured before stays.
Under `also` stands what other scripts measured (robustness, mtcnn_evaluate, wider_recall, studies/emotion);
under `of_each_seed` the error of twins that differ in their seed alone, where there are any.
Cards, README and pages are filled from the file by `tables.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from meanshape.core import weights
from meanshape.evaluation.seen import seen
from meanshape.training.run_folder import commit

FILE = Path(__file__).parent / "results" / "validation.json"
Metrics = dict[str, Any]


def main() -> None:
    asked = _asked()
    twins = dict(text.partition("=")[::2] for text in asked.twin)
    kept = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for name in asked.only or weights.names():
        card = weights.read_card(weights.folder(name))
        if not card.method:
            continue  # finds faces only: wider_recall.py measures it
        five = card.markup == "mtfl5"
        faces = "mtfl:validation" if five else "ibug300w:validation"
        model = twins.get(name, name)
        if seen(
            weights.read_card(twins[name] if name in twins else weights.folder(name)).origin.learnt_from,
            faces,
        ):
            print(f"{name}: has learnt from {faces}; --twin {name}=FOLDER measures its like", file=sys.stderr)
            continue
        told = "a twin: the same command on the train split alone" if name in twins else "the shipped weights"
        before = kept.get(name, {"measured_on": faces, "also": {}})
        found = _of_5(model, card.method, asked) if five else _of_68(model, asked)
        kept[name] = {**before, "by": told, "commit": commit(), "metrics": found}
        FILE.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _of_68(model: str, asked: argparse.Namespace) -> Metrics:
    """Return figures on 300-W validation: the crops from true boxes, whole photos from a detector's."""
    true = _result(model, f"ibug300w:{asked.ibug300w}:validation")
    whole = _result(model, f"ibug300w:{asked.photos}:validation", "--box", "detector")
    return {
        "nme_inter_ocular_percent": _of(true["nme"]["inter_ocular"]),
        "nme_inter_ocular_interval": [round(end, 2) for end in true["nme_interval"]],
        "nme_inter_pupil_percent": _of(true["nme"]["inter_pupil"]),
        "nme_median_percent": _of(true["nme_median"]),
        "auc_8_percent": round(true["auc"]["8"], 2),
        "failure_rate_8_percent": round(true["failure_rate"]["8"], 2),
        "failure_rate_10_percent": round(true["failure_rate"]["10"], 2),
        "inner_nme_inter_ocular_percent": _of(true["groups"]["inner"]),
        "contour_nme_inter_ocular_percent": _of(true["groups"]["contour"]),
        "whole_photos_detector": whole["detector"],
        "whole_photos_detector_box_percent": _of(whole["nme"]["inter_ocular"]),
        "whole_photos_detector_box_interval": [round(end, 2) for end in whole["nme_interval"]],
        "whole_photos_detector_box_median_percent": _of(whole["nme_median"]),
        "whole_photos_detector_box_inner_percent": _of(whole["groups"]["inner"]),
        "whole_photos_detector_box_contour_percent": _of(whole["groups"]["contour"]),
        "whole_photos_detector_box_above_8_percent": round(whole["failure_rate"]["8"], 2),
        "whole_photos_missed_percent": round(100 * whole["missed"] / whole["count"], 2),
    }


def _of_5(model: str, method: str, asked: argparse.Namespace) -> Metrics:
    """Return figures on MTFL validation from both kinds of boxes, and on AFW's faces as five points."""
    found: Metrics = {}
    data = f"mtfl:{asked.mtfl}:validation"
    for box, name in (("truth", "true_box"), ("detector", "detector_box")):
        result = _result(model, data, "--box", box)
        found |= {
            f"{name}_nme_inter_pupil_percent": _of(result["nme"]["inter_pupil"]),
            f"{name}_nme_interval": [round(end, 2) for end in result["nme_interval"]],
            f"{name}_nme_median_percent": _of(result["nme_median"]),
            f"{name}_above_10_percent": round(result["failure_rate"]["10"], 2),
        }
        if box == "detector":
            found |= {
                "detector_box_by": result["detector"],
                "missed_percent": round(100 * result["missed"] / result["count"], 2),
                "accuracy_percent": _rounded(result["accuracy"]),
                "balanced_accuracy_percent": _rounded(result["balanced_accuracy"]),
            }
    afw = _result(model, f"afw:{asked.ibug300w}")
    if not afw["seen"]:
        found |= {
            "afw_true_box_nme_inter_pupil_percent": _of(afw["nme"]["inter_pupil"]),
            "afw_true_box_nme_interval": [round(end, 2) for end in afw["nme_interval"]],
            "afw_true_box_above_10_percent": round(afw["failure_rate"]["10"], 2),
        }
    if method == "dcnn":
        found |= _of_facepoint(model, asked)
    return {key: value for key, value in found.items() if value != {}}


def _of_facepoint(model: str, asked: argparse.Namespace) -> Metrics:
    """Return figures as Sun 2013 has them: by the width of the set's box."""
    found: Metrics = {}
    for box, name in (("truth", ""), ("detector", "detector_box_")):
        result = _result(model, f"cnn_facepoint:{asked.mtfl}:validation", "--box", box)
        found |= {
            f"{name}error_percent": _of(result["nme"]["box_width"]),
            f"{name}above_5_percent_le_re_n_lm_rm": [round(v, 1) for v in _sun(result["point_failure"])],
        }
    return found


def _sun(points: dict[str, float]) -> list[float]:
    """Return values in Sun's order; their left eye is the picture's, our right one."""
    order = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
    return [points[name] for name in order]


def _result(model: str, data: str, *words: str) -> dict[str, Any]:
    """Return what `meanshape evaluate` measures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "meanshape", "evaluate", model, "--data", data, "--allow-missing"]
        subprocess.run([*command, *words, "--json", str(path)], check=True)
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))["results"][0]
        return found


def _of(value: float) -> float:
    return round(value, 3)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 1) for key, value in values.items()}


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ibug300w", required=True, metavar="ROOT")
    parser.add_argument("--photos", required=True, metavar="ROOT", help="the same faces in whole photos")
    parser.add_argument("--mtfl", required=True, metavar="ROOT")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--twin", action="append", default=[], metavar="NAME=FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    main()

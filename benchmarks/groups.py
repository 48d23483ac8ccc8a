"""Measure errors by groups of faces, for benchmarks/results/groups.json and docs/results.md.

    python benchmarks/groups.py --fgnet ROOT --webmorph ROOT --infants ROOT --wider ROOT

Age, gender and ethnicity as stated, exact turn and hidden points of rendered faces; for detectors, blur,
occlusion and size. A model is measured only on sets that it has not learnt from. Points are measured from
true boxes, so that a face counts whether a detector finds it or not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meanshape.core import weights
from meanshape.evaluation.seen import seen
from meanshape.training.run_folder import commit

FILE = Path(__file__).parent / "results" / "groups.json"
MODELS = ("integral", "dan", "cpr", "facepp", "dan_synthetic")
FINDERS = ("mtcnn", "mtcnn_synthetic")
DETECTORS = ("mtcnn", "glance", "mtcnn_synthetic")


def main() -> None:
    """Measure all and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("fgnet", "webmorph", "infants", "wider"):
        parser.add_argument(f"--{name}", required=True, metavar="ROOT")
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "commit": commit(),
        "fgnet": points(f"fgnet:{asked.fgnet}", "age"),
        "webmorph": points(f"webmorph:{asked.webmorph}", "ethnicity", "gender"),
        "missed": {
            "fgnet": missed(f"fgnet:{asked.fgnet}", "age"),
            "webmorph": missed(f"webmorph:{asked.webmorph}", "ethnicity"),
        },
        "infants": points(f"infanface:{asked.infants}"),
        "synthetic": points("synthetic:600@160:validation", "yaw", "pitch", "hidden"),
        "widerface": boxes(f"widerface:{asked.wider}:validation", "size", "blur", "occlusion"),
    }
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def points(data: str, *by: str) -> dict[str, Any]:
    """Return what `meanshape evaluate --by` says of the models that have not learnt from the data."""
    name, _, rest = data.partition(":")
    faces = f"{name}:{rest.rpartition(':')[2]}" if name == "synthetic" else name
    learnt = {model: weights.read_card(weights.folder(model)).origin.learnt_from for model in weights.names()}
    models = [model for model in MODELS if model in learnt and not seen(learnt[model], faces)]
    return {
        one["model"]: {"count": one["count"], "norm": one["norm"], "nme": _of(one["nme"][one["norm"]]),
                       "median": _of(one["nme_median"]), "interval": _ends(one["nme_interval"]),
                       "by": {key: _slices(groups) for key, groups in one["slices"].items()}}
        for one in _evaluate("results", models, data, by)
    }  # fmt: skip


def missed(data: str, by: str) -> dict[str, Any]:
    """Return how many faces of each group detectors miss that have not learnt from them."""
    found = {}
    for name in FINDERS:
        one = _evaluate("results", ["cpr"], data, [by], "--box", "detector", "--detector", name)[0]
        groups = {
            key: {"count": it["count"], "missed": it["missed"]} for key, it in one["slices"][by].items()
        }
        found[name] = {"count": one["count"], "missed": one["missed"], "by": {by: groups}}
    return found


def boxes(data: str, *by: str) -> dict[str, Any]:
    """Return what `meanshape evaluate --by` says of detectors."""
    return {
        one["detector"]: {"count": one["count"], "recall": _of(one["recall"]),
                          "interval": _ends(one["recall_interval"]), "by": one["slices"]}
        for one in _evaluate("detectors", DETECTORS, data, by)
    }  # fmt: skip


def _slices(groups: dict[str, Any]) -> dict[str, Any]:
    return {
        label: {"count": one["count"], "nme": _of(one["nme"]), "interval": _ends(one["nme_interval"])}
        for label, one in groups.items()
    }


def _evaluate(kind: str, names: Sequence[str], data: str, by: Sequence[str], *more: str) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "meanshape", "evaluate", *names, "--data", data, "--allow-missing"]
        words = [word for group in by for word in ("--by", group)]
        subprocess.run([*command, *words, *more, "--json", str(path)], check=True)
        found: list[Any] = json.loads(path.read_text("utf-8"))[kind]
        return found


def _missed(one: dict[str, Any]) -> dict[str, int]:
    return {"count": one["count"], "missed": one["missed"]}


def _of(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _ends(values: list[float] | None) -> list[float] | None:
    return None if values is None else [round(end, 3) for end in values]


if __name__ == "__main__":
    main()

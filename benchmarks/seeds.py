"""Train short runs that differ in their seed alone, for benchmarks/results/seeds.json: how much is chance?

    python benchmarks/seeds.py --ibug300w ROOT --mtfl ROOT --fer2013 ROOT --negatives FOLDER
        [--seeds 0 1] [--only NAME]

For methods whose full training takes too long to be run again. Two seeds bound the spread badly, and that of
a full training may be another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meanshape.training.run_folder import commit

FILE = Path(__file__).parent / "results" / "seeds.json"


@dataclass(frozen=True)
class Arm:
    """A short run: what it learns from, what it is measured on, and by which value of the result."""

    train: tuple[str, ...]  # data sets, their train splits
    measured: str  # data set, its validation split
    settings: tuple[str, ...]
    words: tuple[str, ...] = ()
    value: str = "error"


ARMS = {
    "dan": Arm(("ibug300w",), "ibug300w", ("steps=150,150", "warmup=30", "ema=0.98")),
    "facepp": Arm(("ibug300w",), "ibug300w", ("steps=80,150,80,60", "warmup=20", "ema=0.98")),
    "dcnn": Arm(("mtfl",), "mtfl", ("steps=150,80,60", "warmup=30", "ema=0.98")),
    "integral": Arm(("ibug300w",), "ibug300w", ("steps=1000", "warmup=50", "ema=0.99")),
    "emotional_dan": Arm(
        ("ibug300w", "fer2013"), "fer2013", ("quick_steps=200,100", "steps=250", "warmup=30", "ema=0.98"),
        ("--init", "dan"), "emotion",
    ),
    "mtcnn": Arm(
        ("mtfl", "ibug300w"), "mtfl",
        ("recipe.steps=1000,500,500", "recipe.again=0", "recipe.patches=1000", "recipe.scenes=100",
         "recipe.empty_scenes=400", "recipe.random_windows=40000,8000,4000"),
        ("--preset", "shipped", "--negatives", "NEGATIVES"),
    ),
}  # fmt: skip


def main() -> None:
    """Train and measure, writing after each method."""
    asked = _options()
    kept = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for name in asked.only:
        arm = ARMS[name]
        found = [measure(name, arm, asked, seed) for seed in asked.seeds]
        kept[name] = {
            "data": arm.measured, "settings": " ".join(arm.settings), "value": arm.value, "commit": commit(),
            "seeds": asked.seeds, "of_each_seed": found,
        }  # fmt: skip
        FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def measure(name: str, arm: Arm, asked: argparse.Namespace, seed: int) -> float:
    """Return what a short run on the train splits comes to on the validation split, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        run, path = Path(folder) / "run", Path(folder) / "result.json"
        words = [str(asked.negatives) if word == "NEGATIVES" else word for word in arm.words]
        for data in arm.train:
            words += ["--data", f"{data}:{getattr(asked, data)}:train"]
        for setting in arm.settings:
            words += ["--set", setting]
        meanshape("train", name, *words, "--seed", str(seed), "--out", str(run))
        data = f"{arm.measured}:{getattr(asked, arm.measured)}:validation"
        meanshape("evaluate", str(run), "--data", data, "--json", str(path))
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))["results"][0]
        value = result["accuracy"]["emotion"] if arm.value == "emotion" else result["nme"][result["norm"]]
        return round(float(value), 3)


def meanshape(*words: str) -> None:
    """Run a command of Meanshape."""
    subprocess.run([sys.executable, "-m", "meanshape", *words, "--allow-missing"], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ibug300w", required=True, metavar="ROOT")
    parser.add_argument("--mtfl", required=True, metavar="ROOT")
    parser.add_argument("--fer2013", required=True, metavar="ROOT")
    parser.add_argument("--negatives", required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Train short runs that differ in their seed alone, for benchmarks/results/seeds.json: how much is chance?

    python benchmarks/seeds.py --ibug300w ROOT --mtfl ROOT [--seeds 0 1] [--only NAME]

For methods whose full training takes too long to be run again. Two seeds bound the spread badly, and that of
a full training may be another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from meanshape.training.run_folder import commit

FILE = Path(__file__).parent / "results" / "seeds.json"
ARMS = {
    "dan": ("ibug300w", ["steps=150,150", "warmup=30", "ema=0.98"]),
    "facepp": ("ibug300w", ["steps=80,150,80,60", "warmup=20", "ema=0.98"]),
    "dcnn": ("mtfl", ["steps=150,80,60", "warmup=30", "ema=0.98"]),
}


def main() -> None:
    """Train and measure, writing after each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ibug300w", required=True, metavar="ROOT")
    parser.add_argument("--mtfl", required=True, metavar="ROOT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    asked = parser.parse_args()
    kept = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for name in asked.only:
        data, settings = ARMS[name]
        root = f"{data}:{getattr(asked, data)}"
        found = [error(name, root, settings, seed) for seed in asked.seeds]
        kept[name] = {
            "data": data, "settings": " ".join(settings), "commit": commit(), "seeds": asked.seeds,
            "of_each_seed": found,
        }  # fmt: skip
        FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def error(name: str, root: str, settings: list[str], seed: int) -> float:
    """Return the error on the validation split of a short run on the train split."""
    with tempfile.TemporaryDirectory() as folder:
        run, path = Path(folder) / "run", Path(folder) / "result.json"
        words = [word for setting in settings for word in ("--set", setting)]
        meanshape("train", name, "--data", f"{root}:train", *words, "--seed", str(seed), "--out", str(run))
        meanshape("evaluate", str(run), "--data", f"{root}:validation", "--json", str(path))
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))["results"][0]
        return round(result["nme"][result["norm"]], 3)


def meanshape(*words: str) -> None:
    """Run a command of Meanshape."""
    subprocess.run([sys.executable, "-m", "meanshape", *words, "--allow-missing"], check=True)


if __name__ == "__main__":
    main()

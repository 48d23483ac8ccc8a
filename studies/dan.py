"""What DAN's parts are worth: error after each stage, shuffled inputs, moved starts, turned heads.

    python studies/dan.py runs/dan --data ibug300w:ROOT:validation --json
    benchmarks/results/dan_study.json

Errors are in percent of the distance of the outer eye corners. The first stage alone is the single network
that the cascade is compared with. `--ablation DIR` names a folder of runs (both, no_heatmap, no_features,
neither), each trained with the same stage 1, the same seed and the same number of steps; the page of the
method says how.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from meanshape.core import config as configs
from meanshape.core.markup import markup
from meanshape.datasets import load_data
from meanshape.methods.dan import Config
from meanshape.methods.dan import network as nets
from meanshape.methods.dan import training as dan_training
from meanshape.methods.onnx.state import start_from
from meanshape.training.sampling import CropBank, channels_first

Errors = NDArray[np.float64]  # (stages, faces), percent


def module_of(folder: Path) -> tuple[nets.DANNet, Config]:
    """The torch module and the config in a run folder."""
    config = configs.load(Config, folder / "config.toml")
    module = dan_training.build(config, np.load(folder / "mean.npy"))
    start_from(module, folder)
    return module.eval(), config


def errors(
    module: nets.DANNet,
    config: Config,
    bank: CropBank,
    jitter: Callable[[np.random.Generator], NDArray[np.float64]] | None = None,
) -> Errors:
    """Mean point error of each face over the distance of its outer eye corners, after each stage."""
    rng = np.random.default_rng(0)
    parts = []
    right, left = bank.markup.inter_ocular or (0, 1)
    for first in range(0, len(bank), 50):
        crops = [
            bank.crop(i, config.crop_size, config.crop_scale, None if jitter is None else jitter(rng))
            for i in range(first, min(first + 50, len(bank)))
        ]
        truth = np.stack([points for _, points, _, _ in crops])
        with torch.no_grad():
            shapes = module(torch.from_numpy(channels_first(np.stack([image for image, *_ in crops]))))
        norm = np.linalg.norm(truth[:, right] - truth[:, left], axis=-1)
        parts.append([np.linalg.norm(s.numpy() - truth, axis=-1).mean(1) / norm for s in shapes])
    return 100 * np.concatenate(parts, 1)


@contextmanager
def shuffled(module: nets.DANNet, what: str) -> Iterator[None]:
    """Give every face another face's heatmap or feature image."""
    original = nets.heatmap
    hooks = []
    if what == "heatmap":
        nets.heatmap = lambda *given: original(*given).roll(1, 0)
    else:
        hooks = [m.register_forward_hook(lambda *given: given[2].roll(1, 0)) for m in module.feature_images]
    try:
        yield
    finally:
        nets.heatmap = original
        for hook in hooks:
            hook.remove()


def moved(
    shift: float, scale: float, angle: float, size: float
) -> Callable[[np.random.Generator], NDArray[np.float64]]:
    """A random move: shift and scale uniform within their bounds, a turn by the angle to either side."""

    def jitter(rng: np.random.Generator) -> NDArray[np.float64]:
        factor = 1 + rng.uniform(-scale, scale)
        turn = np.radians(angle) * rng.choice([-1, 1])
        c, s = factor * np.cos(turn), factor * np.sin(turn)
        dx, dy = rng.uniform(-shift, shift, 2) * size
        return np.array([[c, -s, dx], [s, c, dy]])

    return jitter


def turn_of(bank: CropBank) -> NDArray[np.float64]:
    """How far each head is turned: the nose tip's distance from the middle of the eyes, in eye distances."""
    five = bank.markup.convert(np.stack([face.points for face in bank.faces]), "mtfl5")
    across = five[:, 1] - five[:, 0]
    middle = (five[:, 1] + five[:, 0]) / 2
    return np.abs(((five[:, 2] - middle) * across).sum(1) / (across**2).sum(1))


def study(folder: Path, bank: CropBank) -> dict[str, object]:
    """All of the measurements on one model."""
    module, config = module_of(folder)
    plain = errors(module, config, bank)
    found: dict[str, object] = {
        "faces": len(bank),
        "stages": plain.mean(1).tolist(),
        "stages_median": np.median(plain, 1).tolist(),
    }
    for what in ("heatmap", "features"):
        with shuffled(module, what):
            found[f"shuffled_{what}"] = errors(module, config, bank)[-1].mean()
    size = config.crop_size / config.crop_scale
    found["start"] = {
        f"{level:.2f}": errors(module, config, bank, moved(level, level, 0, size)).mean(1).tolist()
        for level in (0.0, 0.05, 0.1, 0.15, 0.2)
    }
    found["rotation"] = {
        f"{angle}": errors(module, config, bank, moved(0, 0, angle, size)).mean(1).tolist()
        for angle in (0, 15, 30, 45)
    }
    turn = turn_of(bank)
    edges = [0.0, 0.1, 0.2, 0.35, np.inf]
    found["turn"] = {
        f"{low:.2f}-{high:.2f}": {
            "faces": int(((turn >= low) & (turn < high)).sum()),
            "stages": plain[:, (turn >= low) & (turn < high)].mean(1).tolist(),
        }
        for low, high in pairwise(edges)
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--ablation", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bank = CropBank(load_data(given.data), markup("ibug68"))
    found = study(given.model, bank)
    if given.ablation is not None:
        found["ablation"] = {
            path.name: errors(*module_of(path), bank).mean(1).tolist()
            for path in sorted(given.ablation.iterdir())
            if (path / "config.toml").exists()
        }
    text = json.dumps(found, indent=1)
    print(text)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

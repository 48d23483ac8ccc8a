"""Online hard sample mining on against off: P-Net, same windows, seed, steps and threads.

    python studies/mtcnn_ohem.py --mtfl ROOT --negatives FOLDER [--steps 3000] [--faces 3000] [--seeds 3]

Trains on MTFL's training faces and five of six negatives; judges windows of validation faces and of the
other negatives. Prints, for each, the false windows per million at thresholds that keep 99 % and 99.9 %
of the positives.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from meanshape.core.image import read_image
from meanshape.datasets import mtfl
from meanshape.methods.mtcnn import Config
from meanshape.methods.mtcnn import network as nets
from meanshape.methods.mtcnn.training import build, gather
from meanshape.methods.mtcnn.training.stage import shares, train_stage
from meanshape.methods.mtcnn.training.windows import NEGATIVE, POSITIVE, Samples, from_faces, from_photos


def windows(samples, photos, rules, views: int, count: int, seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    pools = from_faces(gather(samples), 12, rules, rng, views)
    random = Samples.negatives(from_photos(photos, count, 12, rng))
    pools[NEGATIVE] = Samples.join([pools[NEGATIVE], random])
    return pools, random


@torch.no_grad()
def scores(net: torch.nn.Module, samples: Samples) -> np.ndarray:
    parts = np.array_split(samples.pixels, max(1, len(samples) // 4096))
    logits = [net(torch.from_numpy(p).permute(0, 3, 1, 2).float())[0].flatten(1) for p in parts]
    return torch.cat(logits).softmax(1)[:, 1].numpy()


def judged(net: torch.nn.Module, test: dict[int, Samples], random: Samples) -> dict[str, float]:
    """Return false windows per million at the thresholds that keep 99 % and 99.9 % of the positives."""
    face, wrong = scores(net, test[POSITIVE]), scores(net, random)
    shares = (0.99, 0.999)
    return {f"{100 * s:g}": round(1e6 * float((wrong > np.quantile(face, 1 - s)).mean())) for s in shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mtfl", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = Config()
    rules = config.recipe.rules
    photos = [read_image(p) for p in sorted(args.negatives.glob("*.jpg"))]
    held_out = photos[::6]
    kept = [p for n, p in enumerate(photos) if n % 6]
    train, _ = windows(mtfl.samples(args.mtfl, "train")[: args.faces], kept, rules, 4, 60_000, 0)
    test, random = windows(mtfl.samples(args.mtfl, "validation"), held_out, rules, 2, 100_000, 1)
    for seed in range(args.seeds):
        for keep in (0.7, 1.0):
            torch.manual_seed(seed)
            recipe = replace(config.recipe, keep=keep)
            net = build(config, 0)
            train_stage(
                net, train, recipe, nets.loss,
                steps=args.steps, counts=shares(recipe.batch), alpha=rules.alpha_first,
                seed=seed, report=lambda text: None,
            )  # fmt: skip
            told = {"keep": keep, "seed": seed, "steps": args.steps}
            print(json.dumps(told | {"false_per_million_at": judged(net, test, random)}), flush=True)


if __name__ == "__main__":
    main()

"""What makes emotional_dan tell emotions apart, and how well it does.

    python studies/emotion.py ablate DAN --points ibug300w:ROOT --emotions fer2013:ROOT --out FOLDER
    python studies/emotion.py report RUN --emotions fer2013:ROOT:validation
    python studies/emotion.py even RUN --emotions fer2013:ROOT

`ablate` trains the same joint stage for the same steps, seed and batches on what it may see and what it must
answer; `report` measures a finished model: confusion, precision, recall, calibration, small faces, narrow
pictures, dull ones; `even` what `even` and `mirror` of its configuration do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import meanshape as ms
from meanshape.core.box import Box
from meanshape.core.image import read_image, warp
from meanshape.core.sample import Sample
from meanshape.datasets import load_data

BINS = 15
SMALL = (32, 24, 16, 12)
NARROW = (1.1, 1.2, 1.3)
DULL = (0.7, 0.5, 0.35)
SHARES = (0.0, 0.3, 0.5, 0.6, 0.8, 1.0)
POSED = {"anger": 135, "disgust": 177, "fear": 75, "happy": 207, "sad": 84, "surprise": 249}
"""Faces of each class in CK+48, as published: a posed set's frequencies."""


def ablate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures on the validation faces of each variant, all else equal."""
    import torch

    from meanshape.methods.emotional_dan import Config, EmotionalDAN

    torch.set_num_threads(1)
    train, valid = (
        [
            *load_data(f"{arguments.points}:{split}")[: arguments.faces],
            *load_data(f"{arguments.emotions}:{split}"),
        ]
        for split in ("train", "validation")
    )
    plain = replace(Config(), quick=(), steps=arguments.steps, warmup=50, ema=0.99, bf16=arguments.bf16)
    plain = replace(plain, points_share=0.125, share=0.3, turn=0.02)
    seen = replace(plain, use_heatmap=True)
    variants = {
        "image alone": replace(plain, share=0.0),
        "image alone, joint": plain,
        "image and heatmap": replace(seen, share=0.0),
        "joint": seen,
        "joint, with own points": replace(seen, own_points=True),
    }
    results: dict[str, Any] = {}
    for name in arguments.only or variants:
        folder = arguments.out / name.replace(",", "").replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("train", "valid"):  # the same frames for all
            kept, own = next(arguments.out.rglob(f"frames-{part}.npz"), None), folder / f"frames-{part}.npz"
            if kept is not None and not own.exists():
                own.symlink_to(kept.resolve())
        model = EmotionalDAN(variants[name])
        model.run_folder, model.initial = folder, arguments.dan
        model.fit(train, valid, seed=arguments.seed)
        last = json.loads((folder / "joint.jsonl").read_text("utf-8").splitlines()[-1])
        results[name] = last
        print(name, last, flush=True)
    results["points alone"] = points_alone(arguments.out, arguments.seed)
    return results


def points_alone(folder: Path, seed: int) -> dict[str, float]:
    """A perceptron of one hidden layer on the cascade's upright points, of the frames that `ablate` made."""
    import torch
    from torch import nn
    from torch.nn import functional

    from meanshape.methods.emotional_dan.training import emotion_figures

    torch.manual_seed(seed)
    sets = []
    for part in ("train", "valid"):
        with np.load(next(folder.rglob(f"frames-{part}.npz"))) as kept:
            sets.append((torch.from_numpy(kept["placed"]).reshape(len(kept["labels"]), -1), kept["labels"]))
    (seen, labels), (others, truth) = sets
    mean, spread = seen.mean(0), seen.std(0) + 1e-3
    net = nn.Sequential(
        nn.Linear(seen.shape[1], 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, int(labels.max()) + 1)
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    epochs, batch, target = 30, 256, torch.from_numpy(labels)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 - epoch / epochs)
        for rows in torch.randperm(len(seen)).split(batch):
            loss = functional.cross_entropy(
                net((seen[rows] - mean) / spread), target[rows], label_smoothing=0.1
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        return emotion_figures(net.eval()((others - mean) / spread), truth)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a finished model says of labelled faces."""
    model: Any = ms.load(arguments.model)
    samples = load_data(arguments.emotions)
    shares = probabilities(model, samples)
    truth = np.array([model.labels.index(s.attributes["emotion"]) for s in samples])
    found = shares.argmax(1)
    confusion = np.zeros((len(model.labels),) * 2, int)
    np.add.at(confusion, (truth, found), 1)
    right = np.diag(confusion)
    by_size = {side: accuracy(probabilities(model, samples[::4], side), truth[::4]) for side in SMALL}
    return {
        "faces": len(samples),
        "accuracy": accuracy(shares, truth),
        "balanced_accuracy": round(100 * float((right / confusion.sum(1)).mean()), 2),
        "labels": list(model.labels),
        "confusion": confusion.tolist(),
        "recall": (100 * right / confusion.sum(1)).round(1).tolist(),
        "precision": (100 * right / np.maximum(confusion.sum(0), 1)).round(1).tolist(),
        "calibration_error": round(calibration_error(shares, truth), 2),
        "calibration_error_other_half": round(other_half(shares, truth), 2),
        "mean_confidence": round(100 * float(shares.max(1).mean()), 2),
        "accuracy_at_side": by_size,
        "accuracy_seen_larger": {
            zoom: accuracy(probabilities(model, samples[::2], None, zoom), truth[::2]) for zoom in NARROW
        },
        "accuracy_at_contrast": {
            c: accuracy(probabilities(model, samples[::2], contrast=c), truth[::2]) for c in (1.0, *DULL)
        },
    }


def even(arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of a model with other shares of the classes' frequencies, and mirrored where it is not."""
    import torch

    from meanshape.methods.emotional_dan import EmotionalDAN
    from meanshape.methods.emotional_dan.training import data, finish
    from meanshape.methods.emotional_dan.training.start import start

    model = EmotionalDAN.load(arguments.model)
    assert model._mean is not None and model.markup is not None
    module = start(model.config, model._mean, model.labels, arguments.model).eval()
    faces = [replace(s, box=Box.whole(48, 48)) for s in load_data(f"{arguments.emotions}:validation")]
    bank = data.build(module, faces, model.labels, model.markup, None)
    learnt = [s.attributes["emotion"] for s in load_data(f"{arguments.emotions}:train")]
    counts = np.bincount([model.labels.index(label) for label in learnt], minlength=len(model.labels))
    results: dict[str, Any] = {}
    own = module.mirror
    for mirror, shares in ((own, SHARES), (not own, SHARES[:1])):
        module.mirror = mirror
        logits = finish.emotion_logits(module, bank)
        for share in shares:
            said = logits - share * torch.from_numpy(np.log(counts / counts.sum())).float()
            said = torch.softmax(said / finish.best_temperature(said, bank.labels), -1)
            also = "" if mirror == own else ", mirrored too" if mirror else ", unmirrored"
            results[f"even {share}{also}"] = figures(
                said.numpy().astype(np.float64), bank.labels, model.labels
            )
    return results


def figures(
    shares: NDArray[np.float64], truth: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, float | dict[str, float]]:
    """What a table says of probabilities (N, L)."""
    found = shares.argmax(1)
    recall = {name: 100 * float((found[truth == i] == i).mean()) for i, name in enumerate(labels)}
    disgust = labels.index("disgust")
    posed = sum(recall[name] * count for name, count in POSED.items()) / sum(POSED.values())
    return {
        "accuracy": accuracy(shares, truth),
        "balanced": round(float(np.mean(list(recall.values()))), 2),
        "cross_entropy": round(-float(np.log(shares[np.arange(len(truth)), truth]).mean()), 4),
        "disgust_recall": round(recall["disgust"], 1),
        "disgust_precision": round(100 * float((truth[found == disgust] == disgust).mean()), 1),
        "calibration_error": round(calibration_error(shares, truth), 2),
        "recall_as_posed": round(posed, 2),
    }


def probabilities(
    model: Any, samples: Sequence[Sample], side: int | None = None, zoom: float = 1.0, contrast: float = 1.0
) -> NDArray[np.float64]:
    """Probabilities (N, L) of faces that fill their picture; reduced to a side in pixels first, if asked, or
    seen larger, so that the borders are cut off, or in less contrast than FER2013's equalised pictures have.
    """
    rows = []
    for first in range(0, len(samples), 64):
        images = [read_image(s.image) for s in samples[first : first + 64]]
        if side is not None:
            images = [reduced(image, side) for image in images]
        if zoom > 1:
            images = [magnified(image, zoom) for image in images]
        if contrast < 1:
            images = [(127.5 + contrast * (i - 127.5)).round().astype(np.uint8) for i in images]
        boxes = [Box.whole(image.shape[1], image.shape[0]) for image in images]
        rows += [[e.probabilities[label] for label in model.labels] for e in model.emotions(images, boxes)]
    return np.array(rows)


def reduced(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture at side x side pixels."""
    x, y = side / image.shape[1], side / image.shape[0]
    small = warp(image, [[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5]], (side, side))
    return np.asarray(small, np.uint8)


def magnified(image: NDArray[np.uint8], zoom: float) -> NDArray[np.uint8]:
    """The middle of the picture, zoom times as large, on as many pixels."""
    height, width = image.shape[:2]
    x, y = (1 - zoom) * (width - 1) / 2, (1 - zoom) * (height - 1) / 2
    return np.asarray(warp(image, [[zoom, 0, x], [0, zoom, y]], (width, height)), np.uint8)


def accuracy(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Share of likeliest labels that are right, percent."""
    return round(100 * float((shares.argmax(1) == truth).mean()), 2)


def calibration_error(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean distance of confidence and accuracy over equal bins of confidence, percent."""
    sure, right = shares.max(1), shares.argmax(1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == b).mean() * abs(right[bins == b].mean() - sure[bins == b].mean()) for b in np.unique(bins)
    ]
    return 100 * float(sum(gaps))


def other_half(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The same where the temperature is fitted on every second face, measured on the others, and averaged."""
    logits = np.log(shares + 1e-12)
    errors = []
    for half in (0, 1):
        fitted, held = slice(half, None, 2), slice(1 - half, None, 2)

        def cost(t: float, part: slice = fitted) -> float:
            scaled = logits[part] / t
            top = scaled.max(1, keepdims=True)
            log = scaled - top - np.log(np.exp(scaled - top).sum(1, keepdims=True))
            return -float(log[np.arange(len(log)), truth[part]].mean())

        best = min(np.exp(np.linspace(-1, 1, 81)), key=cost)
        powered = np.exp(logits[held] / best)
        errors.append(calibration_error(powered / powered.sum(1, keepdims=True), truth[held]))
    return float(np.mean(errors))


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("ablate")
    first.add_argument("dan", type=Path, help="the folder of a DAN to start from")
    first.add_argument("--points", required=True, help="NAME:ROOT of faces with points")
    first.add_argument("--steps", type=int, default=300)
    first.add_argument("--faces", type=int, help="so many of the faces with points (all)")
    first.add_argument("--seed", type=int, default=0)
    first.add_argument("--only", nargs="*", help="some of the variants")
    first.add_argument("--bf16", action="store_true", help="as in the configuration: for AVX-512")
    first.add_argument("--out", type=Path, required=True)
    first.set_defaults(run=ablate)
    second = commands.add_parser("report")
    second.add_argument("model")
    second.set_defaults(run=report)
    third = commands.add_parser("even")
    third.add_argument("model", type=Path)
    third.set_defaults(run=even)
    for one in (first, second, third):
        one.add_argument("--emotions", required=True, help="NAME:ROOT (report: with the split)")
        one.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = arguments.run(arguments)
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

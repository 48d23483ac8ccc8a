"""What tweaking is worth: heads for clusters against one head fine-tuned as long on the same views.

    python studies/tcnn.py runs/tcnn --train mtfl:ROOT:train --valid mtfl:ROOT:validation --out study
           [--seeds 0 1 2] [--clusters 4 8 16 32 128] [--set KEY=VALUE ...] [--batches 150]

Starts from the vanilla network of a trained model (`weights.safetensors` in its folder). The faces that the
model held out hold the heads back; the validation faces, in the detector's boxes, are only measured. The
vanilla network's own head is finished on the same views first, so that heads are not better for that. K = 1
is that head, fine-tuned as long and in the same ways as the others are. Seeds differ in the views, the
mixture and the batches. The errors of each arm stay in OUT and are not measured again, so seeds may be run
one by one. Writes OUT/study.json: errors in percent of the inter-pupil distance (of validation faces, and of
views of the faces set aside), paired differences with 95 % bootstrap intervals over faces, and how far points
scatter within the clusters of each layer's features.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from meanshape.core.config import override
from meanshape.core.sample import Sample
from meanshape.datasets import load_data
from meanshape.evaluation.starts import find_start, make_detector
from meanshape.methods.onnx.state import start_from
from meanshape.methods.tcdcn.network import FaceCrops
from meanshape.methods.tcnn import TCNN, Config, training
from meanshape.methods.tcnn import network as nets
from meanshape.methods.tcnn.config import AUGMENTATION, SCALE, SIZE
from meanshape.methods.tcnn.network import Mixture, Vanilla
from meanshape.methods.tcnn.training.clusters import Views, assign, fit_mixture, spread_of_points
from meanshape.methods.tcnn.training.heads import view_errors
from meanshape.training.tensors import FaceTensors, TensorSampler

Floats = NDArray[np.float64]


def detector_crops(model: TCNN, samples: list[Sample]) -> tuple[NDArray[np.uint8], Floats]:
    """Input crops and true points in them, for the faces that the default detector finds."""
    from meanshape.core.geometry import apply

    detector, crops, points = make_detector(), [], []
    for sample in samples:
        pixels = sample.pixels()
        box = find_start(sample, pixels, detector).given
        if box is not None and sample.shape is not None:
            matrix = model._matrix(box, None)
            crops.append(model._crop(pixels, matrix))
            points.append(apply(matrix, sample.shape.points))
    return np.stack(crops), np.stack(points)


def errors_of(module: nets.TCNNNet, crops: NDArray[np.uint8], truth: Floats) -> Floats:
    """Error of each face in percent of the inter-pupil distance."""
    with torch.no_grad():
        parts = [torch.from_numpy(crops[n : n + 50]) for n in range(0, len(crops), 50)]
        found = [module(part.permute(0, 3, 1, 2).float())[0].numpy() for part in parts]
    off = np.linalg.norm(np.concatenate(found) - truth, axis=2).mean(1)
    return np.asarray(100 * off / np.linalg.norm(truth[:, 0] - truth[:, 1], axis=1))


def interval(difference: Floats, rng: np.random.Generator) -> list[float]:
    """95 % bootstrap interval of a mean over faces."""
    rows = rng.integers(0, len(difference), (2000, len(difference)))
    return [float(v) for v in np.percentile(difference[rows].mean(1), [2.5, 97.5])]


def tightness(vanilla: Vanilla, sampler: TensorSampler, batches: int, clusters: int) -> dict[str, float]:
    """How far points scatter within clusters of pixels and of each layer's features, in percent."""
    names = {0: "conv1", 1: "conv2", 2: "conv3", 3: "conv4 (enters FC5)"}
    activated = [
        n for n, layer in enumerate(vanilla.trunk.layers) if isinstance(layer, type(vanilla.activation))
    ]
    rows: dict[str, list[NDArray[np.float32]]] = {}
    points, norms = [], []
    with torch.no_grad():
        for step in range(batches):
            batch = sampler.batch(step)
            points.append(batch["points"])
            norms.append(batch["norm"])
            maps = (torch.from_numpy(batch["image"]) - vanilla.average) / vanilla.spread
            rows.setdefault("pixels", []).append(maps.flatten(1).numpy())
            for n, layer in enumerate(vanilla.trunk.layers):
                maps = layer(maps)
                if n in activated:
                    rows.setdefault(names[activated.index(n)], []).append(maps.flatten(1).numpy())
            rows.setdefault("FC5", []).append(vanilla.activation(vanilla.fc5(maps)).numpy())
    where, norm = np.concatenate(points).astype(float), np.concatenate(norms).astype(float)
    result = {"one cluster": spread_of_points(where, norm, np.zeros(len(where), np.int64))}
    for name, parts in rows.items():
        features = np.concatenate(parts)
        with torch.no_grad():
            labels = fit_mixture(features, clusters, 32, 0)(torch.from_numpy(features)).numpy()
        result[name] = spread_of_points(where, norm, labels)
    return result


@dataclass
class Measure:
    """Tweaks by some settings and notes the errors on the validation faces."""

    arms: dict[str, list[Floats]]
    folder: Path
    crops: NDArray[np.uint8]
    truth: Floats
    face_crops: FaceCrops
    vanilla: Vanilla
    seed: int
    aside: dict[str, list[float]]

    def __call__(self, name: str, settings: Config, mixture: Mixture, views: Views, stop: Views) -> None:
        path = self.folder / f"{name}-{self.seed}.npz"
        if not path.exists():
            module = training.tweak(
                settings, self.face_crops, self.vanilla, mixture, views, stop, self.seed
            ).module
            held = 100 * view_errors(self.face_crops, module.heads, module.head.numpy(), stop)
            np.savez(path, faces=errors_of(module, self.crops, self.truth), aside=held)
        stored = np.load(path)
        self.arms.setdefault(name, []).append(stored["faces"])
        self.aside.setdefault(name, []).append(float(stored["aside"].mean()))
        print(self.seed, name, self.arms[name][-1].mean(), self.aside[name][-1], flush=True)


def study(given: argparse.Namespace, model: TCNN, vanilla: Vanilla, sampler: TensorSampler) -> dict[str, Any]:
    """All arms for all seeds."""
    config: Config = model.config
    crops, truth = detector_crops(model, load_data(given.valid))
    face_crops = training.make_face_crops(config, model._mean)
    arms: dict[str, list[Floats]] = {}
    aside: dict[str, list[float]] = {}
    for seed in given.seeds:
        mixture, views, stop = training.gather(config, vanilla, sampler, sampler.excluded, seed)
        dummy = Mixture(views.features.shape[1], 1, 1)

        measure = Measure(arms, given.out, crops, truth, face_crops, copy.deepcopy(vanilla), seed, aside)
        alone, held = training.one_cluster(views), training.one_cluster(stop)
        none = replace(config, min_faces=10**9)
        measure("vanilla", none, dummy, alone, held)
        training.fine_tune_vanilla(config, face_crops, measure.vanilla, views, stop, seed)
        measure("vanilla, finished", none, dummy, alone, held)
        rows = config.tweak_batch * config.clusters
        random = views.features[: config.views * config.batch * config.looks]  # after these the aligned ones
        for clusters in sorted({1, config.clusters, *given.clusters}):
            other, parts = dummy, [alone, held]
            if clusters > 1:
                chosen = clusters == config.clusters
                other = mixture if chosen else fit_mixture(random, clusters, training.DIMENSIONS, seed)
                parts = [assign(other, replace(part)) for part in (views, stop)]
            settings = replace(config, clusters=clusters, tweak_batch=rows // clusters)
            measure(f"K = {clusters}", settings, other, *parts)
            if clusters in (1, config.clusters):
                measure(f"K = {clusters}, gradients alone", replace(settings, pull=0.0), other, *parts)
    return summary(arms, aside, given.chosen or f"K = {config.clusters}", len(crops))


def summary(
    arms: dict[str, list[Floats]], aside: dict[str, list[float]], chosen: str, faces: int
) -> dict[str, Any]:
    """Means over seeds and faces, and paired differences of every arm to the chosen one."""
    rng = np.random.default_rng(0)
    table = {}
    for name, runs in arms.items():
        difference = np.mean(arms[chosen], 0) - np.mean(runs, 0)
        table[name] = {
            "error": float(np.mean(runs)),
            "of each seed": [float(run.mean()) for run in runs],
            "set aside": float(np.mean(aside[name])),
            "chosen minus this": float(difference.mean()),
            "interval": interval(difference, rng),
        }
    return {"faces": faces, "chosen": chosen, "arms": table}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--train", required=True)
    parser.add_argument("--valid", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--clusters", nargs="*", type=int, default=[4, 8, 16, 32, 128])
    parser.add_argument("--chosen", help="the arm that others are compared to; else the model's K")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--batches", type=int, default=150, help="of views that the layers are compared on")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    model = TCNN.load(given.model)
    model.config = config = override(model.config, dict(pair.split("=", 1) for pair in given.set))
    mean = model._mean
    vanilla = Vanilla(3, SIZE, config.widths, config.features, mean.size, config.activation, config.norm)
    start_from(vanilla, given.model)
    vanilla.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
    faces = FaceTensors(load_data(given.train), model.markup)
    aside = training.held_out(len(faces), training.HELD_OUT, 0)
    sampler = TensorSampler(
        faces, SIZE, SCALE, config.batch, AUGMENTATION, 0,
        upright=config.upright, mean=mean, excluded=aside,
    )  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    result = study(given, model, vanilla, sampler)
    print(json.dumps(result), flush=True)
    if given.batches:
        scatter = tightness(vanilla, sampler, given.batches, config.clusters)
        result["scatter of points within clusters"] = scatter
    text = json.dumps(result, indent=1)
    (given.out / "study.json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()

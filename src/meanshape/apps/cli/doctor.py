"""Check this installation: versions, threads, weights, and a face it must find."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import typer

from meanshape import __version__
from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core import resources, weights
from meanshape.core.errors import MeanshapeError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meanshape.core.sample import Sample
    from meanshape.methods.base import LandmarkModel

app = typer.Typer()

NEEDED = ("numpy", "scipy", "pillow", "opencv-python-headless", "onnxruntime", "pydantic", "typer", "rich")
OPTIONAL = {
    "train": ("torch", "onnx", "safetensors", "scikit-learn", "numba"),
    "plot": ("matplotlib",),
    "video": ("av",),
    "web": ("fastapi", "uvicorn", "python-multipart"),
    "parquet": ("pyarrow",),
    "ray": ("ray",),
    "mat73": ("h5py",),
    "heif": ("pillow-heif",),
}
SEED, SIDE = 2, 256
"""The rendered face of the self-test: frontal, nothing before it."""
TOLERANCE = 8.0
"""Mean error on it that a sound model stays below, percent of the distance of the outer eye corners."""


@app.command()
def doctor(device: options.Device = None) -> None:
    """Check this installation: versions, threads, the SHA-256 of every weight file, and a self-test.

    The self-test finds a rendered face and places its points with every shipped model, on the device that you
    name, and says what really ran. Exit code 0: sound.
    """
    from meanshape.core import runtime

    if device is not None:
        runtime.chosen(device, None)  # a wrong one is said before the work
    rows = [
        ("meanshape", f"{__version__} ({resources.CODE.parent})"),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("threads", _threads()),
        *((name, _version(name)) for name in NEEDED),
        *((f"{name} [{extra}]", _version(name)) for extra, names in OPTIONAL.items() for name in names),
        ("providers", ", ".join(runtime.available())),
    ]
    broken = []
    for name in (*weights.names(), *weights.detector_names()):
        try:
            rows.append((f"weights {name}", _weights(name)))
        except MeanshapeError as error:
            rows.append((f"weights {name}", f"BROKEN: {error}"))
            broken.append(name)
    missed = [] if broken else _self_test(rows, device)
    console.grid(rows)
    if broken:
        raise WeightsError(f"broken weights: {', '.join(broken)}; install the package again")
    if missed:
        raise WeightsError(f"the self-test failed: {', '.join(missed)}; install the package again")


def _threads() -> str:
    """Say how many processors there are, and who may use how many."""
    import cv2

    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "not set")
    return f"{there} of {os.cpu_count()} cores; OpenCV {cv2.getNumThreads()}; OMP_NUM_THREADS {limit}"


def _weights(name: str) -> str:
    """Check the files of a model and say what they are; `WeightsError` if one is not as on its card."""
    card = weights.verify(weights.folder(name))
    size = card.bytes(weights.folder(name)) / 1e6
    return f"{len(card.files)} files, {size:.1f} MB, SHA-256 as on the card; {card.licence}"


def _self_test(rows: list[tuple[str, str]], device: str | None) -> list[str]:
    """Find a rendered face, place its points by every model, add rows; returns what went wrong."""
    from meanshape.datasets.synthetic import face
    from meanshape.inference import Pipeline
    from meanshape.inference.choice import DETECTOR, MODEL, PARTS
    from meanshape.methods import load

    if not {MODEL, *PARTS} <= {*weights.names(), *weights.detector_names()}:
        rows.append(("self-test", "left out: the default detector and model are not here"))
        return []
    sample = face(SEED, SIDE, occlusion=0, yaw=0, emotion="neutral", degrade=False)
    pipeline = Pipeline(device=device)
    found = pipeline(sample.pixels()).faces
    ran = _ran(pipeline.providers["detector"])
    rows.append(("self-test: detector", f"found {len(found)} of 1 face; {ran}"))
    missed = [] if len(found) == 1 else [DETECTOR]
    for name in weights.names():
        try:
            model = load(name, device=device)
            error = _error(model, sample)
        except MeanshapeError as told:
            rows.append((f"self-test: {name}", str(told)))
            missed.append(name)
            continue
        ran = _ran(model.runs_on)
        rows.append((f"self-test: {name}", f"points {error:.1f} % of the eyes' distance off; {ran}"))
        if not error < TOLERANCE:
            missed.append(name)
    return missed


def _ran(providers: Sequence[str]) -> str:
    """Say what a network ran on."""
    return f"ran on {', '.join(providers)}" if providers else "ran without ONNX Runtime"


def _error(model: LandmarkModel, sample: Sample) -> float:
    """Return a model's mean error on a face, percent of the distance of the outer eye corners."""
    import numpy as np

    assert sample.shape is not None
    placed = model.predict(sample.image, sample.box)
    true = sample.shape.markup
    kind = true if true.name in placed.markup.conversions else placed.markup
    apart = placed.to(kind).points - sample.shape.to(kind).points
    right, left = sample.shape.points[list(sample.shape.markup.inter_ocular or (0, 1))]
    return 100 * float(np.nanmean(np.hypot(*apart.T)) / np.hypot(*(right - left)))


def _version(package: str) -> str:
    """Return the version of an installed package; OpenCV may come under another name."""
    try:
        return version(package)
    except PackageNotFoundError:
        pass
    if package.startswith("opencv"):
        try:
            import cv2

            return f"{cv2.__version__} (not the headless build)"
        except ImportError:
            pass
    return "not installed"

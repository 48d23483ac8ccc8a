"""Check this installation: versions, providers, weights."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import typer

from meanshape.apps.cli import _console as console
from meanshape.core import weights
from meanshape.core.errors import WeightsError

app = typer.Typer()

NEEDED = ("numpy", "scipy", "pillow", "opencv-python-headless", "onnxruntime", "pydantic", "typer", "rich")
OPTIONAL = {"train": ("torch", "onnx", "onnxscript", "safetensors", "numba"), "plot": ("matplotlib",)}


@app.command()
def doctor() -> None:
    """Check this installation: versions, execution providers, and the SHA-256 of every weight file."""
    import onnxruntime

    rows = [
        ("meanshape", version("meanshape")),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        *((name, _version(name)) for name in NEEDED),
        *((f"{name} [{extra}]", _version(name)) for extra, names in OPTIONAL.items() for name in names),
        ("providers", ", ".join(onnxruntime.get_available_providers())),
    ]
    problems = []
    for name in weights.names():
        try:
            card = weights.verify(weights.folder(name))
            rows.append((f"weights {name}", f"{len(card.files)} files as on the card"))
        except WeightsError as error:
            rows.append((f"weights {name}", f"BROKEN: {error}"))
            problems.append(name)
    console.grid(rows)
    if problems:
        raise WeightsError(f"broken weights: {', '.join(problems)}; install the package again")


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

"""Collect what Meanshape imports by name, its cards, weights and pages, and the versions it tells.

What only training needs stays out.
"""

import re
from importlib.metadata import PackageNotFoundError

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

TRAINING = ("torch", "torchvision", "onnx", "onnxscript", "numba", "sklearn", "safetensors", "ray", "pytest")
LEARNS = re.compile(
    r"meanshape\.(training|__pyinstaller)\b|meanshape\.(methods|detectors)\.\w+\.(network|training|export|state)\b"
)
TOLD = (
    "meanshape",
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "onnxruntime",
    "pydantic",
    "typer",
    "rich",
)


def _metadata(package: str) -> list[tuple[str, str]]:
    """Return the metadata of a package, if it is installed under this name."""
    try:
        found: list[tuple[str, str]] = copy_metadata(package)
        return found
    except PackageNotFoundError:
        return []


hiddenimports = [name for name in collect_submodules("meanshape") if not LEARNS.match(name)]
datas = collect_data_files("meanshape") + [entry for package in TOLD for entry in _metadata(package)]
excludedimports = list(TRAINING)

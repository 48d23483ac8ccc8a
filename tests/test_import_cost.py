"""`import meanshape` is light, and nothing on the way to a prediction needs torch."""

import json
import subprocess
import sys

import pytest

from meanshape.core import registry

HEAVY = {
    "torch",
    "cv2",
    "onnxruntime",
    "scipy",
    "PIL",
    "pydantic",
    "typer",
    "rich",
    "matplotlib",
    "sklearn",
    "numba",
}

NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not there")

sys.meta_path.insert(0, NoTorch())
"""


def run(code):
    """Return what a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_brings_nothing_heavy():
    code = "import meanshape, sys, json; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    assert not HEAVY & set(json.loads(run(code)))


def test_importing_takes_at_most_half_a_second_more_than_numpy():
    clock = "time.process_time()"
    code = f"import time, numpy; start = {clock}; import meanshape; print({clock} - start)"
    assert min(float(run(code)) for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", registry.names("methods"))
def test_a_method_is_imported_without_torch(name):
    run(NO_TORCH + f"from meanshape.core import registry; registry.method({name!r})()")


@pytest.mark.parametrize("name", registry.names("detectors"))
def test_a_detector_is_imported_without_torch(name):
    run(NO_TORCH + f"from meanshape.core import registry; registry.detector({name!r})")


def test_a_prediction_is_made_without_torch():
    run(
        NO_TORCH
        + "import meanshape as ms, numpy as np\n"
        + "from meanshape.core import registry, weights\n"
        + "picture = np.zeros((80, 60, 3), np.uint8)\n"
        + "box = ms.Box(10, 10, 50, 60)\n"
        + "for name in weights.names():\n"
        + "    model = ms.load(name)\n"
        + "    if hasattr(model, 'predict'): model.predict(picture, box)\n"
        + "    else: model.detect(picture)\n"
        + "registry.detector('whole_image')().detect(picture)\n"
    )

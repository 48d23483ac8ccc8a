"""`--init` with shipped weights: a training begins with what ships, read off the graph where that is all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import meanshape as ms  # noqa: E402
from meanshape.core import weights  # noqa: E402
from meanshape.core.image import read_image  # noqa: E402
from meanshape.methods.dan import training as dan  # noqa: E402
from meanshape.methods.dcnn import training as dcnn  # noqa: E402
from meanshape.methods.facepp import training as facepp  # noqa: E402
from meanshape.methods.onnx.state import start_from  # noqa: E402
from meanshape.methods.tcdcn import training as tcdcn  # noqa: E402

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
NOT_IN_GRAPHS = ("mean", "num_batches_tracked", "locate")
"""Mean shapes are of the faces that are given, counters count batches, and heads that locate only teach."""


def build(model: Any) -> Any:
    """Return the network of a shipped model with random weights, and a mean shape near any."""
    kind = model.markup
    shape = ms.detect(PHOTO).faces[0].shape.to(kind.name)
    mean = shape.box().relative(shape.points)
    if model.name == "dan":
        return dan.build(model.config, model._mean)
    if model.name == "dcnn":
        return dcnn.build(model.config, mean)
    if model.name == "facepp":
        return facepp.build(model.config, mean - 0.5, kind)
    return tcdcn.build(model.config, mean, model.tasks)


@pytest.mark.parametrize("name", ["dan", "dan_synthetic", "dcnn", "facepp", "tcdcn"])
def test_a_training_begins_with_what_ships(name: str, by_torch: Any) -> None:
    model = ms.load(name)
    torch.manual_seed(0)
    network = build(model).eval()
    loaded = start_from(network, weights.folder(name))
    left = [key for key in network.state_dict() if key not in loaded]
    assert all(any(word in key for word in NOT_IN_GRAPHS) for key in left), left
    face = ms.detect(PHOTO).faces[0].shape.to("ibug51").box().scaled(1.3)
    crops = model._crop(read_image(PHOTO), model._matrix(face, None))[None]
    said, ships = by_torch(network, crops)[0], model._session()({"pixels": crops})[0]
    if model.name in ("dan", "tcdcn"):  # of the others the mean shape is not kept
        assert np.abs(said - ships).max() < 0.1

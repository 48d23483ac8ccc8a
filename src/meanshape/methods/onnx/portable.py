"""A model as one ONNX file: the network, its crop if wanted, and what the file says of itself."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from meanshape.core import weights
from meanshape.core.errors import MissingExtra, writing
from meanshape.core.files import replacing
from meanshape.core.origin import Origin, joined
from meanshape.methods.base import LandmarkModel
from meanshape.methods.onnx import file as onnx_file
from meanshape.methods.onnx.crop_graph import crop_model
from meanshape.methods.onnx.graph import Graph

Numbers = Literal["fp32", "fp16", "int8"]
POINTS = "points"
COARSE = ("Conv",)
"""What int8 touches: sums over many products. Geometry and coordinates stay in single precision."""


def write(
    model: LandmarkModel,
    path: str | Path,
    *,
    numbers: Numbers = "fp32",
    with_crop: bool = False,
    crops: Iterable[NDArray[np.uint8]] = (),
    origin: Origin | None = None,
) -> dict[str, str]:
    """Write a fitted deep model to one ONNX file and return the metadata inside it.

    Parameters
    ----------
    model : a loaded model whose method runs one graph
    path : the file
    numbers : how weights are stored: fp32; fp16 in half the bytes; int8, convolutions in a
        quarter, the rest as fp16
    with_crop : take the whole picture `image` (H, W, 3) and one face `box` (4,) instead of crops `pixels`
        (N, height, width, 3); `points` (1, K, 2) are then pixels of the picture
    crops : for int8, crops (height, width, 3) of some hundred faces, from which ranges are learnt
    origin : terms and data of model and crops; None: those of the model, and of crops nobody knows any

    Raises
    ------
    ConfigError : the method has no graph
    OutputError : the file cannot be written
    """
    graph = model.graph()
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra.of("export", "Exporting a model") from error
    net = onnx.load(str(graph.path))
    onnx_file.widen(net)
    assert model.markup is not None
    _only_output(net, graph.output, len(model.markup))
    if numbers == "int8":
        net = _quantised(net, crops)
    if with_crop:
        net = _joined(net, graph)
    if numbers != "fp32":
        onnx_file.halve(net)
    if origin is None:
        origin = joined([model.origin, *([Origin()] if numbers == "int8" else [])])
    told = _metadata(model, graph, numbers, with_crop) | _terms(origin)
    onnx.helper.set_model_props(net, told)
    _write(net.SerializeToString(), Path(path))
    return told


def _only_output(net: Any, output: str, count: int) -> None:
    """Make a graph answer one output, called `points`, and drop what only others needed."""
    import onnx

    del net.graph.output[:]
    told = onnx.helper.make_tensor_value_info(POINTS, onnx.TensorProto.FLOAT, ["batch", count, 2])
    net.graph.output.append(told)
    if output != POINTS:
        net.graph.node.append(onnx.helper.make_node("Identity", [output], [POINTS]))
    needed, nodes = {POINTS}, []
    for node in reversed(net.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    unused = [weight for weight in net.graph.initializer if weight.name not in needed]
    for weight in unused:
        net.graph.initializer.remove(weight)
    del net.graph.node[:]
    net.graph.node.extend(reversed(nodes))


def _joined(net: Any, graph: Graph) -> Any:
    """Return the network behind its own crop: picture and box in, points in the picture out."""
    import onnx
    from onnx import compose, helper

    opset = next(found.version for found in net.opset_import if not found.domain)
    crop = crop_model(graph, opset, net.ir_version)
    net = compose.add_prefix(net, "net/")
    joined = compose.merge_models(crop, net, io_map=[("pixels", "net/pixels")])
    halves = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half_pixel")
    joined.graph.initializer.append(halves)
    joined.graph.node.extend(
        [
            helper.make_node("Add", [f"net/{POINTS}", "half_pixel"], ["from_corner"]),
            helper.make_node("Mul", ["from_corner", "zoom"], ["enlarged"]),
            helper.make_node("Add", ["enlarged", "back"], [POINTS]),
        ]
    )
    shape = [1, *(dim.dim_value for dim in net.graph.output[0].type.tensor_type.shape.dim[1:])]
    del joined.graph.output[:]
    joined.graph.output.append(helper.make_tensor_value_info(POINTS, onnx.TensorProto.FLOAT, shape))
    return joined


def _quantised(net: Any, crops: Iterable[NDArray[np.uint8]]) -> Any:
    """Return the network with convolutions in int8, ranges learnt from crops."""
    import onnx

    from meanshape.core import runtime

    quantization = runtime.quantization()

    class Reader:  # it only wants `get_next`
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.uint8]] = iter(crops)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            crop = next(self.left, None)
            return None if crop is None else {"pixels": crop[None]}

    with tempfile.TemporaryDirectory() as folder:
        wide, small = Path(folder) / "wide.onnx", Path(folder) / "int8.onnx"
        wide.write_bytes(net.SerializeToString())
        with _without_advice():
            quantization.quantize_static(
                str(wide),
                str(small),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(COARSE),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                reduce_range=True,  # products of 8 bits overflow sums of two on CPUs without VNNI
            )
        return onnx.load(str(small))


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantiser from recommending a preparation that changes nothing here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _metadata(model: LandmarkModel, graph: Graph, numbers: str, with_crop: bool) -> dict[str, str]:
    """Return what the file says of itself, so that it can be used without its origin."""
    assert model.markup is not None
    told = {
        "method": model.name,
        "markup": model.markup.name,
        "points": ",".join(model.markup.points),
        "input": "picture and box" if with_crop else "crop",
        "size": json.dumps(graph.size),
        "window": json.dumps(graph.window),
        "square": json.dumps(graph.square),
        "numbers": numbers,
        "meanshape": version("meanshape"),
        "sha256": weights.sha256(graph.path),
    }
    card_folder = graph.path.parent
    if (card_folder / weights.CARD).exists():
        card = weights.read_card(card_folder)
        told["name"] = card.name
    return told


def _terms(origin: Origin) -> dict[str, str]:
    """Return the terms for people and, under `origin`, for programs."""
    return {
        "licence": origin.licence,
        "commercial_use": "yes" if origin.commercial_use else "no",
        "terms": "\n".join(origin.terms),
        "origin": json.dumps(origin.to_dict(), ensure_ascii=False),
    }


def _write(data: bytes, path: Path) -> None:
    """Write a file whole or not at all."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)

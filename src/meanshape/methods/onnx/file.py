"""Changes to an ONNX file that keep what it computes: weights in half precision, or in single again."""

from __future__ import annotations

from typing import Any

import numpy as np

SMALLEST = 4096  # initialisers of fewer numbers stay in single precision: biases, shapes, axes, mean shapes
SUFFIX = ".half"


def halve(model: Any) -> None:
    """Store the large float initialisers of an ONNX model as float16, each followed by a cast to float32."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < SMALLEST:
            continue
        name = weight.name
        small = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), name + SUFFIX)
        weight.CopyFrom(small)
        casts.append(onnx.helper.make_node("Cast", [small.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    del model.graph.value_info[:]


def widen(model: Any) -> None:
    """Undo `halve`: initialisers in single precision, no casts."""
    import onnx
    from onnx import numpy_helper

    halves = {weight.name: weight for weight in model.graph.initializer if weight.name.endswith(SUFFIX)}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            weight = halves[node.input[0]]
            wide = numpy_helper.to_array(weight).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(wide, node.output[0]))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.checker.check_model(model)

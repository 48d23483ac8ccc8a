"""The crop of a face as an ONNX graph: the whole picture and a face box in, what a network takes out.

A network's own graph begins with a crop that Python has cut. Joined to this one it needs no Python: what a
browser or a phone runs is one graph from the picture to the points in it. Every pixel of the crop is the
mean of bilinear samples no more than 1.5 pixels of the picture apart, and beyond the picture its reflection
goes on, as in `core.image.warp`.
"""

from __future__ import annotations

from typing import Any

from meanshape.methods.onnx.graph import Graph

MOST = 8
"""Samples per pixel of the crop, along each axis: a face that is reduced by more aliases."""

WHERE = """
    two = Constant <value = int64[1] {{2}}> ()
    zero = Constant <value = int64[1] {{0}}> ()
    four = Constant <value = int64[1] {{4}}> ()
    half = Constant <value = float {{0.5}}> ()
    one = Constant <value = int64 {{1}}> ()
    cells = Constant <value = float[2] {{{wide}, {tall}}}> ()
    window_start = Constant <value = float[2] {{{left}, {top}}}> ()
    window_sides = Constant <value = float[2] {{{across}, {down}}}> ()
    first = Slice(box, zero, two)
    last = Slice(box, two, four)
    both = Add(first, last)
    middle = Mul(both, half)
    sides = Sub(last, first)
    area = ReduceProd <keepdims = 1> (sides)
    root = Sqrt(area)
    unit = Expand({unit}, two)
    offset = Mul(unit, window_start)
    start = Add(middle, offset)
    reach = Mul(unit, window_sides)
    zoom = Div(reach, cells)
    least = Constant <value = float {{1.0}}> ()
    most = Constant <value = float {{{most}.0}}> ()
    spacing = Constant <value = float {{1.5}}> ()
    wanted = Div(zoom, spacing)
    enough = Ceil(wanted)
    bounded = Clip(enough, least, most)
    shape = Shape(image)
    colours = Constant <value = int64[2] {{-1, 3}}> ()
    rows = Reshape(image, colours)
"""

AXIS = """
    number_{a} = Constant <value = int64[1] {{{number}}}> ()
    side_{a} = Constant <value = int64[1] {{{size}}}> ()
    samples_{a} = Gather(bounded, number_{a})
    times_{a} = Cast <to = 7> (samples_{a})
    count_{a} = Mul(side_{a}, times_{a})
    scalar_{a} = Squeeze(count_{a})
    nought_{a} = Constant <value = int64 {{0}}> ()
    steps_{a} = Range(nought_{a}, scalar_{a}, one)
    real_{a} = Cast <to = 1> (steps_{a})
    centred_{a} = Add(real_{a}, half)
    zoom_{a} = Gather(zoom, number_{a})
    pace_{a} = Div(zoom_{a}, samples_{a})
    along_{a} = Mul(centred_{a}, pace_{a})
    start_{a} = Gather(start, number_{a})
    place_{a} = Add(along_{a}, start_{a})
    floor_{a} = Floor(place_{a})
    part_{a} = Sub(place_{a}, floor_{a})
    rest_{a} = Sub(least, part_{a})
    low_{a} = Cast <to = 7> (floor_{a})
    high_{a} = Add(low_{a}, one)
    axis_{a} = Constant <value = int64[1] {{{axis}}}> ()
    length_{a} = Gather(shape, axis_{a})
    period_{a} = Add(length_{a}, length_{a})
    end_{a} = Sub(period_{a}, one)
    low_turn_{a} = Mod(low_{a}, period_{a})
    low_back_{a} = Sub(end_{a}, low_turn_{a})
    low_in_{a} = Min(low_turn_{a}, low_back_{a})
    high_turn_{a} = Mod(high_{a}, period_{a})
    high_back_{a} = Sub(end_{a}, high_turn_{a})
    high_in_{a} = Min(high_turn_{a}, high_back_{a})
"""

CORNER = """
    row_{v}{h} = Mul({v}_in_y, length_x)
    column_{v}{h} = Unsqueeze(row_{v}{h}, last_axis)
    index_{v}{h} = Add(column_{v}{h}, {h}_in_x)
    taken_{v}{h} = Gather(rows, index_{v}{h})
    colour_{v}{h} = Cast <to = 1> (taken_{v}{h})
    down_{v}{h} = Unsqueeze({weight_y}_y, two_axes)
    across_{v}{h} = Unsqueeze({weight_x}_x, last_axis)
    weight_{v}{h} = Mul(down_{v}{h}, across_{v}{h})
    share_{v}{h} = Mul(colour_{v}{h}, weight_{v}{h})
"""

TOGETHER = """
    upper = Add(share_lowlow, share_lowhigh)
    lower = Add(share_highlow, share_highhigh)
    sampled = Add(upper, lower)
    three = Constant <value = int64[1] {{3}}> ()
    blocks = Concat <axis = 0> (side_y, times_y, side_x, times_x, three)
    blocked = Reshape(sampled, blocks)
    block_axes = Constant <value = int64[2] {{1, 3}}> ()
    averaged = ReduceMean <keepdims = 0> (blocked, block_axes)
    rounded = Round(averaged)
    bytes = Cast <to = 2> (rounded)
    pixels = Unsqueeze(bytes, zero)
    back = Identity(start)
"""


def crop_model(graph: Graph, opset: int, ir_version: int) -> Any:
    """Return the ONNX model that cuts a graph's crop.

    Inputs: `image` uint8 (H, W, 3) RGB, `box` float32 (4,) left, top, right, bottom in pixels, tight around
    the 68 points. Outputs: `pixels` uint8 (1, height, width, 3); `zoom` and `back` (2,), with which a point p
    of the crop lies at `back + zoom * (p + 0.5)` of the image.
    """
    import onnx.parser

    left, top, right, bottom = graph.window
    wide, tall = graph.size
    where = WHERE.format(
        wide=float(wide),
        tall=float(tall),
        left=left,
        top=top,
        across=right - left,
        down=bottom - top,
        unit="root" if graph.square else "sides",
        most=MOST,
    )
    axes = [
        AXIS.format(a=a, number=number, size=size, axis=1 - number)
        for a, number, size in (("x", 0, wide), ("y", 1, tall))
    ]
    corners = [
        CORNER.format(v=v, h=h, weight_y=weights[v], weight_x=weights[h])
        for weights in [{"low": "rest", "high": "part"}]
        for v in weights
        for h in weights
    ]
    constants = """
    last_axis = Constant <value = int64[1] {1}> ()
    two_axes = Constant <value = int64[2] {1, 2}> ()
"""
    body = where + "".join(axes) + constants + "".join(corners) + TOGETHER.format()
    head = (
        f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n'
        f"crop (uint8[height, width, 3] image, float[4] box)"
        f" => (uint8[1, {tall}, {wide}, 3] pixels, float[2] zoom, float[2] back) {{"
    )
    model = onnx.parser.parse_model(head + body + "}")
    for node in model.graph.node:
        node.name = node.output[0]  # ONNX Runtime 1.18 fuses nodes and confuses them where they have no name
    onnx.checker.check_model(model)
    return model

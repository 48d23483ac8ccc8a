"""Weights of a hostile publisher: broken files under a card that names their hashes. Refused, or loaded."""

import io
import shutil
import zipfile

import numpy as np
import pytest
from hostile import bounded, cuts, flips, read_all

import meanshape as ms
from meanshape.core import weights
from meanshape.core.errors import MeanshapeError, WeightsError
from meanshape.methods.onnx.session import OnnxSession
from meanshape.methods.shared import arrays

IMAGE = np.full((40, 40, 3), 90, np.uint8)


def signed(folder):
    """Write the card anew, so that every hash is that of the file as it is now."""
    card = weights.read_card(folder)
    weights.write_card(folder, card, card.files)


@pytest.fixture
def broken(tmp_path):
    """Return what puts bytes in the place of one file of a folder, signs it, loads and predicts."""

    def of(source, name):
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        shutil.copytree(source, folder)

        def load(data):
            (folder / name).write_bytes(data)
            signed(folder)
            points = ms.load(folder).predict(IMAGE).points
            assert points.ndim == 2 and points.shape[1] == 2

        return load, (folder / name).read_bytes()

    return of


@pytest.mark.parametrize("name", ["mean.npz", "config.toml"])
def test_a_small_model_cut_off_at_every_byte_and_changed(name, model_folder, broken):
    load, data = broken(model_folder, name)
    read_all(load, [data, *cuts(data, 600), *flips(data, 200)])


@pytest.mark.parametrize("name", weights.names())
def test_what_ships_broken_in_each_of_its_files(name, broken):
    for file in weights.read_card(weights.folder(name)).files:
        load, data = broken(weights.folder(name), file)
        flipped = [head + data[400:] for head in flips(data[:400], 2)]
        read_all(load, [b"", data[:1], data[:200], data[: len(data) // 2], data[:-1], *flipped])


def npz(**parts):
    file = io.BytesIO()
    np.savez(file, **parts)
    return file.getvalue()


def header(shape, kind="<f8"):
    """A .npy file that promises an array of some shape, and holds little of it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def archived(name, data, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()


HOSTILE = {
    "an object, that is pickle": npz(mean=np.array([{"a": 1}], object)),
    "a terabyte that is not there": archived("mean.npy", header((10**6, 10**6))),
    "a negative shape": archived("mean.npy", header((-1, 2))),
    "another shape": npz(mean=np.zeros((67, 2))),
    "another kind": npz(mean=np.array([["a", "b"]] * 68)),
    "not a number": npz(mean=np.full((68, 2), np.nan)),
    "other names": npz(mittel=np.zeros((68, 2))),
    "a path outside": archived("../../mean.npy", header((68, 2))),
    "no archive": b"PK\3\4" + bytes(100),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_arrays(what, model_folder, broken):
    load, _ = broken(model_folder, "mean.npz")
    with bounded(megabytes=300), pytest.raises(MeanshapeError):
        load(HOSTILE[what])


def test_an_archive_that_unpacks_a_thousandfold(model_folder, broken):
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("mean.npy", "w") as part,
    ):
        part.write(header((2**24, 10)))
        for _ in range(1100):
            part.write(bytes(2**20))
    load, _ = broken(model_folder, "mean.npz")
    with bounded(megabytes=300), pytest.raises(WeightsError, match="unpacks to"):
        load(file.getvalue())


def test_arrays_in_groups(tmp_path):
    path = tmp_path / "a.npz"
    arrays.save(path, {"one": {"x": np.arange(6.0)}, "two": {"y": np.eye(3)}})

    def read(data):
        path.write_bytes(data)
        return arrays.load(path)

    whole = path.read_bytes()
    read_all(read, [whole, *cuts(whole), *flips(whole, 200)])


@pytest.fixture(scope="module")
def graph():
    """A small network as ONNX: crops (N, 8, 8, 3) to points (N, 5, 2)."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    matrix = onnx.numpy_helper.from_array(np.ones((192, 10), np.float32) / 192, "matrix")
    flat = onnx.numpy_helper.from_array(np.array([-1, 192]), "flat")
    shape = onnx.numpy_helper.from_array(np.array([-1, 5, 2]), "shape")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=kinds.FLOAT),
        helper.make_node("Reshape", ["numbers", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["columns"]),
        helper.make_node("Reshape", ["columns", "shape"], ["points"]),
    ]
    inputs = [helper.make_tensor_value_info("pixels", kinds.UINT8, ["n", 8, 8, 3])]
    outputs = [helper.make_tensor_value_info("points", kinds.FLOAT, ["n", 5, 2])]
    made = helper.make_model(
        helper.make_graph(nodes, "small", inputs, outputs, [matrix, flat, shape]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    told = {"method": "dan", "markup": "mtfl5", "input": "crop", "size": "[8, 8]", "window": "[0, 0, 1, 1]"}
    helper.set_model_props(made, {**told, "square": "false"})
    return made


def test_one_onnx_file_cut_off_or_changed(graph, tmp_path):
    """It has no card: whatever ONNX Runtime makes of it, the answer is points or an error of the tree."""
    path = tmp_path / "a.onnx"

    def read(data):
        path.write_bytes(data)
        points = ms.load(path).predict(IMAGE).points
        assert points.shape == (5, 2)

    whole = graph.SerializeToString()
    assert read_all(read, [whole]) == 1
    ends = [whole[:length] for length in range(len(whole) - 400, len(whole))]
    heads = [head + whole[300:] for head in flips(whole[:300], 100)]
    tails = [whole[:-400] + tail for tail in flips(whole[-400:], 200)]
    read_all(read, [*ends, *cuts(whole, 150), *heads, *tails])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("size", text) for text in ("", "[]", "[0, 0]", "[-8, 8]", "[1e9]", '"x"', "[" * 9999, "null")),
        *(("window", text) for text in ("", "[]", "[0, 0, 0, 0]", "[NaN, 0, 1, 1]", '["a"]', "3")),
        *(("markup", text) for text in ("", "ibug68", "none", "/etc/own.toml", "x.toml")),
        *(("input", text) for text in ("", "picture and box")),
        ("square", "x"),
        ("method", ""),
    ],
)
def test_what_an_onnx_file_says_of_itself(graph, key, value, tmp_path):
    onnx = pytest.importorskip("onnx")
    made = graph.__class__.FromString(graph.SerializeToString())
    told = {prop.key: prop.value for prop in made.metadata_props} | {key: value}
    onnx.helper.set_model_props(made, told)
    (tmp_path / "a.onnx").write_bytes(made.SerializeToString())
    with bounded(20):
        try:
            ms.load(tmp_path / "a.onnx").predict(IMAGE)
        except MeanshapeError as error:
            assert str(error)


def test_an_onnx_file_reaches_no_other_file(graph, tmp_path):
    """Nor one in it: nobody has checked that."""
    onnx = pytest.importorskip("onnx")
    (tmp_path / "secret").write_bytes(bytes(192 * 10 * 4))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "beside").write_bytes(bytes(192 * 10 * 4))
    for location in ("../secret", str(tmp_path / "secret"), "beside"):
        made = graph.__class__.FromString(graph.SerializeToString())
        matrix = made.graph.initializer[0]
        matrix.ClearField("raw_data")
        matrix.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "7680")):
            matrix.external_data.add(key=key, value=value)
        path = tmp_path / "in" / "a.onnx"
        path.write_bytes(made.SerializeToString())
        with pytest.raises(WeightsError):
            OnnxSession(path)


def test_torch_weights_cut_off_or_changed(tmp_path):
    torch = pytest.importorskip("torch")
    from meanshape.methods.onnx.state import load_state, save_state

    module, path = torch.nn.Linear(3, 2), tmp_path / "a.safetensors"
    save_state(module, path)
    whole = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        return load_state(module, path)

    read_all(read, [*cuts(whole), *flips(whole, 200), (2**60).to_bytes(8, "little") + whole[8:]])


def test_a_checkpoint_cut_off_or_hostile(tmp_path):
    """Checkpoints of a training are torch's own files, read without the part of pickle that runs programs."""
    torch = pytest.importorskip("torch")
    import pickle

    from meanshape.training.loop import read_checkpoint

    path = tmp_path / "a.checkpoint.pt"
    torch.save({"module": {"a": torch.zeros(3)}, "step": 3}, path)
    whole = path.read_bytes()

    class Program:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    def read(data):
        path.write_bytes(data)
        return read_checkpoint(path)

    read_all(read, [*cuts(whole, 100), *flips(whole, 60), pickle.dumps(Program())])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["asm", "cpr", "mtcnn", "tcdcn"])
@pytest.mark.parametrize(
    "box", [(1e9, 1e9, 1e9 + 90, 1e9 + 90), (-1e12, 0, 90 - 1e12, 90), (0, 0, 1e12, 1e12)], ids=str
)
@pytest.mark.parametrize("size", [(40, 60), (1, 2), (2, 900)], ids=str)
def test_a_box_far_beyond_its_picture(name, box, size):
    """One line of a label file says it: OpenCV alone would reflect the picture a billion times a pixel."""
    with bounded():
        points = ms.load(name).predict(np.zeros((*size, 3), np.uint8), ms.Box(*box)).points
    assert np.isfinite(points).all()


def test_a_confidence_that_looks_far_beyond(tmp_path):
    folder = tmp_path / "asm"
    shutil.copytree(weights.folder("asm"), folder)
    groups = arrays.load(folder / "confidence.npz")
    groups["check"]["frame"] = np.full((68, 2), 1e30) * np.arange(136).reshape(68, 2)
    arrays.save(folder / "confidence.npz", groups)
    signed(folder)
    with bounded():
        points = ms.load(folder).predict(IMAGE, ms.Box(5, 5, 35, 35))
    assert (points.confidence <= 1).all()


@pytest.mark.parametrize(
    ("group", "name", "value", "said"),
    [
        ("shapes", "mean", np.nan, r"not all of shapes\.mean"),
        ("regression", "slopes", np.inf, r"not all of regression\.slopes"),
        ("check", "outer", np.nan, r"not all of check\.outer"),
        ("check", "inner", 1j, r"not all of check\.inner"),
        ("check", "frame", 0.0, r"the points of check\.frame fall together"),
    ],
)
def test_a_confidence_that_cannot_be_computed_with(group, name, value, said, tmp_path):
    folder = tmp_path / "asm"
    shutil.copytree(weights.folder("asm"), folder)
    groups = arrays.load(folder / "confidence.npz")
    groups[group][name] = np.full_like(groups[group][name], value, type(value))
    arrays.save(folder / "confidence.npz", groups)
    signed(folder)
    with pytest.raises(WeightsError, match=rf"confidence\.npz.*{said}"):
        ms.load(folder)

import numpy as np
import pytest

import meanshape as ms
from meanshape.core import weights
from meanshape.core.errors import UnknownName, WeightsError


def saved(folder, **more):
    folder.mkdir(parents=True)
    (folder / "model.npz").write_bytes(b"numbers")
    card = weights.Card("mine", "mean_shape", markup="ibug68", **more)
    return weights.write_card(folder, card, ["model.npz"])


def test_a_card_comes_back_as_it_was(tmp_path):
    card = saved(
        tmp_path / "mine",
        licence="free",
        commercial_use=True,
        more={"seed": 3, "data": ["synthetic"], "metrics": {"nme": 3.5}},
    )
    assert weights.verify(tmp_path / "mine") == card
    assert card.files == {"model.npz": weights.sha256(tmp_path / "mine" / "model.npz")}
    assert card.more == {"seed": 3, "data": ["synthetic"], "metrics": {"nme": 3.5}}
    assert card.commercial_use
    assert card.bytes(tmp_path / "mine") == 7


def test_a_changed_file_is_refused(tmp_path):
    saved(tmp_path / "mine")
    (tmp_path / "mine" / "model.npz").write_bytes(b"numberz")
    with pytest.raises(WeightsError, match=r"model\.npz: SHA-256 .* is not .* of the card"):
        weights.verify(tmp_path / "mine")
    assert weights.verify(tmp_path / "mine", only=[]).name == "mine"
    (tmp_path / "mine" / "model.npz").unlink()
    with pytest.raises(ValueError, match="No such file"):
        weights.verify(tmp_path / "mine")


@pytest.mark.parametrize("text", ["name = ", "name = 'a'", "method = 'a'\nfiles = 3", "\xff"])
def test_a_broken_card(tmp_path, text):
    (tmp_path / "card.toml").write_text(text, "latin-1")
    with pytest.raises(WeightsError, match=r"card\.toml"):
        weights.read_card(tmp_path)


def test_no_card(tmp_path):
    with pytest.raises(WeightsError, match="no folder of weights"):
        weights.read_card(tmp_path)


def test_shipped_weights_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    saved(tmp_path / "mine")
    (tmp_path / "half").mkdir()
    assert weights.names() == ("mine",)
    assert weights.folder("mine") == tmp_path / "mine"
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        weights.folder("mime")


def test_everything_shipped_is_whole():
    for name in weights.names():
        assert weights.verify(weights.folder(name)).name == name


class TestLoad:
    @pytest.fixture
    def model(self):
        from meanshape.methods.mean_shape import MODEL

        rng = np.random.default_rng(0)
        face = rng.uniform(0, 100, (5, 2))
        samples = [
            ms.Sample(str(i), np.zeros((9, 9), np.uint8), ms.Shape(face + i, "mtfl5")) for i in range(3)
        ]
        return MODEL().fit(samples)

    def test_by_shipped_name_and_by_folder(self, model, tmp_path, monkeypatch):
        monkeypatch.setattr(weights, "FOLDER", tmp_path)
        folder = model.save(tmp_path / "average")
        image = np.zeros((30, 20, 3), np.uint8)
        for way in ("average", folder, str(folder)):
            assert ms.load(way).predict(image) == model.predict(image)

    def test_a_method_without_weights_says_so(self):
        if "mean_shape" not in weights.names():
            with pytest.raises(WeightsError, match="train it"):
                ms.load("mean_shape")

    def test_a_method_that_needs_none(self, monkeypatch):
        from meanshape.methods.mean_shape import MODEL

        monkeypatch.setattr(weights, "names", lambda: ())
        monkeypatch.setattr(MODEL, "needs_weights", False)
        assert isinstance(ms.load("mean_shape"), MODEL)

    def test_unknown(self, tmp_path):
        with pytest.raises(UnknownName, match="no model, folder or"):
            ms.load("daan")
        with pytest.raises(WeightsError, match=r"there\.onnx: there is no such file"):
            ms.load(tmp_path / "there.onnx")
        (tmp_path / "bad.onnx").write_bytes(b"not onnx")
        with pytest.raises(WeightsError, match="cannot load it"):
            ms.load(tmp_path / "bad.onnx")
        with pytest.raises(WeightsError, match="no folder of weights"):
            ms.load(tmp_path)

    def test_a_flipped_byte_is_refused(self, model, tmp_path):
        folder = model.save(tmp_path / "average")
        data = bytearray((folder / "mean.npz").read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "mean.npz").write_bytes(data)
        with pytest.raises(WeightsError, match=r"mean\.npz: SHA-256"):
            ms.load(folder)

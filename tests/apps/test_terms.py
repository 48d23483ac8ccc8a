"""Weights inherit the strictest terms of all they come from; `--licence permissive` believes cards alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape import datasets
from meanshape.apps.cli import main
from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError
from meanshape.core.face import Face
from meanshape.core.origin import NOT_STATED, Origin, joined
from meanshape.datasets import ibug300w, synthetic
from meanshape.detectors.base import FaceDetector
from meanshape.detectors.mtcnn import MTCNN
from meanshape.inference.pipeline import Pipeline
from meanshape.methods.emotional_dan import Config, EmotionalDAN
from meanshape.methods.mean_shape import MeanShape

FREE = Origin("ours", True, ("ours alone",), ("folder@1",))
DAN = "research only (300-W, ImageNet); non-commercial research (MTFL, BSDS500)"
RESEARCH = Origin("research only", False, ("theirs",), ("theirs:train",))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of one's own, with points: rendered ones stand for them."""
    root = tmp_path_factory.mktemp("photos")
    for path in synthetic.write(root / "written", 40, 48).glob("train/*"):
        path.rename(root / path.name)
    return root


@pytest.fixture
def trained(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train the mean shape, as if it took all that a network takes, by the command line; return the card."""
    monkeypatch.setattr(MeanShape, "starts_from_weights", True)
    monkeypatch.setattr(MeanShape, "negatives", None, raising=False)

    def run(*words: str, data: str = "") -> weights.Card:
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        words = ("train", "mean_shape", "--data", data or f"folder:{photos}", "--out", str(out), *words)
        assert main(list(words)) == 0
        return weights.read_card(out)

    return run


def permissive(model: object, **options: object) -> Pipeline:
    return Pipeline("whole_image", model, licence="permissive", **options)


def test_the_strictest_bind_and_all_data_are_kept():
    both = joined([FREE, RESEARCH, FREE])
    assert (both.licence, both.commercial_use) == ("research only", False)
    assert both.terms == ("ours alone", "theirs") and both.learnt_from == ("folder@1", "theirs:train")
    assert joined([FREE, FREE]) == FREE
    assert joined([FREE, Origin()]).licence == NOT_STATED
    assert joined([RESEARCH, joined([RESEARCH, Origin()])]).licence == "research only; not stated"
    assert not joined([]).commercial_use
    assert Origin.read(FREE.to_dict()) == FREE
    assert not Origin.read({"commercial_use": "false"}).commercial_use  # a text is no permission


def test_every_data_set_says_its_terms():
    for name in registry.names("datasets"):
        card = registry.card("datasets", name)
        assert card["terms"] and isinstance(card["commercial_use"], bool), name
        assert card["commercial_use"] == (name in ("synthetic", "webmorph")), name
    assert datasets.origin("synthetic:9@64@3:train").commercial_use
    assert datasets.origin("synthetic:9@64@3:train").learnt_from == ("synthetic@3:train",)


def test_a_folder_says_nothing_of_itself(trained, photos):
    card = trained()
    assert (card.licence, card.commercial_use) == (NOT_STATED, False)
    assert str(photos) not in " ".join(card.more["learnt_from"])  # a path may be private
    with pytest.raises(ConfigError, match="not stated"):
        permissive(MeanShape().fit(datasets.load_data(f"folder:{photos}")))


def test_a_folder_that_is_not_there_is_said_plainly(tmp_path, capsys):
    words = ["--data", f"folder:{tmp_path / 'none'}:train", "--out", str(tmp_path / "run")]
    assert main(["train", "mean_shape", *words]) == ms.DataSetError.exit_code
    assert "does not exist" in capsys.readouterr().err


def test_labels_in_the_folder_of_a_split_are_looked_at(trained, photos, tmp_path):
    path = labelled(photos, "dan")
    (tmp_path / "own" / "train").mkdir(parents=True)
    (tmp_path / "own" / "train" / "labels.jsonl").write_bytes(path.read_bytes())
    assert "300-W" in datasets.origin(f"folder:{tmp_path / 'own'}:train").licence


def test_what_a_user_states_of_photos_of_their_own(trained, photos, tmp_path, capsys):
    card = trained("--terms", "my own photos", "--commercial-use")
    assert (card.licence, card.commercial_use) == ("my own photos", True)
    assert permissive(tmp_path / "run0").model.origin.commercial_use
    assert not trained("--terms", "for my thesis").commercial_use
    train = ["train", "mean_shape", "--out", str(tmp_path / "none"), "--data"]
    assert main([*train, f"folder:{photos}", "--commercial-use"]) == ConfigError.exit_code
    assert "wants the terms" in capsys.readouterr().err
    ibug300w.miniature(tmp_path / "300w")
    stated = [*train, f"ibug300w:{tmp_path / '300w'}", "--allow-missing", "--terms", "mine"]
    assert main(stated) == ConfigError.exit_code
    assert "has terms of its own" in capsys.readouterr().err


def test_data_sets_bind_whatever_is_mixed_in(trained, photos, tmp_path):
    ibug300w.miniature(tmp_path / "300w")
    words = ["--data", f"ibug300w:{tmp_path / '300w'}:train", "--allow-missing"]
    card = trained(*words, "--terms", "my own photos", "--commercial-use")
    assert (card.licence, card.commercial_use) == ("research only (300-W)", False)
    assert "ibug300w:train" in card.more["learnt_from"]
    assert trained(data="synthetic:30@48:train").commercial_use


def test_weights_that_a_training_starts_from_bind(trained, photos, tmp_path):
    card = trained("--init", "dan", "--terms", "mine", "--commercial-use")
    assert (card.licence, card.commercial_use) == (DAN, False)
    assert "mtfl:train" in card.more["learnt_from"]
    with pytest.raises(ConfigError, match="300-W"):
        permissive(str(tmp_path / "run0"))
    again = trained("--init", str(tmp_path / "run0"), "--terms", "mine", "--commercial-use")
    assert not again.commercial_use
    assert trained("--init", "dan_synthetic", data="synthetic:30@48:train").commercial_use


@pytest.mark.parametrize("method", ["asm", "mean_shape", "mtcnn", "cpr"])
def test_what_starts_from_nothing_takes_no_weights(method, photos, tmp_path, capsys):
    words = ["train", method, "--data", f"folder:{photos}", "--out", str(tmp_path / "run"), "--init", "dan"]
    assert main(words) == ConfigError.exit_code
    assert f"{method} starts from nothing" in capsys.readouterr().err


def test_photos_that_teach_nothing_are_refused(photos, tmp_path, capsys):
    words = ["train", "cpr", "--data", f"folder:{photos}", "--out", str(tmp_path / "run")]
    assert main([*words, "--negatives", str(photos)]) == ConfigError.exit_code
    assert "cpr learns nothing from photos without people" in capsys.readouterr().err


def test_teachers_are_parents():
    model = EmotionalDAN(Config(teachers=("runs/one", "runs/two")))
    model.initial = Path("runs/dan")
    assert model.parents() == (Path("runs/dan"), Path("runs/one"), Path("runs/two"))


def test_photos_without_people_are_data(trained, photos):
    card = trained("--negatives", str(photos), data="synthetic:30@48:train")
    assert not card.commercial_use and NOT_STATED in card.licence
    words = ("--negatives", str(photos), "--terms", "drawn by me", "--commercial-use")
    assert trained(*words, data="synthetic:30@48:train").commercial_use


def labelled(photos: Path, model: str | None) -> Path:
    """Write the points of the photos as a model's predictions."""
    lines = []
    for sample in datasets.load_data(f"folder:{photos}"):
        shape = {"markup": "ibug68", "points": sample.shape.points.tolist()}
        face = {"box": sample.box.as_list(), "score": None, "track": None, "shape": shape}
        line = {
            "schema": 1,
            "source": Path(sample.image).name,
            "size": [48, 48],
            "model": model,
            "seconds": 0,
        }
        lines.append(json.dumps(line | {"faces": [face], "error": None}))
    path = photos / "predicted.jsonl"  # labels.jsonl beside .pts files would be asked about
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("model", "licence", "free"),
    [
        ("dan", "research only (300-W, ImageNet)", False),
        ("dan_synthetic", "mine", True),
        ("runs/gone", "not stated (labels placed by runs/gone)", False),
        ("corrected by hand", "mine", True),
        (None, "mine", True),
    ],
)
def test_labels_that_a_model_placed_bind(trained, photos, model, licence, free):
    path = labelled(photos, model)
    card = trained("--terms", "mine", "--commercial-use", data=f"folder:{path}")
    assert card.commercial_use == free
    assert licence in card.licence.split("; ")


def test_no_name_of_a_photo_hides_who_placed_its_points(tmp_path):
    """Some letters end a line for Python, and not for JSON Lines."""
    shape = ms.Shape(np.arange(10.0).reshape(5, 2), "mtfl5")
    face = ms.Face(shape.box(), shape)
    for letter in "\x85\u2028\x1c":
        one = ms.Prediction((face,), (9, 9), f"a{letter}b.jpg", "runs/gone")
        ms.formats.write(tmp_path / "labels.jsonl", [one])
        assert "labels placed by runs/gone" in datasets.origin(f"folder:{tmp_path / 'labels.jsonl'}").licence


def test_terms_beside_labels_bind(trained, photos):
    path = labelled(photos, "runs/gone")
    beside = path.with_suffix(".origin")
    beside.write_text('licence = "research only"\ncommercial_use = false\nlearnt_from = ["mtfl:train"]\n')
    card = trained("--terms", "mine", "--commercial-use", data=f"folder:{path}")
    assert card.licence == "research only" and "mtfl:train" in card.more["learnt_from"]
    beside.write_text("licence = \n")
    with pytest.raises(ms.DataSetError, match="terms of labels"):
        datasets.origin(f"folder:{path}")


def test_a_calibration_binds(trained, photos, tmp_path):
    trained(data="synthetic:30@48:train")
    run, words = tmp_path / "run0", ["--data", f"folder:{photos}", "--shapes", "synthetic:20@48:train"]
    assert main(["calibrate", str(run), *words, "--terms", "mine", "--commercial-use"]) == 0
    card = weights.read_card(run)
    assert card.commercial_use and card.more["learnt_from"] == ["synthetic:train"]
    assert main(["calibrate", str(run), *words]) == 0
    card = weights.read_card(run)
    assert not card.commercial_use and card.licence == NOT_STATED and "confidence" in card.more


def test_an_exported_file_carries_its_terms(tmp_path):
    onnx = pytest.importorskip("onnx")
    from meanshape.methods.onnx import portable

    for name, free in (("dan_synthetic", True), ("dan", False)):
        model, path = ms.load(name), tmp_path / f"{name}.onnx"
        told = portable.write(model, path)
        assert told["commercial_use"] == ("yes" if free else "no")
        assert ms.load(path).origin == weights.read_card(weights.folder(name)).origin == model.origin
    assert permissive(tmp_path / "dan_synthetic.onnx").model.origin.commercial_use
    with pytest.raises(ConfigError, match="300-W"):
        permissive(str(tmp_path / "dan.onnx"))
    silent = onnx.load(tmp_path / "dan_synthetic.onnx")
    told = {prop.key: prop.value for prop in silent.metadata_props if prop.key != "origin"}
    del silent.metadata_props[:]
    onnx.helper.set_model_props(silent, told)
    (tmp_path / "silent.onnx").write_bytes(silent.SerializeToString())
    with pytest.raises(ConfigError, match="not stated"):
        permissive(tmp_path / "silent.onnx")


def test_faces_that_set_the_ranges_of_int8_bind(tmp_path, photos):
    pytest.importorskip("onnx")
    out = tmp_path / "a.onnx"
    words = ["export", "tcdcn", "--int8", "-o", str(out), "--limit", "4"]
    assert main([*words, "--data", f"folder:{photos}"]) == 0
    assert NOT_STATED in ms.load(out).origin.licence
    assert main(words) == 0
    assert NOT_STATED not in ms.load(out).origin.licence


def test_old_cards_and_cards_with_a_text_are_not_free(trained, tmp_path):
    trained(data="synthetic:30@48:train")
    path = tmp_path / "run0" / "card.toml"
    text = path.read_text("utf-8")
    for said in ("", 'commercial_use = "true"', "commercial_use = 1"):
        path.write_text(text.replace("commercial_use = true", said), "utf-8")
        with pytest.raises(ConfigError, match="not permissive"):
            permissive(tmp_path / "run0")


def test_what_was_loaded_keeps_its_terms(tmp_path):
    ms.load("asm").save(tmp_path / "copy")
    assert weights.read_card(tmp_path / "copy").origin == weights.read_card(weights.folder("asm")).origin


class Own(FaceDetector):
    """A detector of somebody's own."""

    name = "own"

    def _detect(self, image, **options):
        return [Face(Box(1, 1, 9, 9))]


class Named(Own):
    """The same under the name of a detector that is free."""

    name = "whole_image"


class Stated(Own):
    """The same, with terms."""

    origin = Origin("mine", commercial_use=True)


def test_detectors_are_asked_too():
    for detector in (Own(), Named(), MTCNN(), "mtcnn"):
        with pytest.raises(ConfigError, match="detector"):
            Pipeline(detector, licence="permissive")
    rendered = MTCNN(weights=weights.folder("mtcnn_synthetic"))
    for detector in (Stated(), rendered, "whole_image"):
        assert len(Pipeline(detector, licence="permissive")(np.zeros((40, 40, 3), np.uint8)).faces) <= 1

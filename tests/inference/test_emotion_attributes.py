"""Emotion and attributes through pipeline, files, overlay and command line: only when asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.core import weights
from meanshape.core.face import Emotion
from meanshape.inference import Pipeline, choice
from meanshape.inference.overlay import draw
from meanshape.inference.printing import seems
from meanshape.methods.mean_shape import MeanShape

SHARES = {"neutral": 0.25, "happy": 0.75}


class Felt(MeanShape):
    """Answers the mean shape, and the same emotion for every face."""

    labels = ("neutral", "happy")
    runs = 0

    def predict_all(self, images: Any, boxes: Any) -> tuple[list[ms.Shape], list[Emotion]]:
        type(self).runs += 1
        return self.predict_batch(images, boxes), self.emotions(images, boxes)

    def emotions(self, images: Any, boxes: Any) -> list[Emotion]:
        return [Emotion("happy", SHARES) for _ in boxes]


class Described(MeanShape):
    """Answers the mean shape, and the same attributes for every face."""

    def attributes(self, image: Any, box: Any = None) -> dict[str, dict[str, float]]:
        return {"glasses": {"glasses": 0.875, "no glasses": 0.125}, "smile": {"smiling": 0.25, "not": 0.75}}


@pytest.fixture
def felt(model_folder: Any) -> Felt:
    return Felt.load(model_folder)


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((120, 120, 3), 90, np.uint8)


def test_nothing_is_said_unless_asked(felt: Felt, grey: np.ndarray) -> None:
    (face,) = Pipeline("whole_image", felt)(grey).faces
    assert face.emotion is None and face.attributes is None
    assert face.pose is not None and abs(face.pose.yaw) < 10  # the mean face looks at the camera


def test_a_model_that_has_emotions_gives_points_and_them_in_one_run(felt: Felt, grey: np.ndarray) -> None:
    Felt.runs = 0
    (face,) = Pipeline("whole_image", felt, emotion=True)(grey).faces
    assert face.emotion == Emotion("happy", SHARES) and face.shape is not None
    assert Felt.runs == 1


def test_another_model_says_what_this_one_cannot(
    monkeypatch: pytest.MonkeyPatch, model_folder: Any, felt: Felt, grey: np.ndarray
) -> None:
    made = choice.make_model
    others = {"emotional_dan": felt, "tcdcn": Described.load(model_folder)}
    monkeypatch.setattr(weights, "names", lambda: tuple(others))
    monkeypatch.setattr(
        choice,
        "make_model",
        lambda name, *rest: (others[name], name) if name in others else made(name, *rest),
    )
    (face,) = Pipeline("whole_image", model_folder, emotion=True, attributes=True)(grey).faces
    assert face.emotion is not None and face.emotion.label == "happy"
    assert face.attributes is not None and face.attributes["glasses"]["glasses"] == 0.875
    assert seems(face) == ["happy 0.75", "glasses 0.88", "not 0.75"]


@pytest.mark.parametrize(("asked", "name"), [("emotion", "emotional_dan"), ("attributes", "tcdcn")])
def test_missing_weights_are_said_before_any_photo(
    monkeypatch: pytest.MonkeyPatch, model_folder: Any, asked: str, name: str
) -> None:
    monkeypatch.setattr(weights, "names", lambda: ())
    with pytest.raises(ms.WeightsError, match=f"{asked}.*{name}.*train"):
        Pipeline("whole_image", model_folder, **{asked: True})


def test_they_are_written_and_drawn(tmp_path: Any, felt: Felt, grey: np.ndarray) -> None:
    from meanshape import formats

    prediction = Pipeline("whole_image", felt, emotion=True)(grey, source="a.png")
    formats.write(tmp_path / "a.jsonl", [prediction])
    (read,) = formats.read(tmp_path / "a.jsonl")
    assert read.faces[0].emotion == Emotion("happy", SHARES)
    assert read.faces[0].pose == prediction.faces[0].pose
    room = [ms.Box(40, 40, 80, 80)]  # on a face that fills the picture nothing would be written
    labelled, plain = (
        Pipeline("whole_image", felt, emotion=asked)(grey, boxes=room) for asked in (True, False)
    )
    assert not np.array_equal(draw(grey, labelled), draw(grey, plain))


def test_the_command_says_what_the_labels_are_not(
    photo: Any, model_folder: Any, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(choice, "make_model", lambda name, *rest: (Felt.load(model_folder), str(name)))
    command = ["detect", str(photo()), "--detector", "whole_image", "-o", "-"]
    assert main([*command, "--emotion"]) == 0
    asked = capsys.readouterr()
    assert "appearance" in asked.err and '"happy"' in asked.out
    assert main(command) == 0
    quiet = capsys.readouterr()
    assert "appearance" not in quiet.err and '"emotion": null' in quiet.out

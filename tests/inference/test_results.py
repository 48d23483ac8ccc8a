"""What a prediction does by itself: plots, files, data frames, and the picture it does not keep."""

from __future__ import annotations

import copy
import gc
import io
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import meanshape as ms
from meanshape import formats
from meanshape.core.errors import (
    ConfigError,
    FormatError,
    ImageError,
    MissingExtra,
    OutputError,
    ResultError,
)
from meanshape.core.image import read_image
from meanshape.inference import results

Photo = Callable[..., Path]


@pytest.fixture
def pipeline(model_folder: Path) -> ms.Pipeline:
    return ms.Pipeline("whole_image", model_folder)


@pytest.fixture
def two(mean_face: np.ndarray) -> ms.Prediction:
    """A face of which everything is known, and one with a box alone."""
    box = ms.Box(10, 20, 70, 90, 0.75)
    points = box.absolute(mean_face)
    points[3] = np.nan
    face = ms.Face(
        box,
        ms.Shape(points, visible=[True] * 68, confidence=[0.5] * 68),
        pose=ms.Pose(1, 2, 3),
        emotion=ms.Emotion("sad", {"sad": 0.7, "fear": 0.3}),
        attributes={"glasses": {"yes": 0.2, "no": 0.8}},
        track=4,
    )
    return ms.Prediction((face, ms.Face(ms.Box(0, 0, 9, 9))), (100, 120), "a.png", "m", 0.1)


def test_methods_and_functions_agree() -> None:
    for name in ("plot", "save", "to_df", "to_supervision"):
        method, function = (signature(getattr(where, name)) for where in (ms.Prediction, results))
        assert [*method.parameters][1:] == [*function.parameters][1:]
        assert [p.default for p in method.parameters.values()] == [
            p.default for p in function.parameters.values()
        ]


def test_labels_are_written_by_suffix(two: ms.Prediction, tmp_path: Path) -> None:
    for suffix in (".jsonl", ".csv", ".json", ".ljson"):
        two.save(tmp_path / f"points{suffix}")
        (again,) = formats.read(tmp_path / f"points{suffix}", markup="ibug68")
        assert again.faces[0].shape is not None and two.faces[0].shape is not None
        assert again.faces[0].shape.points[0] == pytest.approx(two.faces[0].shape.points[0], abs=1e-3)
    with pytest.raises(FormatError, match=r"not annotated, which .pts cannot say"):
        two.save(tmp_path / "points.pts")
    with pytest.raises(FormatError, match=r"is saved as one of .*\.jsonl.*\.png, \.jpg, not as '\.docx'"):
        two.save(str(tmp_path / "points.docx"))


def test_a_picture_is_saved_with_the_faces_on_it(pipeline: ms.Pipeline, photo: Photo, tmp_path: Path) -> None:
    path = photo()
    prediction = pipeline(path)
    prediction.save(tmp_path / "drawn.png")
    style = ms.Style(score=False, line=0.02)
    prediction.save(tmp_path / "thick.png", style=style)
    pixels = read_image(path)
    assert (read_image(tmp_path / "drawn.png") == ms.draw(pixels, prediction)).all()
    assert (read_image(tmp_path / "thick.png") == ms.draw(pixels, prediction, style)).all()
    with pytest.raises(OutputError, match="replace the photo itself"):
        prediction.save(path)
    assert (read_image(path) == pixels).all()


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_an_array_is_pointed_at_while_it_lives(pipeline: ms.Pipeline, color: Any, tmp_path: Path) -> None:
    ours = pipeline.with_settings(color=color)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    wanted = read_image(pixels, color).copy()
    prediction = ours(pixels)
    assert prediction.picture[0] is pixels
    prediction.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == ms.draw(wanted, prediction)).all()
    shown = prediction._repr_png_()
    assert shown is not None and Image.open(io.BytesIO(shown)).size == (64, 48)
    del pixels
    gc.collect()
    assert prediction._repr_png_() is None and prediction.picture[0] is None
    assert prediction.picture[1] == color
    with pytest.raises(ResultError, match=r"not at hand \(arrays are not kept\): give it"):
        prediction.save(tmp_path / "b.png")
    prediction.save(tmp_path / "b.png", wanted if color == "rgb" else wanted[:, :, ::-1])
    assert (read_image(tmp_path / "b.png") == read_image(tmp_path / "a.png")).all()


def test_no_copy_and_no_file_has_the_picture(pipeline: ms.Pipeline) -> None:
    pixels = np.full((48, 64, 3), 90, np.uint8)
    prediction = pipeline(pixels)
    data = pickle.dumps(prediction)
    assert len(data) < 6000 < pixels.nbytes
    for other in (pickle.loads(data), copy.copy(prediction), copy.deepcopy(prediction), replace(prediction)):
        assert other == prediction and other.picture == (None, "rgb")
    assert "picture" not in json.dumps(prediction.to_dict())
    assert {field.name for field in fields(prediction)}.isdisjoint({"picture", "_picture"})


def test_what_has_been_read_is_not_read_again(pipeline: ms.Pipeline, photo: Photo, tmp_path: Path) -> None:
    path = photo()
    with path.open("rb") as file:
        assert pipeline(file).picture[0] is None
    assert pipeline(path.read_bytes()).picture[0] is None
    with Image.open(path) as image:
        image.load()
        found = pipeline(image)
        assert found.picture[0] is image
    prediction = pipeline(path)
    assert prediction.picture[0] == str(path.absolute())
    path.unlink()
    assert prediction._repr_png_() is None  # the text stays
    with pytest.raises(ImageError, match="there is no such file"):
        prediction.plot()


def test_a_path_is_found_again_from_another_folder(
    pipeline: ms.Pipeline, photo: Photo, monkeypatch: pytest.MonkeyPatch, inside: Path
) -> None:
    path = photo()
    prediction = pipeline(path.name)
    (inside / "below").mkdir()
    monkeypatch.chdir(inside / "below")
    assert prediction._repr_png_() is not None


def test_a_notebook_opens_no_file_that_a_label_file_names(pipeline: ms.Pipeline, photo: Photo) -> None:
    """Whoever calls `plot` wants it; to look at a list of predictions is not to ask for their photos."""
    again = ms.Prediction.from_dict(pipeline(photo()).to_dict())
    assert again._repr_png_() is None
    assert results.picture(again, None).shape == (48, 64, 3)


def test_a_large_picture_is_small_in_a_notebook(pipeline: ms.Pipeline) -> None:
    pixels = np.full((300, 2000, 3), 90, np.uint8)
    shown = pipeline(pixels)._repr_png_()
    assert shown is not None and Image.open(io.BytesIO(shown)).size == (1024, 154)


def test_a_picture_of_another_size_is_refused(two: ms.Prediction) -> None:
    with pytest.raises(ResultError, match="has 64 x 48 pixels, and that of the prediction had 100 x 120"):
        two.plot(np.zeros((48, 64, 3), np.uint8))


def test_a_plot_shows_the_drawing(two: ms.Prediction) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    pixels = np.full((120, 100, 3), 90, np.uint8)
    ax = two.plot(pixels)
    try:
        assert (ax.images[0].get_array() == ms.draw(pixels, two)).all()
        assert two.plot(pixels, ax=ax) is ax and len(ax.images) == 2
    finally:
        pyplot.close(ax.figure)


def test_rows_are_points_or_faces(two: ms.Prediction) -> None:
    points, faces = two.to_dict()["faces"][0]["shape"]["points"], results.table(two, "faces")
    table = results.table(two)
    assert [*table] == [*results.FIRST["points"]] and {len(column) for column in table.values()} == {68}
    assert table["x"][0] == points[0][0] and table["y"][67] == points[67][1] and np.isnan(table["x"][3])
    row = {name: column[30] for name, column in table.items()}
    assert row == row | {"source": "a.png", "face": 0, "track": 4, "markup": "ibug68", "point": 30}
    assert row == row | {"name": "nose_tip", "visible": True, "confidence": 0.5}
    assert faces == {
        **{"source": ["a.png"] * 2, "face": [0, 1], "track": [4, None]},
        **{"left": [10, 0], "top": [20, 0], "right": [70, 9], "bottom": [90, 9], "score": [0.75, None]},
        **{"markup": ["ibug68", None], "pitch": [1, None], "yaw": [2, None], "roll": [3, None]},
        **{"emotion": ["sad", None], "attribute_glasses": ["no", None]},
    }
    with pytest.raises(ConfigError, match="rows is points or faces, not 'photos'"):
        two.to_df("photos")  # type: ignore[arg-type]


def test_no_face_makes_an_empty_table_with_its_columns() -> None:
    nobody = ms.Prediction((), (4, 4))
    for rows in ("points", "faces"):
        assert results.table(nobody, rows) == {name: [] for name in results.FIRST[rows]}  # type: ignore[arg-type]


def test_a_data_frame_is_the_table(two: ms.Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda columns: ("frame", columns)))  # type: ignore[arg-type]
    kind, columns = two.to_df("faces")
    assert kind == "frame" and columns == results.table(two, "faces")


def test_pandas_takes_the_table(two: ms.Prediction) -> None:
    pytest.importorskip("pandas")
    frame = two.to_df()
    assert frame.shape == (68, 10) and frame["x"].dtype == float and frame["x"].isna().sum() == 1
    assert two.to_df("faces")["yaw"].tolist()[0] == 2


def test_supervision_gets_points_and_boxes(two: ms.Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        empty = classmethod(lambda cls: "none")

        def __init__(self, *args: Any, **fields: Any) -> None:
            self.args, self.fields = args, fields

    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(KeyPoints=Taken, Detections=Taken))  # type: ignore[arg-type]
    xy, kinds, sure = two.to_supervision().args
    assert xy.shape == (1, 68, 2) and xy.dtype == np.float32 and (xy[0, 3] == 0).all()
    assert kinds.tolist() == [0] and sure.shape == (1, 68) and (sure == 0.5).all()
    told = two.to_supervision("detections").fields
    assert told["xyxy"].tolist() == [[10, 20, 70, 90], [0, 0, 9, 9]]
    assert told["confidence"] is None and told["tracker_id"] is None  # one face has neither
    one = replace(two, faces=two.faces[:1]).to_supervision("detections").fields
    assert one["confidence"].tolist() == [0.75] and one["tracker_id"].tolist() == [4]
    assert ms.Prediction((), (4, 4)).to_supervision() == "none"
    five = replace(two.faces[0], shape=two.faces[0].shape.to("mtfl5"))  # type: ignore[union-attr]
    with pytest.raises(ResultError, match="one mark-up"):
        replace(two, faces=(two.faces[0], five)).to_supervision()
    with pytest.raises(ConfigError, match="kind is keypoints or detections"):
        two.to_supervision("masks")  # type: ignore[arg-type]


def test_supervision_takes_them(two: ms.Prediction) -> None:
    supervision = pytest.importorskip("supervision")
    points, boxes = two.to_supervision(), two.to_supervision("detections")
    assert isinstance(points, supervision.KeyPoints) and points.xy.shape == (1, 68, 2)
    assert isinstance(boxes, supervision.Detections) and len(boxes) == 2


@pytest.mark.parametrize(
    ("module", "ask", "said"),
    [
        ("matplotlib", lambda p: p.plot(np.zeros((120, 100, 3), np.uint8)), r"meanshape\[plot\]"),
        ("pandas", lambda p: p.to_df(), "pip install pandas"),
        ("supervision", lambda p: p.to_supervision(), "pip install supervision"),
    ],
)
def test_what_is_not_installed_is_said(
    two: ms.Prediction, module: str, ask: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=said):
        ask(two)

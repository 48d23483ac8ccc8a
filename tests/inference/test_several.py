"""Several pictures at once: lists, arrays and tensors in either order, folders and endless iterators."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.core import registry, weights
from meanshape.core.image import read_image
from meanshape.datasets.synthetic import scene
from meanshape.detectors.base import FaceDetector
from meanshape.inference.pipeline import TOGETHER, Pipeline

RGB = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)


class Halves(FaceDetector):
    """Finds a face in either half of a picture."""

    name = "halves"

    def _detect(self, image: Any) -> Iterable[ms.Face]:
        height, width = image.shape[:2]
        return [ms.Face(ms.Box(x, 0, x + width / 2, height), score=0.9) for x in (0, width / 2)]


@pytest.fixture
def pipeline(model_folder: Path) -> Pipeline:
    return Pipeline(Halves(), model_folder)


def same(found: Iterable[ms.Prediction], wanted: Iterable[ms.Prediction]) -> bool:
    return [(p.faces, p.size, p.source) for p in found] == [(p.faces, p.size, p.source) for p in wanted]


def test_a_list_is_answered_by_a_list(pipeline: Pipeline, photo: Any, model_folder: Path) -> None:
    images = [photo("a.png"), str(photo("b.png", (80, 60))), RGB[0], photo("c.png").read_bytes()]
    found = pipeline(images)
    assert isinstance(found, list) and same(found, [pipeline(image) for image in images])
    assert [p.source for p in found[:2]] == [str(images[0]), images[1]] and found[1].size == (80, 60)
    assert found[0].picture[0] == str(images[0])
    assert same(pipeline(tuple(images)), found) and same(pipeline.batch(images), found)
    assert pipeline([]) == pipeline.batch(()) == []
    options: Any = {"detector": "whole_image", "model": str(model_folder)}
    assert same(ms.detect([RGB[0]], **options), [ms.detect(RGB[0], **options)])


def test_more_photos_than_go_together_keep_their_order(pipeline: Pipeline) -> None:
    images = [np.full((20 + n, 30, 3), n, np.uint8) for n in range(2 * TOGETHER + 3)]
    assert [p.size[1] for p in pipeline(images)] == [20 + n for n in range(len(images))]


@pytest.mark.parametrize("name", [n for n in registry.names("methods") if n in weights.names()])
def test_the_answers_are_those_of_one_after_another(name: str) -> None:
    model: Any = ms.load(name)
    photos = [scene(seed, size=(200, 160), faces=2)[0] for seed in range(3)]
    ours = Pipeline(Halves(), model)
    for together, alone in zip(ours(photos), map(ours, photos), strict=True):
        for one, other in zip(together.faces, alone.faces, strict=True):
            assert one.box == other.box and one.shape is not None and other.shape is not None
            np.testing.assert_allclose(one.shape.points, other.shape.points, atol=1e-3)
            if one.shape.confidence is not None:
                np.testing.assert_allclose(one.shape.confidence, other.shape.confidence, atol=1e-3)


def test_labels_come_to_their_own_faces() -> None:
    if not {"emotional_dan", "tcdcn"} <= set(weights.names()):
        pytest.skip("the weights are not here")
    photos = [scene(seed, size=(200, 160), faces=2)[0] for seed in range(2)]
    ours = Pipeline(Halves(), "emotional_dan", emotion=True, attributes=True)
    for together, alone in zip(ours(photos), map(ours, photos), strict=True):
        for one, other in zip(together.faces, alone.faces, strict=True):
            assert one.emotion is not None and other.emotion is not None and one.attributes is not None
            assert one.emotion.probabilities == pytest.approx(other.emotion.probabilities, abs=1e-4)
            assert one.attributes == other.attributes


def test_arrays_and_tensors_in_either_order(pipeline: Pipeline) -> None:
    torch = pytest.importorskip("torch")
    wanted = [pipeline(one) for one in RGB]
    first = np.moveaxis(RGB, 3, 1)
    for several in (RGB, first, torch.from_numpy(RGB), torch.from_numpy(first.copy())):
        assert same(pipeline(several), wanted) and same(pipeline.batch(several), wanted)
        assert same(pipeline.stream(several), wanted)
    assert same([pipeline(first[0])], wanted[:1])  # one, as torch has it
    assert (read_image(torch.from_numpy(first[0].copy()).float() / 255) == RGB[0]).all()
    assert (read_image(first[0][[2, 1, 0]], "bgr") == RGB[0]).all()
    grey = RGB[:, None, :, :, 0]
    assert same(pipeline(grey), [pipeline(one[0]) for one in grey])


@pytest.mark.parametrize("shape", [(2, 3, 48, 3), (2, 48, 64, 5)])
def test_an_array_that_is_not_clear_is_refused(pipeline: Pipeline, shape: tuple[int, ...]) -> None:
    with pytest.raises(ms.ImageError, match=r"\(N, H, W, C\) or \(N, C, H, W\)"):
        pipeline(np.zeros(shape, np.uint8))


def test_rows_of_numbers_are_one_picture(pipeline: Pipeline) -> None:
    grey = RGB[0, :, :, 0]
    for one in (grey.tolist(), list(grey), RGB[0].tolist()):
        assert isinstance(pipeline(one), ms.Prediction)
    assert isinstance(pipeline([grey]), list)


def test_boxes_are_each_pictures_own(pipeline: Pipeline) -> None:
    own = [[ms.Box(1, 2, 20, 30)], None, np.array([[3, 4, 30, 40], [5, 6, 20, 30]])]
    found = pipeline(list(RGB), boxes=own)
    assert [len(p.faces) for p in found] == [1, 2, 2]
    assert found[0].faces[0].box.as_list() == [1, 2, 20, 30] and found[2].faces[1].box.left == 5
    with pytest.raises(ms.BoxError, match="3 pictures came with boxes of 2"):
        pipeline(list(RGB), boxes=own[:2])


def test_what_does_not_go_with_several_is_said(pipeline: Pipeline, tmp_path: Path) -> None:
    for image in ([RGB[0]], tmp_path, iter(RGB)):
        with pytest.raises(ms.ConfigError, match="source names one photo"):
            pipeline(image, source="a")
    with pytest.raises(ms.ConfigError, match="for a stream, give each photo its own"):
        pipeline(iter(RGB), boxes=[ms.Box(1, 2, 20, 30)])
    with pytest.raises(ms.ConfigError, match="together must be a whole number from 1 on"):
        pipeline.stream(RGB, together=0)
    for none in (b"bytes", 3, None):
        with pytest.raises(ms.ImageError, match="a stream is a folder, a glob"):
            pipeline.stream(none)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ms.ImageError, match="no pictures in this folder"):
        pipeline(tmp_path / "empty")


def test_a_folder_streams_and_a_broken_photo_costs_no_other(
    pipeline: Pipeline, photo: Any, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for n in (1, 2, 10):
        shutil.copy(photo(seed=n), tmp_path / "photos" / f"{n}.png")
    (tmp_path / "photos" / "3.png").write_bytes(b"no picture")
    wanted = [str(tmp_path / "photos" / f"{n}.png") for n in (1, 2, 3, 10)]
    for source in (tmp_path / "photos", str(tmp_path / "photos"), iter(wanted)):
        found = list(pipeline(source))  # type: ignore[call-overload]
        assert [p.source for p in found] == wanted
        assert [p.error is None for p in found] == [True, True, False, True]
        assert found[2].error == f"{wanted[2]}: not a picture (no format Pillow knows)"
        assert same([p for p in found if p.error is None], map(pipeline, [wanted[n] for n in (0, 1, 3)]))
        assert all(p.seconds > 0 for p in found if p.error is None)
    assert same(pipeline.stream(str(tmp_path / "photos" / "*.png")), found)
    with pytest.raises(ms.ImageError, match="not a picture"):
        list(pipeline.stream(wanted, strict=True))


@pytest.mark.parametrize(("together", "most"), [(1, 1), (4, 8)])
def test_a_stream_holds_two_groups_at_most(pipeline: Pipeline, together: int, most: int) -> None:
    asked = 0

    def endless() -> Iterator[Any]:
        nonlocal asked
        while True:
            asked += 1
            yield RGB[0]

    stream = pipeline.stream(endless(), together=together)
    for done in range(1, 20):
        assert len(next(stream).faces) == 2
        assert asked <= done + most
    if together == 1:
        assert asked == 19  # live pictures are answered as they come


def test_what_is_wrong_with_the_run_ends_it(model_folder: Path) -> None:
    class Lost(Halves):
        def _detect(self, image: Any) -> Iterable[ms.Face]:
            raise ms.WeightsError("the weights are gone")

    with pytest.raises(ms.WeightsError, match="gone"):
        list(Pipeline(Lost(), model_folder).stream(list(RGB)))


def test_what_nobody_foresaw_is_the_photos_error(model_folder: Path) -> None:
    class Odd(Halves):
        def _detect(self, image: Any) -> Iterable[ms.Face]:
            if image[0, 0, 0] == 7:
                raise ZeroDivisionError("odd")
            return super()._detect(image)

    images = [np.full((40, 60, 3), n, np.uint8) for n in range(5, 9)]
    found = list(Pipeline(Odd(), model_folder).stream(images))
    assert [p.error for p in found] == [None, None, "ZeroDivisionError: odd", None]
    assert [len(p.faces) for p in found] == [2, 2, 0, 2]

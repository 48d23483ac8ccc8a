"""Boxes come as Boxes, as four numbers or as arrays; anything else is a `BoxError`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.core.box import as_box, as_boxes
from meanshape.core.errors import BoxError, ImageError
from meanshape.core.image import read_image
from meanshape.detectors.given import Given

ONE, TWO = ms.Box(1, 2, 30, 40), ms.Box(5, 6, 20, 22)
NUMBERS = [ONE.as_list(), TWO.as_list()]


@pytest.mark.parametrize(
    "given",
    [
        [ONE, TWO],
        (ONE, TWO),
        NUMBERS,
        [ONE, TWO.as_list()],
        np.array(NUMBERS),
        np.array(NUMBERS, int),
        np.array(NUMBERS, np.float16),
        [np.array(NUMBERS[0]), tuple(NUMBERS[1])],
        iter([ONE, TWO]),
        map(tuple, NUMBERS),
    ],
)
def test_two_boxes_in_any_form(given: Any) -> None:
    assert as_boxes(given) == [ONE, TWO]


@pytest.mark.parametrize("given", [ONE, [1, 2, 30, 40], (1.0, 2, 30, 40), np.array([1, 2, 30, 40])])
def test_one_box_in_any_form(given: Any) -> None:
    assert as_boxes(given) == [ONE] == as_boxes([given]) == [as_box(given)]


@pytest.mark.parametrize("kind", [iter, lambda numbers: dict(enumerate(numbers)).values()])
def test_four_numbers_one_after_another_are_a_box(kind: Callable[[list[float]], Any]) -> None:
    assert as_boxes(kind(ONE.as_list())) == [ONE]


@pytest.mark.parametrize("given", [[], (), np.empty((0, 4)), np.empty(0)])
def test_no_boxes(given: Any) -> None:
    assert as_boxes(given) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "not 3"),
        ("1,2,3,4", "not '1,2,3,4'"),
        ({"left": 1}, "not {'left': 1}"),
        ([1, 2, 3], "not"),
        ([[1, 2, 3, 4], [1, 2, 3]], "box 2 of 2: a box is"),
        (np.zeros((2, 5)), r"box 1 of 2: a box is .* not ndarray of shape \(5,\)"),
        (np.zeros((2, 2, 4)), r"not ndarray of shape \(2, 4\)"),
        ([[1, 2, 3, "x"]], "box 1 of 1"),
        ([[1, 2, 3, None]], "box 1 of 1"),
        ([ONE, None], "box 2 of 2: a box is a Box or its four numbers"),
        ([[30, 2, 1, 40]], "box 1 of 1: a box needs left < right"),
        ([[np.nan, 2, 1, 40]], "must be finite"),
        ([["ab", "cd", "ef", "gh"]], "box 1 of 1"),
    ],
)
def test_anything_else_is_an_error(given: Any, said: str, model_folder: Path) -> None:
    with pytest.raises(BoxError, match=said):
        as_boxes(given)
    with pytest.raises(BoxError, match=said):
        ms.detect(np.zeros((50, 50, 3), np.uint8), model=model_folder, detector="whole_image", boxes=given)
    with pytest.raises(BoxError, match=said):
        Given(given if not isinstance(given, dict) else {"a.jpg": given})


def test_wherever_a_box_is_taken(model_folder: Path) -> None:
    image, model = np.zeros((50, 60, 3), np.uint8), ms.load(model_folder)
    pipeline = ms.Pipeline("whole_image", model)
    wanted = [face.shape for face in pipeline(image, boxes=[ONE, TWO]).faces]
    assert [face.shape for face in pipeline(image, boxes=np.array(NUMBERS)).faces] == wanted
    assert [face.shape for face in ms.Pipeline(Given(NUMBERS), model)(image).faces] == wanted
    assert model.predict_batch([image] * 2, np.array(NUMBERS)) == wanted
    assert model.predict(image, NUMBERS[0]) == wanted[0] == model.predict_batch([image], ONE)[0]
    assert ms.Face(NUMBERS[0]).box == ONE == ms.Sample("a", image, box=np.array(NUMBERS[0])).box
    assert Given({"a.jpg": NUMBERS}).detect("a.jpg")[0].box in (ONE, TWO)
    for wrong in (
        lambda: model.predict(image, 3),
        lambda: ms.Face("box"),
        lambda: ms.Sample("a", image, box=3),
    ):
        with pytest.raises(BoxError):
            wrong()


def test_pictures_come_as_open_files(photo: Callable[..., Path], tmp_path: Path) -> None:
    path = photo()
    wanted = read_image(path)
    assert np.array_equal(read_image(io.BytesIO(path.read_bytes())), wanted)
    with path.open("rb") as file:
        assert np.array_equal(read_image(file), wanted)
        with pytest.raises(ImageError, match="nothing left to read: go back to its start, by seek"):
            read_image(file)
    with pytest.raises(ImageError, match="the file given cannot be read"):
        read_image(file)
    with pytest.raises(ImageError, match="yields str, not bytes: open it with 'rb'"):
        read_image(io.StringIO("text"))
    with pytest.raises(ImageError, match="the file given"):
        read_image(io.BytesIO(b"no picture"))


def test_arrays_that_are_no_pictures() -> None:
    with pytest.raises(ImageError, match=r"not \(2, 3, 40, 50\): several pictures"):
        read_image(np.zeros((2, 3, 40, 50), np.uint8))
    with pytest.raises(ImageError, match=r"\(H, W, 1 to 4\), not \(2, 40, 50\)"):
        read_image(np.zeros((2, 40, 50), np.uint8))
    with pytest.raises(ImageError, match="wanted an array"):
        read_image([[1, 2], [3]])


def test_tensors_are_arrays(photo: Callable[..., Path], model_folder: Path) -> None:
    """Also those that need a gradient, and those of bfloat16, which NumPy does not know."""
    torch = pytest.importorskip("torch")
    wanted = read_image(photo())
    whole = torch.tensor(wanted)
    shares = (whole.double() / 255).requires_grad_()
    assert np.array_equal(read_image(whole), wanted)
    assert np.array_equal(read_image(shares), wanted)
    assert np.abs(read_image(shares.bfloat16()).astype(int) - wanted).max() <= 1
    boxes = torch.tensor(NUMBERS, dtype=torch.bfloat16, requires_grad=True)
    assert as_boxes(boxes) == [ONE, TWO] == as_boxes(list(boxes))
    points = torch.zeros(5, 2, requires_grad=True)
    assert ms.Shape(points, "mtfl5").points.shape == (5, 2)
    assert ms.load(model_folder).predict(shares, boxes[0]) == ms.load(model_folder).predict(wanted, ONE)


def test_a_box_without_an_area_that_a_number_holds():
    with pytest.raises(BoxError, match="too small to compute with"):
        ms.Box(0, 0, 1e-300, 1e-300)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ms.Box(np.complex64(1j), 1, 2, 3),
        lambda: ms.Box.around(np.ones((3, 2), complex)),
        lambda: ms.Box.around([[1j, 2], [3, 4]]),
        lambda: ms.Shape(np.ones((5, 2), complex), "mtfl5"),
        lambda: ms.Shape(np.ones((5, 2)), "mtfl5", confidence=np.ones(5, complex)),
    ],
)
def test_complex_numbers_are_none(make: Callable[[], object]) -> None:
    """NumPy would warn, and keep their real parts."""
    with warnings.catch_warnings(), pytest.raises(ms.MeanshapeError):
        warnings.simplefilter("error")
        make()

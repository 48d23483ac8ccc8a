"""Every method on one face: in order, from the same box, told and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core import registry, weights
from meanshape.core.image import read_image, write_image
from meanshape.core.markup import markup
from meanshape.core.shape import Shape
from meanshape.inference import lineage
from meanshape.inference.pipeline import Pipeline

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
shipped = pytest.mark.skipif(
    not {"integral", "dan", "cpr", "mtcnn"} <= set(weights.names()), reason="the weights are not here"
)


def test_the_order_is_that_of_the_years() -> None:
    names = lineage.shipped()
    years = [registry.card("methods", weights.shipped_card(name).method)["year"] for name in names]
    assert years == sorted(years)
    methods = [weights.shipped_card(name).method for name in names]
    assert len(set(methods)) == len(methods)
    assert "dan_synthetic" not in names


@shipped
def test_free_weights_take_the_place_of_others() -> None:
    names = lineage.shipped("permissive")
    assert "dan_synthetic" in names and "dan" not in names
    assert all(weights.shipped_card(name).commercial_use for name in names)


def test_disagreement_is_percent_of_the_distance_of_the_eyes(mean_face: np.ndarray) -> None:
    shape = Shape(100 * mean_face, markup("ibug68"))
    right, left = shape.to("mtfl5").points[:2]
    moved = shape.with_points(shape.points + 0.1 * (left - right))
    assert lineage.disagreement(moved, shape) == pytest.approx(10)
    assert lineage.disagreement(moved.to("mtfl5"), shape) == pytest.approx(10)
    assert lineage.disagreement(shape, shape) == 0
    assert lineage.disagreement(shape, shape.to("mtfl5")) == 0


@shipped
def test_all_methods_see_the_face_where_it_is() -> None:
    pixels, pipeline = read_image(PHOTO), Pipeline()
    (face,) = pipeline.search(pixels)
    names = ["cpr", "dan", "integral"]
    told = list(lineage.answers(pixels, face, pipeline, names))
    assert [answer.name for answer in told] == names
    assert [answer.apart is None for answer in told] == [False, False, True]
    assert all(0 < answer.apart < 5 for answer in told[:2] if answer.apart is not None)
    assert np.allclose(told[2].shape.points, pipeline(pixels).faces[0].shape.points)
    drawn = lineage.sheet(pixels, face, told)
    plain = lineage.sheet(pixels, face, [])
    side, first = lineage.TILE, lineage.GAP
    assert (plain[first:side, first:side] == drawn[first:side, first:side]).all()  # the photo as it is
    second = drawn[first : first + side, 2 * first + side : 2 * (first + side)]
    changed = np.abs(second.astype(int) - plain[first : first + side, first : first + side]).max(axis=2) > 60
    assert 0.01 < changed.mean() < 0.2  # the points, and nothing else


@shipped
def test_the_turned_face_has_the_same_answers() -> None:
    """A face on its side is shown to each method upright."""
    pipeline, pixels = Pipeline(), read_image(PHOTO)
    turned = np.ascontiguousarray(np.rot90(pixels))
    (one,), (other,) = pipeline.search(pixels), pipeline.search(turned)
    (upright,) = lineage.answers(pixels, one, pipeline, ["cpr"])
    (found,) = lineage.answers(turned, other, pipeline, ["cpr"])
    back = np.column_stack([pixels.shape[1] - 1 - found.shape.points[:, 1], found.shape.points[:, 0]])
    assert np.abs(back - upright.shape.points).mean() < 4


@shipped
def test_the_command_tells_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheet.png"
    assert main(["lineage", str(PHOTO), "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert [line.split()[1] for line in told.out.splitlines() if line[:6].strip().isdigit()] == (
        lineage.shipped()
    )
    assert f"written: {out} ({len(lineage.shipped())} methods)" in told.err
    with Image.open(out) as picture:
        assert picture.width > 4 * lineage.TILE


@shipped
def test_a_photo_without_a_face_is_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "plain.png", tmp_path / "sheet.png"
    write_image(photo, np.full((80, 80, 3), 128, np.uint8))
    assert main(["lineage", str(photo), "-o", str(out)]) == 0
    assert "no face was found" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("name", "code"), [("sheet.txt", 3), ("photo.png", 15), ("folder.png", 15)])
def test_what_cannot_be_written_is_said_first(tmp_path: Path, name: str, code: int) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, np.full((8, 8, 3), 128, np.uint8))
    (tmp_path / "folder.png").mkdir()
    before = photo.read_bytes()
    assert main(["lineage", str(photo), "-o", str(tmp_path / name)]) == code
    assert photo.read_bytes() == before

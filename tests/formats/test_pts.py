import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from meanshape import formats
from meanshape.core.box import Box
from meanshape.core.errors import FormatError
from meanshape.core.face import Face
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.formats import pts

SQUARE = [[0, 0], [10, 0], [10, 20.5], [0, 20.5], [5, 5]]


def test_the_first_pixel_is_one_on_disk_and_zero_here(tmp_path):
    pts.write_points(tmp_path / "a.pts", SQUARE)
    assert (tmp_path / "a.pts").read_text("utf-8").splitlines()[:4] == [
        "version: 1",
        "n_points: 5",
        "{",
        "1.000000 1.000000",
    ]
    assert np.array_equal(pts.read_points(tmp_path / "a.pts"), SQUARE)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nn_points: 2\n{\n1 2\n3 4.5\n}\n",
        "version: 1\r\nn_points:  2\r\n{ \r\n 1\t2 \r\n3 4.5\r\n}",
        "\n1 2\n\n3, 4.5\n",
        "{\n1 2\n3 4.5\n}\n\n",
        "\ufeffn_points: 2\n{\n1e0 2\n3 45e-1\n}",
    ],
)
def test_header_is_optional_and_white_space_free(tmp_path, text):
    (tmp_path / "a.pts").write_bytes(text.encode("utf-8"))
    assert np.array_equal(pts.read_points(tmp_path / "a.pts"), [[0, 1], [2, 3.5]])


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("n_points: 3\n{\n1 2\n3 4\n}", 1, "promises 3 points, 2 follow"),
        ("n_points: 1\n{\n1 2\n3 4\n}", 1, "promises 1 points, 2 follow"),
        ("n_points: many\n{\n1 2\n}", 1, "whole number, not 'many'"),
        ("n_points: 1\n{\n1 b\n}", 3, "wanted a number, got 'b'"),
        ("n_points: 2\n{\n1 2\n3 nan\n}", 4, "finite"),
        ("n_points: 2\n{\n1 2\ninf 3\n}", 4, "finite"),
        ("n_points: 1\n{\n1_0 2\n}", 3, "wanted a number"),
        ("n_points: 1\n{\n1 2 3\n}", 3, "two numbers"),
        ("n_points: 1\n{\n1\n}", 3, "two numbers"),
        ("n_points: 1\n{\n1 2\n", 3, "opened in line 2 is never closed"),
        ("n_points: 1\n1 2\n}", 3, "two numbers"),
        ("n_points: 1\n1 2\n", 1, "must be followed by '{'"),
        ("n_points: 1\n{\n1 2\n}\n3 4", 5, "after the closing brace"),
        ("n_points: 0\n{\n}", 3, "no points"),
        ("", 1, "no points"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(tmp_path, text, line, says):
    path = tmp_path / "kaputt.pts"
    path.write_text(text, "utf-8")
    with pytest.raises(FormatError, match=says) as error:
        pts.read_points(path)
    assert error.value.line == line
    assert "kaputt.pts" in str(error.value)


def test_neither_binary_nor_absent_files_are_read(tmp_path):
    (tmp_path / "a.pts").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    with pytest.raises(FormatError, match="not a text file"):
        pts.read_points(tmp_path / "a.pts")
    with pytest.raises(FormatError, match="cannot be read"):
        pts.read_points(tmp_path / "b.pts")


def test_points_that_are_not_annotated_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(FormatError, match="1 of 2 points are not annotated"):
        pts.write_points(tmp_path / "a.pts", [[1, 2], [np.nan, np.nan]])
    assert not list(tmp_path.iterdir())


def test_a_file_as_a_prediction(tmp_path):
    face = Face(Box.around(SQUARE), Shape(SQUARE, "mtfl5"))
    formats.write(tmp_path / "gesicht.pts", [Prediction((face,), (30, 30), "gesicht.jpg")])
    (read,) = formats.read(tmp_path / "gesicht.pts")
    assert read.source == "gesicht"
    assert read.faces[0].shape == face.shape
    assert read.faces[0].box == face.box
    with pytest.raises(FormatError, match="one face, and 2 came"):
        formats.write(tmp_path / "zwei.pts", [Prediction((face, face), (30, 30))])


def test_the_mark_up_is_guessed_only_where_there_is_no_choice(tmp_path):
    pts.write_points(tmp_path / "a.pts", SQUARE[:3])
    with pytest.raises(FormatError, match="no mark-up has 3 points"):
        formats.read(tmp_path / "a.pts")
    with pytest.raises(FormatError, match="68"):
        formats.read(tmp_path / "a.pts", "ibug68")


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 80), st.just(2)), elements=st.floats(-1e5, 1e5)))
def test_written_and_read_back_to_a_millionth(points):
    assert np.abs(pts.parse(pts.render(points)) - points).max() <= 1e-6


@given(st.text(alphabet="{}nan_points: 123.\n\t-e", max_size=60))
def test_whatever_is_read_is_points_or_an_error_with_a_line(text):
    try:
        points = pts.parse(text)
    except FormatError as error:
        assert error.line
    else:
        assert points.ndim == 2
        assert np.isfinite(points).all()

"""The conventions of docs/conventions.md, each pinned on a rendered face, and one of the code."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import meanshape
from meanshape.core import registry
from meanshape.core.box import Box
from meanshape.core.geometry import apply, crop_matrix, resize_points
from meanshape.core.image import crop, read_image, warp
from meanshape.core.prediction import Prediction
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.datasets.synthetic import face, scene
from meanshape.formats import pts
from meanshape.methods.shared.abilities import (
    HasAppearanceModes,
    HasIterations,
    HasShapeModes,
    HasSteps,
    LearnsFromNegatives,
    TellsAttributes,
    TellsEmotion,
)

PACKAGE = Path(meanshape.__file__).parent

CALM = {"emotion": "neutral", "glasses": False, "occlusion": 0, "clutter": 0, "degrade": False, "shift": 0.0}
STRAIGHT = {"pitch": 0, "yaw": 0, "roll": 0}
MARK = (255, 0, 255)


def still(size=96, seed=2, **options):
    return face(seed, size, **{**CALM, **STRAIGHT, **options})


def marked(sample, point):
    """The picture, grey but for one painted pixel: that of the point, rounded; and where it is."""
    pixels = sample.pixels()[..., :1].repeat(3, axis=2)
    x, y = np.round(point).astype(int)
    pixels[y, x] = MARK
    return pixels, (x, y)


def where(pixels):
    """The centre of what is not grey."""
    strength = pixels[..., 0].astype(float) + pixels[..., 2] - 2.0 * pixels[..., 1]
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return np.array([(xs * strength).sum(), (ys * strength).sum()]) / strength.sum()


# Pixel centres and resizing


def test_the_centre_of_the_top_left_pixel_is_zero():
    """So the whole picture is a box from -1/2 to W - 1/2, and cropping by it changes nothing."""
    sample = still()
    whole = Box.whole(96, 96)
    assert whole.as_list() == [-0.5, -0.5, 95.5, 95.5]
    pixels, (x, y) = marked(sample, sample.shape["nose_tip"])
    patch, matrix = crop(pixels, whole, 96)
    assert np.array_equal(patch, pixels)
    assert np.allclose(apply(matrix, [(x, y)]), [(x, y)])
    assert np.allclose(where(pixels), (x, y), atol=1e-9)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_resizing_by_f_maps_x_to_f_times_x_and_a_half_less_a_half(factor):
    sample = still()
    pixels, point = marked(sample, sample.shape["nose_tip"])
    large = pixels.repeat(factor, 0).repeat(factor, 1)
    assert np.allclose(where(large), resize_points(point, factor), atol=1e-9)
    assert np.allclose(resize_points(point, factor), (np.array(point) + 0.5) * factor - 0.5)
    drawn = warp(pixels, crop_matrix(Box.whole(96, 96), 96 * factor), (96 * factor, 96 * factor))
    assert np.allclose(where(drawn), resize_points(point, factor), atol=0.1)


def test_a_face_rendered_twice_as_large_is_the_same_face_resized():
    """Also in the pixels: halved, it is the small picture, and not that picture moved by one pixel."""
    small, large = still(64), still(128)
    assert np.allclose(large.shape.points, resize_points(small.shape.points, 2), atol=0.01)
    halved = large.pixels().reshape(64, 2, 64, 2, 3).mean((1, 3))
    core = slice(8, -8)

    def off(dx, dy):
        moved = np.roll(small.pixels().astype(float), (dy, dx), (0, 1))
        return np.abs(moved[core, core] - halved[core, core]).mean()

    here = off(0, 0)
    assert all(here < 0.8 * off(dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))


def test_a_crop_carries_the_points_along():
    sample = still()
    pixels, point = marked(sample, sample.shape["nose_tip"])
    patch, matrix = crop(pixels, sample.box.scaled(1.3), 250)
    assert np.allclose(where(patch), apply(matrix, [point])[0], atol=0.1)


# Files


def test_pts_files_count_from_one(tmp_path):
    sample = still()
    path = tmp_path / "face.pts"
    pts.write_points(path, sample.shape.points)
    lines = path.read_text("utf-8").splitlines()
    first = [float(number) for number in lines[lines.index("{") + 1].split()]
    assert np.allclose(first, sample.shape.points[0] + 1, atol=1e-3)
    assert np.allclose(pts.read_points(path), sample.shape.points, atol=1e-3)


def test_written_faces_read_back_where_they_were_rendered(tmp_path):
    root = synthetic.write(tmp_path, 2, 64, seed=5)
    for read, made in zip(synthetic.samples(root), synthetic.samples("2@64@5", "train"), strict=True):
        assert np.allclose(read.shape.points, made.shape.points, atol=1e-3)
        assert np.array_equal(read.pixels(), made.pixels())


def test_a_picture_is_upright_and_rgb():
    """EXIF orientation is applied; arrays of OpenCV say so by color="bgr"."""
    pixels = still(48).pixels()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows run down the right side
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(file, "PNG", exif=exif)
    assert np.array_equal(read_image(file.getvalue()), pixels)
    assert np.array_equal(read_image(pixels[..., ::-1], color="bgr"), pixels)


# Axes


def test_points_are_x_y_and_pictures_are_rows_columns():
    picture, shapes = scene(2, size=(320, 160), faces=3)
    assert picture.shape == (160, 320, 3)
    points = np.concatenate([shape.points for shape in shapes])
    assert (points[:, 0] < 320).all() and (points[:, 1] < 160).all() and points[:, 0].max() > 160
    box = shapes[0].box()
    assert (box.left, box.top) == tuple(shapes[0].points.min(0))
    assert box.width == pytest.approx(np.ptp(shapes[0].points[:, 0]))
    assert Prediction((), (320, 160)).to_dict()["size"] == [320, 160]


def test_y_runs_down():
    shape = still().shape
    assert shape["left_brow"][:, 1].mean() < shape["left_eye"][:, 1].mean() < shape["mouth"][:, 1].mean()
    assert shape["mouth"][:, 1].mean() < shape["chin"][1]


def test_a_shape_in_its_box_lies_in_the_unit_square():
    sample = still()
    relative = sample.box.relative(sample.shape.points)
    assert np.allclose([relative.min(0), relative.max(0)], [(0, 0), (1, 1)])
    assert np.allclose(sample.box.absolute(relative), sample.shape.points, atol=1e-9)
    assert sample.box == sample.shape.box()


# Left, right and the mirror


def test_left_is_the_subjects():
    """Black paint on the left of the picture covers the right eye."""
    sample = still()
    pixels = sample.pixels().copy()
    pixels[:, : int(sample.shape["nose_tip"][0]) - 4] = 0

    def brightness(group):
        xs, ys = np.round(sample.shape[group].mean(0)).astype(int)
        return pixels[ys, xs].sum()

    assert brightness("right_eye") == 0 < brightness("left_eye")
    assert sample.shape["right_eye"][:, 0].max() < sample.shape["left_eye"][:, 0].min()


def test_the_mirror_maps_x_to_w_minus_1_minus_x_and_names_the_points_anew():
    sample = still(seed=4, yaw=20)
    pixels, point = marked(sample, sample.shape["left_eye_outer"])
    flipped = pixels[:, ::-1]
    assert np.allclose(where(flipped), (95 - point[0], point[1]), atol=1e-9)
    mirrored = sample.shape.mirrored(96)
    assert np.allclose(mirrored["right_eye_outer"], sample.shape["left_eye_outer"] * (-1, 1) + (95, 0))
    assert mirrored["right_eye"][:, 0].max() < mirrored["left_eye"][:, 0].min()
    assert np.allclose(mirrored.mirrored(96).points, sample.shape.points, atol=1e-12)
    assert np.allclose(mirrored.box().as_list(), sample.box.mirrored(96).as_list())


# Pose


def test_plus_yaw_is_toward_the_subjects_right():
    """The picture's left: the nose moves there, and the far (right) cheek narrows."""

    def nose_in_face(sample):
        p = sample.shape.points
        return (p[30, 0] - p[0, 0]) / (p[16, 0] - p[0, 0])

    assert nose_in_face(still(yaw=30)) < 0.35 < nose_in_face(still()) < 0.65 < nose_in_face(still(yaw=-30))


def test_plus_roll_is_toward_the_subjects_right():
    """The right eye sinks."""
    right, left = (still(roll=20).shape[eye].mean(0) for eye in ("right_eye", "left_eye"))
    angle = np.degrees(np.arctan2(right[1] - left[1], left[0] - right[0]))
    assert angle == pytest.approx(20, abs=4)


def test_plus_pitch_is_up():
    """The tip of the nose rises toward the eyes, measured by the nose's length from root to chin."""

    def rise(sample):
        p = sample.shape.points
        return (p[30, 1] - p[36:48, 1].mean()) / (p[8, 1] - p[36:48, 1].mean())

    assert rise(still(pitch=20)) < rise(still()) - 0.03 < rise(still(pitch=-20)) - 0.06


@pytest.mark.parametrize("turn", ["yaw", "roll"])
def test_a_mirror_changes_the_sign_of_yaw_and_roll(turn):
    one, other = still(**{turn: 25}), still(**{turn: -25})
    middle = one.shape.mirrored(96).points
    assert np.abs(middle - other.shape.points).mean() < 2.5  # pixels; faces are not quite symmetric
    assert np.abs(one.shape.points - other.shape.points).mean() > 4


# What is not there


def test_not_annotated_is_nan_and_hidden_is_not_visible():
    sample = face(3, 96, **{**CALM, "occlusion": 1.0})
    assert np.isfinite(sample.shape.points).all()
    assert sample.shape.visible is not None and not sample.shape.visible.all()
    points = sample.shape.points.copy()
    points[8, 0] = np.nan
    shape = Shape(points)
    assert np.isnan(shape["chin"]).all() and np.isfinite(shape.box().as_list()).all()


# What some can do and others cannot

FOREIGN = frozenset(
    (
        *("__array__", "__len__", "__module__", "detach", "dtype", "item", "kind", "ndim", "shape", "size"),
        *("dictionary", "fp", "getexif", "read", "tag_v2", "tile"),
        *("buffer", "ctx", "encoding", "format_message", "frozen", "get_source", "strerror"),
        *("O_BINARY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "sched_getaffinity"),
        *("PRESETS", "_picture", "card"),
    )
)
"""Attributes of arrays, pictures, errors, streams and systems, and names that a module may hold."""


def features_asked_for(source: str) -> list[str]:
    """Return the attributes that `hasattr`, or `getattr` with a default, asks for."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name)]
    tests = [call for call in named if (call.func.id, len(call.args)) in (("hasattr", 2), ("getattr", 3))]
    return [part.value for call in tests for part in ast.walk(call.args[1]) if isinstance(part, ast.Constant)]


def test_a_feature_is_a_protocol_not_a_hasattr():
    source = 'hasattr(a, "steps" if b else "modes"), getattr(a, "labels", ()), getattr(a, "plain")'
    assert features_asked_for(source) == ["steps", "modes", "labels"]
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in features_asked_for(path.read_text("utf-8"))
        if name not in FOREIGN
    }
    assert not found, f"ask isinstance with a protocol, as those of methods/shared/abilities.py: {found}"


@pytest.mark.parametrize("name", registry.names("methods"))
def test_what_methods_can_do(name):
    """As the pages and commands offer it."""
    kind, protocols = registry.method(name), (HasSteps, HasIterations, HasShapeModes, HasAppearanceModes)
    can = {one.__name__ for one in protocols if issubclass(kind, one)}
    modes = {"HasIterations", "HasShapeModes"}
    wanted = {"dan": {"HasSteps"}, "integral": {"HasSteps"}, "asm": modes}
    assert can == {**wanted, "aam": {*modes, "HasAppearanceModes"}}.get(name, set())
    model = kind()
    assert isinstance(model, TellsEmotion) == (name == "emotional_dan")
    assert isinstance(model, TellsAttributes) == (name in ("emotional_dan", "tcdcn"))
    assert isinstance(model, LearnsFromNegatives) == (name == "mtcnn")
    assert (model.stage_count > 0) == (name in ("dan", "integral"))

"""Overlays: points where they are, sized to the face, the photo untouched elsewhere."""

import numpy as np
import pytest

from meanshape import Box, ConfigError, Emotion, Face, Prediction, Shape, markup
from meanshape.inference.overlay import COLOURS, Style, colour, draw

PLAIN = Style(box=False, score=False)


def grey(width=200, height=160):
    return np.full((height, width, 3), 128, np.uint8)


def one(shape, box=None, **more):
    return Prediction((Face(box or shape.box(), shape, **more),), (200, 160))


def dot(x, y, others=(np.nan, np.nan)):
    return Shape([(x, y), others, others, others, others], "mtfl5")


def test_a_dot_lies_on_its_point_to_a_fraction_of_a_pixel():
    for x, y in ((100, 80), (100.5, 80.25), (63.3, 101.7)):
        drawn = draw(grey(), one(dot(x, y), Box(20, 20, 180, 140)), PLAIN).astype(float)
        weight = np.abs(drawn - 128).sum(2)
        rows, columns = np.indices(weight.shape)
        found = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
        assert np.hypot(found[0] - x, found[1] - y) < 0.1


def test_the_photo_given_is_not_touched_and_the_size_stays(mean_face):
    photo, box = grey(), Box(60, 40, 140, 130)
    drawn = draw(photo, one(Shape(box.absolute(mean_face)), box, score=0.9))
    assert (photo == 128).all() and drawn.shape == photo.shape and (drawn != 128).any()
    assert (drawn[:, :20] == 128).all() and (drawn[:, 180:] == 128).all()


def test_dots_grow_with_the_face():
    def inked(size):
        drawn = draw(grey(), one(dot(100, 80), Box(100 - size, 80 - size, 100 + size, 80 + size)), PLAIN)
        return (drawn != 128).any(2).sum()

    assert inked(20) < inked(60)


def test_a_light_rim_is_on_any_skin():
    for skin in (20, 235):
        drawn = draw(np.full((160, 200, 3), skin, np.uint8), one(dot(100, 80), Box(10, 10, 190, 150)), PLAIN)
        light = drawn.min(2).max()
        assert light > 140
        assert np.ptp(drawn.astype(int), axis=2).max() > 100  # and colour on it


def test_groups_have_colours_of_their_own():
    kind = markup("ibug68")
    assert colour(kind, 0) == COLOURS["contour"] and colour(kind, 20) == COLOURS["brow"]
    assert colour(kind, 30) == COLOURS["nose"] and colour(kind, 40) == COLOURS["eye"]
    assert colour(kind, 50) == colour(kind, 65) == COLOURS["lip"]
    assert len({colour(markup("mtfl5"), i) for i in range(5)}) == 3


@pytest.mark.parametrize("name", ["ibug68", "ibug49", "lfpw29", "mtfl5"])
@pytest.mark.parametrize(("numbers", "names"), [(False, False), (True, False), (False, True), (True, True)])
def test_every_mark_up_can_be_drawn_with_numbers_and_names(name, numbers, names, mean_face):
    style = Style(numbers=numbers, names=names)
    shape = Shape(Box(60, 40, 140, 130).absolute(mean_face)).to(name)
    drawn = draw(grey(), one(shape, Box(60, 40, 140, 130), score=0.5), style)
    assert drawn.dtype == np.uint8 and (drawn != 128).any()
    assert drawn.shape == (160, 200, 3)


def test_a_picture_is_as_large_as_was_said(mean_face):
    found = one(Shape(Box(60, 40, 140, 130).absolute(mean_face)), Box(60, 40, 140, 130), score=0.5)
    assert draw(grey(), found, Style(numbers=True, scale=4)).shape == (640, 800, 3)
    small = draw(grey(), found, Style(scale=0.5))
    assert small.shape == (80, 100, 3) and (small != 128).any()
    dotted = draw(grey(), one(dot(100, 80), Box(20, 20, 180, 140)), Style(box=False, score=False, scale=3))
    rows, columns = np.nonzero((dotted != 128).any(2))
    middle = columns.mean(), rows.mean()
    assert middle == pytest.approx((3 * 100.5 - 0.5, 3 * 80.5 - 0.5), abs=0.6)  # centres of pixels
    for wrong in (0, -1, 11, float("nan")):
        with pytest.raises(ConfigError):
            Style(scale=wrong)


EMOTION = Emotion("happy", {"happy": 0.9, "sad": 0.1})
SEEN = {"smile": {"smiling": 0.9}, "glasses": {"without glasses": 0.8}, "side": {"front": 0.7}}


@pytest.mark.parametrize(
    "boxes",
    [
        [(60, 40, 140, 130)],
        [(60, 0, 140, 90)],  # no room above
        [(20, 4, 90, 150), (100, 4, 180, 150)],  # neither above nor below
        [(60, 40, 140, 95), (60, 100, 140, 158), (62, 1, 138, 38)],  # one over the other
        [(2, 2, 60, 60), (140, 100, 199, 159)],
        [(0, 0, 199, 159)],
    ],
)
def test_what_is_written_covers_no_face(boxes, mean_face):
    faces = []
    for box in boxes:
        inner = Box(*box).scaled(0.7)
        faces.append(
            Face(Box(*box), Shape(inner.absolute(mean_face)), 0.9, emotion=EMOTION, attributes=SEEN, track=2)
        )
    found = Prediction(tuple(faces), (200, 160))
    told = draw(grey(), found) != draw(grey(), found, Style(score=False))
    assert told.any()
    whole = max(box[3] - box[1] for box in boxes) > 140  # there the points are kept free, at least
    for face in faces:
        box = face.shape.box() if whole else face.box
        left, top, right, bottom = (round(edge) for edge in box.as_list())
        assert not told[top : bottom + 1, left : right + 1].any()


def test_where_there_is_no_room_nothing_is_written(mean_face):
    shape = Shape(Box(-20, -20, 220, 180).absolute(mean_face))
    found = one(shape, Box(-20, -20, 220, 180), score=0.5)
    assert (draw(grey(), found) == draw(grey(), found, Style(score=False))).all()


def test_hidden_points_and_labels_show(mean_face):
    points = Box(60, 40, 140, 130).absolute(mean_face)
    seen = draw(grey(), one(Shape(points), Box(60, 40, 140, 130)))
    hidden = draw(grey(), one(Shape(points, visible=[False] * 68), Box(60, 40, 140, 130)))
    told = draw(grey(), one(Shape(points), Box(60, 40, 140, 130), track=3, emotion=Emotion("happy")))
    assert (seen != hidden).any() and (seen != told).any()


@pytest.mark.parametrize(
    "box", [Box(-50, -40, 40, 30), Box(150, 120, 900, 800), Box(-900, -900, -800, -850), Box(90, 90, 91, 91)]
)
def test_faces_at_and_beyond_the_border_are_drawn_without_fuss(box, mean_face):
    assert draw(grey(), one(Shape(box.absolute(mean_face)), box, score=1.0)).shape == (160, 200, 3)


def test_tiny_pictures_and_no_faces():
    assert draw(np.zeros((1, 1, 3), np.uint8), Prediction((), (1, 1))).shape == (1, 1, 3)
    tiny = Prediction((Face(Box(-0.5, -0.5, 0.5, 0.5), score=0.3),), (1, 1))
    assert draw(np.zeros((1, 1, 3), np.uint8), tiny).shape == (1, 1, 3)
    nothing = Shape(np.full((68, 2), np.nan))
    assert draw(grey(), one(nothing, Box(1, 1, 90, 90)), Style(numbers=True)).dtype == np.uint8


@pytest.mark.parametrize("far", [1e15, 1e30])
def test_boxes_and_points_of_any_size_are_drawn(far):
    """Label files may hold such numbers; strokes of their width cannot be drawn."""
    shape = Shape(np.linspace(0, far, 136).reshape(68, 2))
    for face in (Face(Box(1, 1, far, far)), Face(Box(1, 1, far, far), shape), Face(Box(-far, -far, 9, 9))):
        for style in (Style(), Style(numbers=True), Style(score=True)):
            assert draw(grey(100, 80), Prediction((face,), (100, 80)), style).ndim == 3


def test_drawing_is_public():
    import meanshape as ms

    image = np.full((90, 120, 3), 90, np.uint8)
    found = Prediction((Face(Box(20, 10, 80, 80), score=0.9),), (120, 90))
    plain = ms.draw(image, found, ms.Style(box=False, score=False))
    assert np.array_equal(plain, image) and plain is not image
    assert (ms.draw(image, found) != image).any()


def test_bgr_comes_back_as_bgr(mean_face):
    photo, box = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8), Box(60, 40, 140, 130)
    prediction = one(Shape(box.absolute(mean_face)), box, score=0.9)
    drawn = draw(photo[:, :, ::-1].copy(), prediction, color="bgr")
    assert (drawn[:, :, ::-1] == draw(photo, prediction)).all() and drawn.flags.c_contiguous

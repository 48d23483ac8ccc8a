"""Faces hidden: what a region covers, what is left of it, and how it is held over a film."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import meanshape as ms
from meanshape.core.errors import ConfigError, FormatError, ImageError, ResultError
from meanshape.core.markup import markup
from meanshape.inference import blur_record
from meanshape.inference.blur import hide
from meanshape.inference.blur_record import Entry, Gap
from meanshape.inference.blur_video import Searched, held, shown
from meanshape.inference.contact import HIGH, Sheet
from meanshape.inference.regions import Region, hull, region

SIDE = 96
SQUARE = Region(np.array([(16.0, 16.0), (79.0, 16.0), (79.0, 79.0), (16.0, 79.0)]))


def noise(seed: int = 0, size: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (size, size, 3), np.uint8)


def inside(part: Region, size: int = SIDE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(part.points).astype(np.int32), (1,))
    return mask > 0


def contains(part: Region, points: np.ndarray) -> bool:
    outline = part.points.astype(np.float32)
    return all(cv2.pointPolygonTest(outline, (float(x), float(y)), True) >= -0.01 for x, y in points)


@pytest.fixture
def face(mean_face: np.ndarray) -> ms.Face:
    """A face whose chin is at the bottom of its box, with a forehead of a third above the brows."""
    points = np.array([100.0, 100.0]) + mean_face * (80, 80)
    return ms.Face(ms.Box(98, 62, 182, 182), ms.Shape(points, markup("ibug68")), 0.9)


# what a region covers


def test_the_outline_holds_all_points_and_the_forehead(face: ms.Face) -> None:
    part = region(face, grow=1.0)
    assert contains(part, face.shape.points)
    brows = face.shape.points[17:27]
    up = (face.shape.points[17:27].mean(0) - face.shape.points[8]) / 2  # a third of the face
    assert contains(part, brows[1:-1] + up)
    assert part.score == 0.9


def test_the_forehead_turns_with_the_head(face: ms.Face) -> None:
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    points = (face.shape.points - 140) @ turn.T + 140
    tilted = ms.Face(ms.Box(80, 95, 185, 185), face.shape.with_points(points))
    up = (points[17:27].mean(0) - points[8]) / 2
    assert contains(region(tilted, grow=1.0), points[18:26] + up)


def test_points_that_are_wrong_leave_the_box_hidden(face: ms.Face) -> None:
    wrong = ms.Face(face.box, face.shape.with_points(face.shape.points * 0.1))
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ellipse = face.box.absolute(np.column_stack([np.cos(turn), np.sin(turn)]) / 2 + 0.5)
    assert contains(region(wrong, grow=1.0), ellipse)
    none = ms.Face(face.box, face.shape.with_points(np.full((68, 2), np.nan)))
    assert contains(region(none, grow=1.0), ellipse)


def test_a_region_grows_about_its_middle(face: ms.Face) -> None:
    one, two = region(face, "box", 1.0).box, region(face, "box", 1.5).box
    assert two.width - 1 == pytest.approx(1.5 * (one.width - 1))
    assert two.center == pytest.approx(one.center)


# what is left of it


@pytest.mark.parametrize("mode", ["blur", "pixelate"])
def test_nothing_finer_than_the_blocks_is_left(mode: str) -> None:
    """What has the same mean in each block looks the same, so that nothing of it can be brought back."""
    plain = np.full((SIDE, SIDE, 3), 128, np.uint8)
    fine = plain.copy()
    fine[::2, 1::2], fine[1::2, ::2] = 228, 228
    fine[::2, ::2], fine[1::2, 1::2] = 28, 28
    one, two = (hide(pixels, [SQUARE], mode, 8) for pixels in (plain, fine))
    assert np.abs(one.astype(int) - two)[inside(SQUARE)].max() <= 1


@pytest.mark.parametrize("blocks", [1, 4, 8])
def test_pixels_are_no_more_than_asked_for(blocks: int) -> None:
    out = hide(noise(), [SQUARE], "pixelate", blocks)
    colours = {tuple(colour) for colour in out[16:80, 16:80].reshape(-1, 3).tolist()}
    assert 1 <= len(colours) <= (blocks + 1) ** 2
    row = out[40, 16:80].astype(int)
    assert (np.abs(np.diff(row, axis=0)).max(axis=1) > 0).sum() <= blocks


def test_of_a_face_at_the_edge_no_finer_blocks_are_left() -> None:
    """Half of it lies outside: the blocks are those of the whole."""
    half = Region(SQUARE.points - (48, 0))
    out = hide(noise(), [half], "pixelate", 4)[16:80, :32]
    assert len({tuple(colour) for colour in out.reshape(-1, 3).tolist()}) <= 3 * 5


def test_a_fill_keeps_nothing() -> None:
    one, two = (hide(noise(seed), [SQUARE], "fill") for seed in (0, 1))
    assert (one[inside(SQUARE)] == two[inside(SQUARE)]).all()


@pytest.mark.parametrize("mode", ["blur", "pixelate", "fill"])
def test_the_rest_of_the_picture_stays(mode: str) -> None:
    pixels = noise()
    out = hide(pixels, [SQUARE], mode)
    far = np.ones((SIDE, SIDE), bool)
    far[9:87, 9:87] = False
    assert (out[far] == pixels[far]).all()
    assert (out[inside(SQUARE)] != pixels[inside(SQUARE)]).any(axis=1).mean() > 0.95
    assert (noise() == pixels).all()  # the picture given is left alone


@pytest.mark.parametrize("mode", ["blur", "pixelate", "fill"])
def test_regions_beside_the_picture_and_tiny_ones(mode: str) -> None:
    pixels = noise()
    away = Region(SQUARE.points + 500)
    assert (hide(pixels, [away], mode) == pixels).all()
    dot = Region(np.array([(5.0, 5.0), (5.0, 5.0), (5.0, 5.0)]))
    assert hide(pixels, [dot], mode).shape == pixels.shape
    huge = Region(SQUARE.points * 1000 - 30000)
    assert hide(pixels, [huge], mode).std() < pixels.std()


@pytest.mark.parametrize("far", [1, 1000])
def test_a_large_face_is_worked_out_on_a_small_picture(far: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blur as wide as the face would take minutes, and the edge of a region of a file all memory."""
    blurred, shaped = cv2.GaussianBlur, cv2.getStructuringElement

    def blur(pixels: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
        assert sigma < 64
        return blurred(pixels, size, sigma)

    def shape(kind: int, size: tuple[int, int]) -> np.ndarray:
        assert max(size) < 64
        return shaped(kind, size)

    monkeypatch.setattr(cv2, "GaussianBlur", blur)
    monkeypatch.setattr(cv2, "getStructuringElement", shape)
    pixels = noise(size=1200)
    part = Region((SQUARE.points - 48) * 15 * far + 600)
    out = hide(pixels, [part])
    rows = slice(150, 1050)
    assert out[rows, rows].std() < pixels.std() / 10
    assert (np.abs(np.diff(out[rows, rows].astype(int), axis=0)) <= 2).all()
    if far == 1:
        assert (out[:40] == pixels[:40]).all() and (out[:, -50:] == pixels[:, -50:]).all()


def test_blur_takes_a_prediction_faces_and_regions(face: ms.Face) -> None:
    pixels = noise(size=240)
    found = ms.Prediction((face,), (240, 240))
    hidden = ms.blur(pixels, found, mode="fill")
    assert (hidden == ms.blur(pixels, [face], mode="fill")).all()
    assert (hidden == ms.blur(pixels, [region(face)], mode="fill")).all()
    assert (hidden[130, 140] == 0).all()
    other = np.ascontiguousarray(pixels[:, :, ::-1])
    assert (ms.blur(other, found, color="bgr") == ms.blur(pixels, found)[:, :, ::-1]).all()


@pytest.mark.parametrize(
    "options", [{"mode": "smear"}, {"blocks": 9}, {"blocks": 0}, {"grow": 0.9}, {"region": "nose"}]
)
def test_what_would_hide_too_little_is_refused(face: ms.Face, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ms.blur(noise(), [face], **options)


# the record


def test_a_record_comes_back(tmp_path: Path) -> None:
    entries = [Entry("a.jpg", (96, 96), (SQUARE,)), Entry("b.jpg", (0, 0), (), "b.jpg: broken")]
    blur_record.write(tmp_path / "r.json", entries, [Gap(0, 0.1, 0.2, 3)])
    back = blur_record.read(tmp_path / "r.json")
    assert [(one.source, one.size, one.error) for one in back] == [
        ("a.jpg", (96, 96), None), ("b.jpg", (0, 0), "b.jpg: broken")
    ]  # fmt: skip
    assert np.allclose(back[0].regions[0].points, SQUARE.points)
    text = (tmp_path / "r.json").read_text()
    assert json.loads(text)["gaps"] == [{"track": 0, "begin": 0.1, "end": 0.2, "frames": 3}]
    assert len(text.splitlines()) == 4  # a line for each picture, to be edited


def test_a_person_may_write_a_box() -> None:
    part = Region.from_dict({"box": [10, 20, 30, 50]})
    assert part.points.tolist() == [[10, 20], [30, 20], [30, 50], [10, 50]]


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"points": [[1, 2]]}, {"points": [[1, 2, 3]] * 3}, {"points": "abc"}, {"box": [1, 2, 3]}, 7,
        {"points": [[0, 0], [1, 0], [1e9, 1]]}, {"points": [[0, 0], [1, 0], [None, 1]]},
        {"box": [1, 2, 3, "x"]}, {"box": [3, 2, 1, 4]}, {"points": [[0, 0]] * 1001},
        {"points": [[0, 0], [1]]},
        {"box": [0, 0, 9, 9], "points": [[0, 0], [1, 0], [1, 1]]}, {"box": [0, 0, 9, 9], "score": 7},
    ],
)  # fmt: skip
def test_regions_that_make_no_sense_are_refused(wrong: object, tmp_path: Path) -> None:
    with pytest.raises((ResultError, ms.BoxError)):
        Region.from_dict(wrong)
    path = tmp_path / "r.json"
    picture = {"source": "a", "size": [9, 9], "regions": [wrong]}
    path.write_text(json.dumps({"schema": 1, "kind": "meanshape blur", "pictures": [picture]}))
    with pytest.raises(FormatError, match="picture 1"):
        blur_record.read(path)


@pytest.mark.parametrize("text", ["[]", "{", '{"schema": 1}', '{"schema": 1, "kind": "meanshape blur"}'])
def test_what_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(FormatError, match=r"r\.json"):
        blur_record.read(tmp_path / "r.json")


def test_a_record_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="96 x 96"):
        Entry("a", (96, 96)).fit(noise(size=90))


# held over a film


def film(found: list[list[float]], rate: float = 10.0) -> Searched:
    """Frames with faces of 20 pixels at these places."""
    square = np.array([(0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0)])
    entries = [
        Entry(
            f"c.mp4#t={n / rate:.4f}", (200, 50), tuple(Region(square + np.array([x, 10.0])) for x in places)
        )
        for n, places in enumerate(found)
    ]
    return Searched(entries, [n / rate for n in range(len(found))])


def test_a_face_is_held_before_and_after_it_is_found() -> None:
    entries, gaps = held(film([[], [], [], [50], [50], [], [], [], []]), 0.2)
    assert [len(entry.regions) for entry in entries] == [0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert [part.held for entry in entries for part in entry.regions] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert gaps == []


def test_the_way_over_a_gap_is_hidden_and_told() -> None:
    entries, gaps = held(film([[50], [], [], [62], [62]]), 0.2)
    assert gaps == [Gap(0, 0.1, 0.2, 2)]
    for entry in entries[1:3]:
        (part,) = entry.regions
        assert part.held and (part.box.left, part.box.right) == (49.5, 82.5)
    assert shown(entries, gaps, 2) in ([0, 1], [0, 2]) and shown(entries, gaps, 9) == [0, 1, 2, 3, 4]


def test_two_faces_keep_their_numbers() -> None:
    entries, gaps = held(film([[10, 150], [152, 12], [14], [156, 16]]), 0.5)
    tracks = [{part.track: part.points[:, 0].min() for part in entry.regions} for entry in entries]
    assert [sorted(one) for one in tracks] == [[0, 1]] * 4
    assert tracks[0] == {0: 10, 1: 150} and tracks[1] == {0: 12, 1: 152} and tracks[3] == {0: 16, 1: 156}
    assert gaps == [Gap(1, 0.2, 0.2, 1)]


def test_a_long_absence_is_no_gap() -> None:
    entries, gaps = held(film([[50], *[[]] * 9, [50]]), 0.2)
    assert gaps == []
    assert [len(entry.regions) for entry in entries] == [1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]


def test_nothing_found_is_nothing_hidden() -> None:
    entries, gaps = held(film([[], []]))
    assert not gaps and not any(entry.regions for entry in entries)


# the contact sheet


def test_a_sheet_keeps_the_most_urgent_and_shows_them_first() -> None:
    sheet = Sheet(2)
    for level, urgency in ((50, 0.1), (100, 0.9), (150, 0.0), (200, 0.5)):
        sheet.add(np.full((30, 40, 3), level, np.uint8), "x" * 100, urgency)
    picture = sheet.picture()
    assert sheet.count == 4
    wide = picture.shape[1]
    assert [int(picture[HIGH // 2, x, 0]) for x in (wide // 4, 3 * wide // 4)] == [100, 200]


def test_the_hull_leaves_out_what_is_not_there() -> None:
    points = np.array([(0, 0), (4, 0), (np.nan, 9), (4, 4), (0, 4), (2, 2)], float)
    assert {tuple(corner) for corner in hull(points).tolist()} == {(0, 0), (4, 0), (4, 4), (0, 4)}

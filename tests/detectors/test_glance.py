"""The single-stage detector: cells, targets, composed pictures, a miniature training, shipped weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, DataSetError, WeightsError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets import synthetic
from meanshape.datasets.parts.files import pictures_below
from meanshape.detectors.glance import compose, model, photos, targets
from meanshape.detectors.glance.config import TINY, Config
from meanshape.detectors.glance.grid import NUMBERS, STRIDES, UNITS, grid
from meanshape.detectors.glance.model import CROP_SCALE, CROP_SIDE, Glance, shrink

needs_weights = pytest.mark.skipif(
    "glance" not in weights.detector_names(), reason="the package has no weights of glance"
)


def test_no_photo_without_people_is_passed_over(tmp_path: Path) -> None:
    """Whatever kind of picture it is, and though another folder has one of that name."""
    places = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png", tmp_path / "b" / "2.webp", tmp_path / "3"]
    for number, place in enumerate(places):
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 60 + number), "white").save(place, place.suffix[1:] or "jpeg")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [p.pixels.shape[0] for p in photos.people_free(tmp_path)] == [63, 60, 61, 62]
    assert len(pictures_below(tmp_path)) == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataSetError, match="no pictures in this folder"):
        photos.people_free(tmp_path / "empty")
    with pytest.raises(DataSetError, match="does not exist"):
        photos.people_free(tmp_path / "nowhere")


def test_cells_lie_in_the_middle_of_their_pixels_and_read_their_numbers() -> None:
    cells = grid(96, 64)
    assert len(cells.centers) == 96 * 64 // 64 + 96 * 64 // 256 + 96 * 64 // 1024
    assert cells.centers[0].tolist() == [3.5, 3.5]
    assert cells.centers[-1].tolist() == [79.5, 47.5]
    answer = np.zeros((NUMBERS, len(cells.centers)), np.float32)
    answer[1:5, 1] = 0.5, -0.25, np.log(2), 0
    answer[5:, 1] = np.tile([0.1, 0.2], 5)
    box = cells.boxes(answer, np.array([1]))[0]
    unit = UNITS[0]
    assert np.allclose(
        box, [11.5 + (0.5 - 1) * unit, 3.5 - 0.75 * unit, 11.5 + 1.5 * unit, 3.5 + 0.25 * unit]
    )
    assert np.allclose(cells.points(answer, np.array([1]))[0], [11.5 + 0.1 * unit, 3.5 + 0.2 * unit])


def test_every_face_has_a_cell_and_small_ones_win_where_two_meet() -> None:
    boxes = np.array([[20, 20, 28, 30], [10, 10, 90, 110], [100, 100, 250, 250], [22, 22, 60, 70.0]])
    owner = targets.assign(boxes, np.empty((0, 4)), 256)
    assert set(owner[owner >= 0].tolist()) == {0, 1, 2, 3}
    cells = grid(256, 256)
    assert set(cells.strides[owner == 0]) == {8} and set(cells.strides[owner == 2]) == {32}
    for face, box in enumerate(boxes):
        away = cells.centers[owner == face] - (box[:2] + box[2:]) / 2
        assert np.abs(away).max() <= max(STRIDES)


def test_a_cell_that_two_faces_reach_answers_for_the_smaller() -> None:
    """Cells of stride 8 answer within 8 pixels of a face's centre, and within a third of the face."""
    boxes = np.array([[46, 46, 82, 82], [56, 54, 80, 78.0]])  # 36 pixels about (64, 64), 24 about (68, 66)
    owner, cells = targets.assign(boxes, np.empty((0, 4)), 128), grid(128, 128)
    shared = 0
    for answered, centre, stride in zip(owner, cells.centers, cells.strides, strict=True):
        large, small = (np.abs(centre - middle).max() for middle in ((64, 64), (68, 66)))
        if stride == 8 and small <= 0.33 * 24:
            assert answered == 1
            shared += large <= 8
        elif stride == 8:
            assert (answered == 0) == (large <= 8)
    assert shared > 0


def test_cells_in_ignored_boxes_may_say_what_they_like_but_faces_there_are_learnt() -> None:
    ignored = np.array([[0, 0, 100, 100.0]])
    owner = targets.assign(np.empty((0, 4)), ignored, 128)
    inside = (grid(128, 128).centers < 102).all(1)
    assert (owner[inside] == targets.IGNORED).all() and (owner[~inside] == targets.NONE).all()
    assert (targets.assign(np.array([[40, 40, 60, 64.0]]), ignored, 128) == 0).any()


def test_a_turned_head_has_the_box_of_a_turned_ellipse() -> None:
    assert np.allclose(compose.reach(60, 80, 0), [30, 40])
    assert np.allclose(compose.reach(60, 80, 90), [40, 30])
    angle = np.radians(np.arange(0, 360, 0.1))
    ellipse = np.stack([30 * np.cos(angle), 40 * np.sin(angle)], 1)
    for degrees in (20.0, -55.0):
        points = photos.turned(ellipse, np.zeros(2), degrees)
        assert np.allclose(points.max(0), compose.reach(60, 80, degrees), atol=0.01)


def test_a_turned_face_has_the_same_head_turned() -> None:
    five = np.array([[40, 50], [80, 50], [60, 72], [45, 95], [75, 95.0]])
    upright = photos.gather([Sample("a", np.zeros((150, 120, 3), np.uint8), Shape(five, "mtfl5"))])[0].heads[
        0
    ]
    turned = Shape(photos.turned(five, np.array([60.0, 70]), 40), "mtfl5")
    head = photos.gather([Sample("a", np.zeros((150, 120, 3), np.uint8), turned)])[0].heads[0]
    assert head[4] - upright[4] == pytest.approx(40, abs=0.1)
    assert np.allclose(head[2:4], upright[2:4], atol=0.1)
    assert np.allclose(head[:2], photos.turned(upright[None, :2], np.array([60.0, 70]), 40)[0], atol=0.1)


def test_composed_pictures_carry_their_faces_along() -> None:
    """Photos of one bright disc on black: wherever a face is labelled whole, the disc is."""
    pixels = np.zeros((120, 100, 3), np.uint8)
    down, across = np.indices((120, 100))
    pixels[np.hypot(across - 50, down - 60) < 20] = 255
    head = np.array([[50, 60, 40, 40, 0, *[50, 60] * 5]], float)
    photo = photos.Photo(pixels, head, np.empty((0, 4)))
    make = compose.Composer([photo], [], 128)
    found = 0
    for seed in range(12):
        picture, faces, _ = make(np.random.default_rng(seed))
        assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
        for face in faces:
            low, high = face[:2], face[2:4]
            assert (low >= -0.51).all() and (high <= 127.51).all()
            if (high - low).min() > 12 and np.allclose(face[4:6], (low + high) / 2, atol=1):
                found += 1
    assert found > 8


def test_pictures_are_resized_to_the_size_that_is_asked_for() -> None:
    image = np.random.default_rng(0).integers(0, 256, (333, 500, 3), np.uint8)
    for size in ((500, 333), (250, 166), (120, 80), (700, 466), (1, 1)):
        assert shrink(image, *size).shape == (size[1], size[0], 3)


def drawn(number: int) -> Sample:
    """Return a face of a bright ellipse with dark eyes and mouth, anywhere on a dim ground."""
    import cv2

    rng = np.random.default_rng(number)
    image = rng.integers(20, 90, (96, 96, 3)).astype(np.uint8)
    size, (x, y) = rng.uniform(28, 50), rng.uniform(35, 60, 2)
    cv2.ellipse(image, (int(x), int(y)), (int(size * 0.5), int(size * 0.67)), 0, 0, 360, (210, 180, 160), -1)
    five = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.3], [0.15, 0.3]]) * size + [x, y]
    for place in (*five[:2], *five[3:]):
        cv2.circle(image, (round(place[0]), round(place[1])), max(2, int(size / 14)), (20, 10, 10), -1)
    return Sample(str(number), image, Shape(five, "mtfl5"))


def test_a_miniature_training_finds_drawn_faces(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from meanshape.detectors.glance.learner import PRESETS, Learner

    torch.set_num_threads(1)
    learner = Learner(PRESETS["tiny"])
    learner.run_folder = tmp_path / "run"
    samples = [drawn(number) for number in range(16)]
    learner.fit(samples, seed=1)
    folder = learner.save(tmp_path / "saved")
    card = weights.verify(folder)
    assert (card.kind, card.method) == ("detectors", "glance")
    detector = registry.detector("glance")(weights=folder, min_face=16, threshold=0.2)
    hits = 0
    for number in range(100, 110):
        sample = drawn(number)
        assert sample.shape is not None
        faces = detector.detect(sample.image)
        true = photos.gather([sample])[0].heads[0]
        head = Box.around([true[:2] - true[2:4] / 2, true[:2] + true[2:4] / 2])
        hits += bool(faces) and faces[0].box.iou(head) > 0.4
    assert hits >= 8
    state = torch.load(tmp_path / "run" / "glance.checkpoint.pt", weights_only=True)
    assert state["step"] == PRESETS["tiny"].steps


def test_settings_out_of_range_are_refused() -> None:
    kind = registry.detector("glance")
    with pytest.raises(ConfigError, match="min_face"):
        kind(min_face=5)
    with pytest.raises(ConfigError, match="threshold"):
        kind(threshold=1.5)
    with pytest.raises(ConfigError, match="leave --init out"):
        learner = registry.learner("glance")()
        learner.initial = Path("somewhere")
        learner.fit([])


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text('name = "x"\nmethod = "dan"\n', "utf-8")
    with pytest.raises(WeightsError, match="of dan, not of glance"):
        registry.detector("glance")(weights=tmp_path)


class Seen:
    """A session that sees one face wherever it is asked, a third of the picture, a little to the left."""

    def __init__(self, logit: float) -> None:
        self.logit, self.asked = logit, []

    def __call__(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        pixels = inputs["pixels"]
        self.asked.append(pixels)
        count, height, width = pixels.shape[:3]
        cells = grid(width, height)
        answer = np.full((count, NUMBERS, len(cells.centers)), -9, np.float32)
        middle = np.array([0.45 * width, 0.5 * height])
        cell = np.abs(cells.centers - middle).sum(1).argmin()
        unit, side = (
            cells.units[cell],
            (CROP_SIDE / CROP_SCALE if count == 1 and width == CROP_SIDE else width / 3),
        )
        answer[:, 0, cell] = self.logit
        answer[:, 1:3, cell] = (middle - cells.centers[cell]) / unit
        answer[:, 3:5, cell] = np.log(side / unit)
        five = np.array([[-4, 0], [4, 0], [0, 0], [-4, 4], [4, 4]]) + middle - cells.centers[cell]
        answer[:, 5:, cell] = five.ravel() / unit
        return [answer]


@pytest.mark.parametrize(("logit", "looks"), [(0.8, 2), (6.0, 1), (-3.0, 1)])
def test_an_answer_that_is_not_sure_is_looked_at_again_in_the_mirror(logit: float, looks: int) -> None:
    detector = object.__new__(Glance)
    config = Config(calibration=(1.0, 0.0), proposed=0.3, sure=0.99, threshold=0.5)
    detector.min_face, detector.config, detector._session = 16, config, Seen(logit)
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    faces = detector.detect(image)
    assert len(detector._session.asked) == looks
    assert len(faces) == (logit > 0)
    if looks == 2:
        # seen at 0.45 in the picture, and at 0.45 of the mirrored crop, which is 0.55 of the crop
        shift = 0.05 * 32 * CROP_SCALE / 2
        assert faces[0].box.center[0] == pytest.approx(0.45 * 96 + shift, abs=0.6)
        assert faces[0].shape is not None
        assert faces[0].shape.points[0, 0] < faces[0].shape.points[1, 0] - 4  # the eyes are not swapped


@needs_weights
def test_large_pictures_are_seen_in_tiles_that_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = registry.detector("glance")()
    one = synthetic.face(1, 100, occlusion=0, yaw=0, emotion="neutral", degrade=False).pixels()
    crowd = np.ascontiguousarray(np.tile(one, (8, 10, 1)))
    whole = sorted(found.box.as_list() for found in detector.detect(crowd))
    monkeypatch.setattr(model, "TILE", 160)
    monkeypatch.setattr(model, "SHARED", 96)
    tiled = sorted(found.box.as_list() for found in detector.detect(crowd))
    assert len(whole) == 80
    overlap = [max(Box(*a).iou(Box(*b)) for b in tiled) for a in whole]
    assert len(tiled) == 80 and min(overlap) > 0.7


@pytest.mark.parametrize("side", [1, 300, 1536, 1537, 2688, 2689, 9000])
def test_tiles_cover_a_side_and_share_a_face(side: int) -> None:
    cuts = model._cuts(side)
    assert cuts[0].start == 0 and cuts[-1].stop == side and cuts[-1].high == np.inf
    assert all(cut.stop - cut.start <= model.TILE for cut in cuts)
    for one, two in itertools.pairwise(cuts):
        assert one.high == two.low and one.stop - two.start >= model.SHARED


@needs_weights
def test_shipped_settings_are_the_defaults() -> None:
    from meanshape.core import config as configs

    assert configs.load(Config, weights.folder("glance") / "config.toml") == Config()


@needs_weights
@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (11, 11), (37, 60), (700, 500)])
def test_pictures_of_any_size_without_faces_have_none(shape: tuple[int, int]) -> None:
    detector = registry.detector("glance")()
    ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    assert detector.detect(ramp) == ()
    assert detector.detect(np.zeros(shape, np.uint8)) == ()


def test_photos_without_people_are_drawn_by_how_much_they_look_like_faces() -> None:
    """Bright ones look like faces to this network, and are measured so, in turns at three scales."""
    pytest.importorskip("torch")
    from meanshape.detectors.glance.training import Task

    none = np.empty((0, 15)), np.empty((0, 4))
    empty = [photos.Photo(np.full((50, 70, 3), 25 * n, np.uint8), *none) for n in range(6)]
    head = np.array([[50, 60, 40, 40, 0, *[50, 60] * 5]], float)
    face = photos.Photo(np.zeros((120, 100, 3), np.uint8), head, np.empty((0, 4)))
    made = compose.Composer([face], empty, 96)
    task = Task(made, made, TINY, 0)
    seen = []

    def network(pixels: Any) -> Any:
        seen.append(tuple(pixels.shape[2:]))
        brightness = pixels.flatten(1).mean(1) / 128
        return brightness[:, None, None].expand(len(pixels), 15, 4) * 8 - 4

    for _ in range(3):
        task.mine(network)
    assert set(seen) == {(64, 96), (32, 64), (96, 128)}
    assert (np.diff(task.compose.difficulty) >= 0).all()
    drawn = np.zeros(6, int)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        photo, crowd = task.compose._draw("one", rng)
        drawn += [photo is one for one in empty]
        assert not crowd or photo is face
    assert drawn.sum() == pytest.approx(3000 * compose.EMPTY["one"], rel=0.2)
    assert drawn[5] > 3 * drawn[0] > 0


def test_a_picture_without_faces_has_a_mirror_image() -> None:
    pytest.importorskip("torch")
    from meanshape.detectors.glance.training import mirrored

    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    turned, faces, ignored = mirrored((pixels, np.empty((0, 14)), np.empty((0, 4))))
    assert np.array_equal(turned, pixels[:, ::-1]) and faces.shape == (0, 14) and ignored.shape == (0, 4)


def test_a_photo_is_laid_beyond_all_numbers_of_pixels_without_a_word(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """So far a label may lie, and its photo with it."""
    tile, photo = np.full((8, 8, 3), 9, np.uint8), np.zeros((6, 6, 3), np.uint8)
    for shift in (1e30, -1e30):
        compose.lay(tile, photo, np.array([[1.0, 0, shift], [0, 1, shift]]))
    assert (tile == 9).all() and not recwarn.list

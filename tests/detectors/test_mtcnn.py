"""MTCNN: the search against plain re-computation, the networks against the paper, training in miniature."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from real_data import DATA

from meanshape.core import registry, weights
from meanshape.core.box import Box
from meanshape.core.errors import BoxError, ConfigError
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.synthetic import scene
from meanshape.methods.mtcnn import PRESETS, cascade
from meanshape.methods.mtcnn import model as method
from meanshape.methods.mtcnn.training.faces import BoxRule, five_of_68, from_canonical, tight, to_canonical

SHIPPED = "mtcnn" in weights.names()
needs_weights = pytest.mark.skipif(not SHIPPED, reason="the package has no weights of mtcnn")


SCAN = cascade.Scan(40.0, 0.709)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (40, 40), (97, 1301), (33, 31)])
def test_pyramid_levels_share_a_canvas_without_touching(width: int, height: int, stride: int) -> None:
    levels, (across, down) = cascade.layout(width, height, replace(SCAN, stride=stride))
    assert levels[0].width == round(width * 0.3)
    for level in levels:
        w, h = level.outer(stride)
        assert level.x % stride == level.y % stride == 0
        assert level.x + w <= across
        assert level.y + h <= down
    for a, b in itertools.combinations(levels, 2):
        (aw, ah), (bw, bh) = a.outer(stride), b.outer(stride)
        assert a.x + aw <= b.x or b.x + bw <= a.x or a.y + ah <= b.y or b.y + bh <= a.y
    used = sum(np.prod(level.outer(stride)) for level in levels)
    assert used > 0.5 * across * down


def test_a_photo_too_small_for_any_window_has_no_levels() -> None:
    assert cascade.layout(3, 400, SCAN) == ((), (0, 0))


def _lamp(pixels: np.ndarray, stride: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A P-Net that sees a face where a window's mean is bright."""
    import cv2

    grey = pixels[0].mean(0)
    means = cv2.boxFilter(grey, -1, (12, 12), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    face = np.clip((means[: grey.shape[0] - 11 : stride, : grey.shape[1] - 11 : stride] - 130) / 125, 0, 1)
    return face[None], np.zeros((1, 4, *face.shape), np.float32), np.zeros((1, 10, *face.shape), np.float32)


@pytest.mark.parametrize(("stride", "bright"), [(2, 0.9), (4, 0.75)])
def test_proposals_lie_where_the_network_saw_them(stride: int, bright: float) -> None:
    image = np.full((240, 320, 3), 20, np.uint8)
    image[60:108, 100:148] = 255  # the face fills pixels 100..147, 60..107
    scan, net = replace(SCAN, stride=stride), partial(_lamp, stride=stride)
    found = cascade.propose(cascade.Crops(image), net, scan, 0.6)
    best = found.boxes[0]
    assert found.scores[0] > bright
    truth = Box(99.5, 59.5, 147.5, 107.5)
    overlaps = [Box(*box).iou(truth) for box in found.boxes.tolist()]
    assert Box(*best).iou(truth) == pytest.approx(max(overlaps))
    assert max(overlaps) == pytest.approx((40 / 48) ** 2)  # the finest window, 40 pixels, within 48
    assert np.abs(np.array(Box(*best).center) - truth.center).max() < 3


def test_windows_that_stand_alone_are_dropped_and_crowds_stay() -> None:
    image = np.full((240, 320, 3), 20, np.uint8)
    image[40:130, 60:150] = 255  # seen from many cells
    image[180:215, 230:265] = 255  # smaller than a window: seen from few, dimly
    crops = cascade.Crops(image)
    every, backed = (cascade.propose(crops, _lamp, SCAN, 0.4, support) for support in (0.0, 2.0))
    lone = every.boxes[:, 0] > 200
    assert lone.any()
    assert not lone.all()
    assert (backed.boxes[:, 0] < 200).all()
    assert backed.scores[0] == every.scores[~lone].max()
    assert len(cascade.propose(crops, _lamp, SCAN, 0.4, 1e9)) == 0


def test_suppression_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 80, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (300, 2))], axis=1)
    scores = rng.random(300)
    keep: list[int] = []
    for i in np.argsort(-scores):
        if all(Box(*boxes[i]).iou(Box(*boxes[j])) <= 0.4 for j in keep):
            keep.append(int(i))
    assert cascade.suppress(boxes, scores, 0.4).tolist() == keep
    inner = np.array([[0.0, 0, 100, 100], [10.0, 10, 40, 40]])
    assert len(cascade.suppress(inner, np.array([0.9, 0.8]), 0.7)) == 2
    assert len(cascade.suppress(inner, np.array([0.9, 0.8]), 0.7, inside=0.7)) == 1
    assert len(cascade.suppress(np.empty((0, 4)), np.empty(0), 0.5)) == 0


def test_thousands_of_windows_are_suppressed_in_a_moment() -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 3000, (5000, 2))
    boxes = np.concatenate([corner, corner + 40], axis=1)
    assert len(cascade.suppress(boxes, rng.random(5000), 0.5)) > 3000


def test_crops_keep_pixels_and_are_grey_outside() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crops = cascade.Crops(image)
    assert np.array_equal(crops(np.array([[9.5, 19.5, 33.5, 43.5]]), 24)[0], image[20:44, 10:34])
    outside = crops(np.array([[-200.0, -200, -100, -100]]), 24)[0]
    assert (outside == cascade.GREY).all()
    halved = crops(np.array([[-0.5, -0.5, 47.5, 47.5]]), 24)[0].astype(float)
    means = image[:48, :48].astype(float).reshape(24, 2, 24, 2, 3).mean((1, 3))
    assert np.abs(halved - means).max() <= 1


def test_box_conventions_convert_there_and_back() -> None:
    boxes = np.array([[10.0, 20, 110, 130], [5, 5, 8, 9]])
    assert np.allclose(from_canonical(to_canonical(boxes)), boxes)
    assert np.allclose(cascade.from_part(to_canonical(boxes), PRESETS["paper"].canonical), boxes)
    box = Box(10, 20, 110, 130)
    assert np.allclose(box.part(PRESETS["paper"].canonical).as_list(), to_canonical(boxes)[0])


def test_box_rule_follows_shift_and_scale() -> None:
    rng = np.random.default_rng(3)
    mean = rng.uniform(0, 100, (68, 2))
    faces = mean + rng.normal(0, 3, (200, 68, 2))
    rule = BoxRule.fit(faces)
    five = five_of_68(faces)
    assert np.abs(rule(five) - tight(faces)).mean() < 3
    moved = rule(five * 2 + [7.0, -3.0])
    assert np.allclose(moved, rule(five) * 2 + [7.0, -3.0, 7.0, -3.0])


def test_networks_have_the_layers_of_the_paper() -> None:
    pytest.importorskip("torch")
    from meanshape.methods.mtcnn import training as mtcnn_training

    count = [sum(p.numel() for p in mtcnn_training.build(PRESETS["paper"], i).parameters()) for i in range(3)]
    # the released P- and R-Net have no landmark task: 6,632 and 100,178 without its 330 and 1,290
    assert count == [6_632 + 330, 100_178 + 1_290, 389_040]


@pytest.mark.parametrize("stem", ["pool", "stride", "strides"])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_exported_networks_answer_as_trained(stem: str, activation: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from meanshape.methods.mtcnn import network as nets

    torch.manual_seed(0)
    far = partial(nets.PNet, stride=4)
    for kind, side, grid in ((nets.PNet, 30, 10), (far, 32, 6), (nets.RNet, 24, 1), (nets.ONet, 48, 1)):
        net = kind(activation=activation, norm=True, stem=stem)
        for number, layer in enumerate(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, -0.5 if number else 0.5, 2)  # some norms cannot be moved
        net.eval()
        nets.export(net, tmp_path / "net.onnx")
        image = torch.rand(2, 3, side, side) * 255
        with torch.no_grad():
            logits, box, points = (out.numpy() for out in net(image))
        answer = method.Network(tmp_path / "net.onnx")(image.numpy())
        assert answer[0].size == 2 * grid**2
        assert np.allclose(answer[0], 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), atol=1e-5)
        assert np.allclose(answer[1], box, atol=1e-5)
        assert np.allclose(answer[2], points, atol=1e-5)


def test_windows_that_hang_over_a_border_are_grey_on_one_side() -> None:
    from meanshape.methods.mtcnn.training.windows import hang_over

    pixels = np.full((400, 24, 24, 3), 9, np.uint8)
    hang_over(pixels, 0.25, np.random.default_rng(0))
    grey = (pixels == cascade.GREY).all(3)
    cut = grey.any((1, 2))
    assert 60 < cut.sum() < 140
    assert 1 / 24 - 1e-9 <= grey[cut].mean((1, 2)).min() <= grey[cut].mean((1, 2)).max() <= 0.36
    edges = grey[:, 0].all(1) * 1 + grey[:, -1].all(1) + grey[:, :, 0].all(1) + grey[:, :, -1].all(1)
    assert set(edges[cut].tolist()) == {1}
    untouched = np.full((50, 12, 12, 3), 9, np.uint8)
    hang_over(untouched, 0.0, np.random.default_rng(0))
    assert (untouched == 9).all()


def test_loss_trains_each_kind_on_its_tasks_and_only_the_hardest() -> None:
    torch = pytest.importorskip("torch")
    from meanshape.methods.mtcnn.network import LANDMARK, NEGATIVE, PART, POSITIVE, loss

    kind = torch.tensor([NEGATIVE] * 10 + [POSITIVE, PART, LANDMARK])
    logits, box, points = (torch.zeros(13, n, requires_grad=True) for n in (2, 4, 10))
    with torch.no_grad():
        logits[:10, 0] = torch.arange(10.0)  # the later, the easier
    total, parts = loss(
        (logits, box, points), kind, torch.ones(13, 4), torch.ones(13, 10), alpha=(1.0, 0.5, 0.25), keep=0.7
    )
    total.backward()  # type: ignore[no-untyped-call]
    trained = [g.abs().sum(1).nonzero().flatten().tolist() for g in (logits.grad, box.grad, points.grad)]
    assert trained == [[0, 1, 2, 3, 4, 5, 6, 10], [10, 11], [12]]
    assert parts["box"] == pytest.approx(4)
    assert parts["points"] == pytest.approx(10)
    assert total.item() == pytest.approx(parts["face"] + 2 + 2.5, abs=1e-4)


def test_miniature_training_resumes_and_predicts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    samples = [_drawn(rng, n) for n in range(24)]
    model = method.MTCNN.tiny()
    model.run_folder = tmp_path / "run"
    said: list[str] = []

    def stop(share: float, text: str) -> None:
        if text.startswith("onet"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(samples, seed=1, progress=stop)
    assert model.markup is None
    model.fit(samples, seed=1, progress=lambda share, text: said.append(text))
    assert said
    assert all(text.startswith("onet") for text in said)  # the first two stages were done
    assert {p.name for p in (tmp_path / "run").glob("*.onnx")} == {"pnet.onnx", "rnet.onnx", "onet.onnx"}
    assert not list((tmp_path / "run").glob("*.checkpoint.pt"))
    test = _drawn(rng, 99)
    assert test.shape is not None
    points = model.predict(test.image, test.box).points
    eyes = np.linalg.norm(test.shape.points[0] - test.shape.points[1])
    assert np.linalg.norm(points - test.shape.points, axis=1).mean() < 0.5 * eyes
    saved = method.MTCNN.load(model.save(tmp_path / "saved"))
    assert np.array_equal(saved.predict(test.image, test.box).points, points)


def _drawn(rng: np.random.Generator, number: int) -> Sample:
    """A face of five dots and its canonical box, on a dim ground."""
    import cv2

    from meanshape.core.shape import Shape

    image = rng.integers(60, 90, (120, 120, 3), dtype=np.uint8)
    size, centre = rng.uniform(40, 60), rng.uniform(50, 70, 2)
    five = np.array([[-0.25, -0.2], [0.25, -0.2], [0, 0.05], [-0.18, 0.3], [0.18, 0.3]]) * size + centre
    cv2.ellipse(
        image, tuple(map(int, centre)), (int(size * 0.5), int(size * 0.6)), 0, 0, 360, (200, 170, 150), -1
    )
    for x, y in five:
        cv2.circle(image, (round(x), round(y)), max(2, int(size / 14)), (30, 20, 20), -1)
    box = Box(*(centre - size * 0.5), *(centre + size * 0.55))
    return Sample(str(number), image, Shape(five, "mtfl5"), box)


def test_settings_out_of_range_are_refused() -> None:
    detector = registry.detector("mtcnn")
    for wrong in (
        {"min_face": 3},
        {"factor": 1.2},
        {"thresholds": (0.5, 0.5)},
        {"thresholds": (0.5, 0.5, 3)},
    ):
        with pytest.raises(ConfigError):
            detector(**wrong)


@needs_weights
def test_its_box_reaches_from_forehead_to_chin() -> None:
    detector = registry.detector("mtcnn")()
    box = Box(10, 20, 60, 80)
    assert np.allclose(detector.head(detector.canonical(box)).as_list(), box.as_list())
    image = scene(1, size=(320, 240), faces=2, occlusion=0, degrade=False)[0]
    own = detector.cascade.find(image, min_face=40)
    for face, row in zip(detector.detect(image), own.boxes.tolist(), strict=True):
        canonical = Box(*row).part(detector.cascade.config.canonical)
        assert np.allclose(detector.canonical(face.box).as_list(), canonical.as_list())
        assert face.box.top < canonical.top and face.box.bottom > canonical.bottom  # forehead and chin


@needs_weights
@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (11, 11), (37, 60), (700, 500)])
def test_pictures_of_any_size_without_faces_have_none(shape: tuple[int, int]) -> None:
    detector = registry.detector("mtcnn")()
    ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    assert detector.detect(ramp) == ()
    assert detector.detect(np.zeros(shape, np.uint8)) == ()


@needs_weights
def test_no_windows_go_through_all_stages() -> None:
    nothing = cascade.Windows(np.empty((0, 4)), np.empty(0))
    crops = cascade.Crops(np.zeros((50, 50, 3), np.uint8))
    net = registry.detector("mtcnn")().cascade
    assert len(cascade.refine(crops, net.rnet, nothing, 0.5)) == 0
    last = cascade.conclude(crops, net.onet, nothing, 0.5)
    assert last.points is not None
    assert last.points.shape == (0, 5, 2)


def test_the_mirrored_look_answers_in_the_picture_s_own_coordinates() -> None:
    def net(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the brightest column and say it five times, and twice as the box's sides."""
        column = pixels.mean((1, 2)).argmax(1) / (pixels.shape[3] - 1)
        points = np.concatenate([np.tile(column[:, None], 5), np.full((len(column), 5), 0.25)], axis=1)
        box = np.stack([column, np.full_like(column, 0.1), column - 1, np.full_like(column, -0.1)], axis=1)
        return np.full(len(column), 0.5), box.astype(np.float32), points.astype(np.float32)

    pixels = np.zeros((2, 48, 48, 3), np.uint8)
    pixels[0, :, 10], pixels[1, :, 40] = 255, 255
    once, twice = cascade.answer(net, pixels, False), cascade.answer(net, pixels, True)
    for a, b in zip(once, twice, strict=True):
        assert np.allclose(a, b, atol=1e-6)


@pytest.mark.data
@needs_weights
def test_real_faces_are_found_wherever_they_lie() -> None:
    from meanshape.datasets import mtfl

    detector = registry.detector("mtcnn")()
    for sample in mtfl.samples(DATA / "mtfl", "validation")[:200:20]:
        image, box = sample.pixels(), sample.box
        assert box is not None
        assert sample.shape is not None
        best = max(detector.detect(image), key=lambda face: detector.canonical(face.box).iou(box))
        assert detector.canonical(best.box).iou(box) > 0.5
        assert best.shape is not None
        eyes = np.linalg.norm(sample.shape.points[0] - sample.shape.points[1])
        assert np.linalg.norm(best.shape.points - sample.shape.points, axis=1).mean() < 0.2 * eyes
        left, top, right, bottom = (round(v) for v in box.as_list())
        filling = image[max(top, 0) : bottom, max(left, 0) : right]
        assert len(detector.detect(filling)) == 1  # the face is the whole picture


@pytest.mark.data
@needs_weights
def test_two_hundred_faces_in_one_picture_are_found() -> None:
    from meanshape.core.image import crop
    from meanshape.datasets import mtfl

    samples = mtfl.samples(DATA / "mtfl", "validation")[:40]
    tiles = [crop(s.pixels(), s.box.scaled(1.5), 80)[0] for s in samples if s.box]
    row = [np.hstack([tiles[(20 * r + c) % len(tiles)] for c in range(20)]) for r in range(10)]
    faces = registry.detector("mtcnn")().detect(np.vstack(row))
    assert 190 <= len(faces) <= 210
    scores = [face.score or 0.0 for face in faces]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.data
@needs_weights
def test_photos_without_people_have_no_faces() -> None:
    detector = registry.detector("mtcnn")()
    held_out = sorted((DATA / "no_people").glob("*.jpg"))[::6]
    assert sum(len(detector.detect(path)) for path in held_out[:20]) == 0


def test_no_face_is_learnt_from_points_that_fall_together() -> None:
    pytest.importorskip("torch")
    from meanshape.methods.mtcnn.training import gather

    picture, box = np.zeros((60, 60, 3), np.uint8), Box(5, 5, 55, 55)
    with pytest.raises(BoxError, match="left < right"):
        gather([Sample("one", picture, Shape(np.full((68, 2), 30.0), "ibug68"), box)])

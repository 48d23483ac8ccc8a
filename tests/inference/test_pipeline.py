"""One photo in, its faces out."""

import copy
import pickle
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from PIL import Image

import meanshape as ms
from meanshape import Box, Face
from meanshape.core import registry, weights
from meanshape.datasets.synthetic import face as rendered
from meanshape.detectors.base import FaceDetector
from meanshape.detectors.given import Given
from meanshape.detectors.whole_image import WholeImage
from meanshape.inference import Pipeline
from meanshape.inference import kept as module
from meanshape.inference.tracking import Tracker

shipped = pytest.mark.skipif("mtcnn" not in weights.names(), reason="the weights of mtcnn are not here")


class Grid(FaceDetector):
    """Finds as many faces as it was told, and maps its boxes to half their size."""

    name = "grid"

    def __init__(self, count: int) -> None:
        self.count, self.asked = count, {}

    def _detect(self, image: Any, **options: Any) -> Iterable[Face]:
        self.asked, self.seen = options, image
        return [Face(Box(10 * i, 0, 10 * i + 8, 8), score=1 - i / 1000) for i in range(self.count)]

    def canonical(self, box: Box) -> Box:
        return box.scaled(0.5)


def made(model_folder, detector="whole_image", **options):
    return Pipeline(detector, model_folder, **options)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "array", "pil"])
def test_a_photo_may_come_in_any_form(kind, photo, model_folder):
    path = photo(size=(64, 48))
    image = {
        "path": lambda: path,
        "text": lambda: str(path),
        "bytes": path.read_bytes,
        "array": lambda: np.asarray(Image.open(path)),
        "pil": lambda: Image.open(path),
    }[kind]()
    prediction = made(model_folder)(image)
    assert isinstance(prediction, ms.Prediction) and prediction.size == (64, 48)
    assert len(prediction.faces) == 1 and len(prediction.faces[0].shape) == 68
    assert prediction.source == (str(path) if kind in ("path", "text") else None)
    assert prediction.model == str(model_folder) and prediction.seconds > 0


def test_points_lie_in_the_canonical_box_and_the_box_is_the_detectors(model_folder, mean_face):
    prediction = made(model_folder, Grid(2))(np.zeros((20, 40, 3), np.uint8))
    first = prediction.faces[0]
    assert first.box.as_list() == [0, 0, 8, 8] and first.score == 1
    np.testing.assert_allclose(first.shape.points, Box(2, 2, 6, 6).absolute(mean_face), atol=1e-6)


def test_nothing_found_is_an_empty_prediction(model_folder):
    prediction = made(model_folder, Grid(0))(np.zeros((20, 40, 3), np.uint8))
    assert prediction.faces == () and prediction.error is None


def test_two_hundred_faces_keep_their_order(model_folder):
    prediction = made(model_folder, Grid(200))(np.zeros((20, 2000, 3), np.uint8))
    assert [face.box.left for face in prediction.faces] == [10 * i for i in range(200)]
    for face in prediction.faces:
        x = face.shape.points[:, 0]
        assert face.box.left <= x.min() and x.max() <= face.box.right


def test_only_the_best_faces_are_kept(model_folder):
    found = made(model_folder, Grid(5), max_faces=2)(np.zeros((20, 60, 3), np.uint8)).faces
    assert [face.score for face in found] == [1, 0.999]


def test_own_boxes_take_the_detectors_place(model_folder, mean_face):
    own = Box(3, 4, 13, 24)
    (face,) = made(model_folder, Grid(5))(np.zeros((30, 30, 3), np.uint8), boxes=[own]).faces
    assert face.box == own
    np.testing.assert_allclose(face.shape.points, own.absolute(mean_face), atol=1e-6)


def test_a_box_cut_by_the_border_is_fine_and_one_outside_is_not(model_folder):
    pipeline, pixels = made(model_folder), np.zeros((30, 30, 3), np.uint8)
    assert len(pipeline(pixels, boxes=[Box(-20, -20, 10, 10)]).faces) == 1
    with pytest.raises(ms.BoxError, match="outside the picture of 30 x 30"):
        pipeline(pixels, boxes=[Box(40, 0, 50, 10)])
    with pytest.raises(ms.BoxError, match="finite"):
        Box(0, 0, float("nan"), 1)


def test_a_detector_that_looks_outside_is_named(model_folder):
    class Away(Grid):
        name = "away"

        def _detect(self, image: Any) -> Iterable[Face]:
            return [Face(Box(40, 0, 50, 10))]

    said = r"detector away: box \[40.0, 0.0, 50.0, 10.0\] lies outside the picture of 30 x 30"
    pipeline, pixels = made(model_folder, Away(1)), np.zeros((30, 30, 3), np.uint8)
    with pytest.raises(ms.BoxError, match=said):
        pipeline(pixels)
    with pytest.raises(ms.BoxError, match=said):
        Tracker(pipeline)(pixels, 0.0)


def test_points_come_in_the_mark_up_that_is_asked_for(model_folder, photo):
    path = photo()
    (face,) = made(model_folder, markup="mtfl5")(path).faces
    (whole,) = made(model_folder)(path).faces
    assert face.shape == whole.shape.to("mtfl5")


def test_bgr_arrays_are_turned(model_folder):
    detector, pixels = Grid(0), np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 200
    made(model_folder, detector, color="bgr")(pixels)
    assert (detector.seen[0, 0] == (0, 0, 200)).all()


def test_the_detector_hears_the_smallest_face(model_folder, photo):
    detector = Grid(0)
    made(model_folder, detector, min_face=77)(photo())
    assert detector.asked["min_face"] == 77
    made(model_folder, detector)(photo())
    assert "min_face" not in detector.asked  # its own counts


@shipped
def test_a_detector_that_was_made_already_hears_the_smallest_face(model_folder):
    scene = Image.fromarray(rendered(2, 160, occlusion=0, yaw=0, degrade=False).pixels())
    small, large = (registry.detector("mtcnn")(min_face=size) for size in (40, 300))
    for detector, options, found in ((small, {}, 1), (large, {}, 0), (small, {"min_face": 300}, 0)):
        assert len(made(model_folder, detector, **options)(scene).faces) == found
    assert len(made(model_folder, large, min_face=40)(scene).faces) == 1


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"min_face": 3}, ms.ConfigError, "min_face"),
        ({"min_face": float("nan")}, ms.ConfigError, "min_face"),
        ({"min_face": 50}, ms.ConfigError, "whole_image does not search"),
        ({"threads": 0}, ms.ConfigError, "threads"),
        ({"color": "hsv"}, ms.ConfigError, "color"),
        ({"max_faces": 0}, ms.ConfigError, "max_faces"),
        ({"markup": "mtfl"}, ms.UnknownName, "did you mean 'mtfl5'"),
        ({"providers": ["CPU"]}, ms.ConfigError, "no provider 'CPU'"),
        ({"licence": "free"}, ms.ConfigError, "permissive"),
        ({"turns": "all"}, ms.ConfigError, "whole_image does not search"),
        ({"min_face": "a"}, ms.ConfigError, "min_face must be a number"),
        ({"threads": "2"}, ms.ConfigError, "threads must be"),
        ({"max_faces": 1.5}, ms.ConfigError, "max_faces must be a whole number from 1 on, not 1.5"),
        ({"max_faces": True}, ms.ConfigError, "max_faces"),
        ({"threads": 2.0}, ms.ConfigError, "threads must be a whole number from 1 on, not 2.0"),
        ({"min_face": "80"}, ms.ConfigError, "min_face must be a number, not '80'"),
        ({"stages": True}, ms.ConfigError, "stages"),
        ({"stages": "a"}, ms.ConfigError, "stages"),
        ({"markup": 3}, ms.ConfigError, "markup is a name"),
        ({"model": 3}, ms.ConfigError, "a model is a name"),
        ({"detector": len}, ms.ConfigError, "a detector is a name"),
        ({"detector": "whole_imge"}, ms.UnknownName, "did you mean 'whole_image'"),
    ],
)
def test_wrong_options_are_said_before_any_photo(options, error, said, model_folder):
    with pytest.raises(error, match=said):
        Pipeline(**{"detector": "whole_image", "model": model_folder, **options})


def test_a_ready_model_and_detector_may_be_given(model_folder, photo):
    model = ms.load(model_folder)
    assert Pipeline(WholeImage(), model)(photo()).model == "mean_shape"


def test_detect_keeps_one_pipeline_for_each_set_of_options(model_folder, photo, monkeypatch):
    counted = []
    monkeypatch.setattr(module, "Pipeline", lambda **options: counted.append(1) or Pipeline(**options))
    module._pipeline.cache_clear()
    options = {"detector": "whole_image", "model": str(model_folder)}
    for _ in range(3):
        assert len(ms.detect(photo(), **options).faces) == 1
    for settings in ({"markup": "mtfl5"}, {"max_faces": 1, "color": "bgr"}):  # the networks stay
        assert ms.detect(photo(), **options, **settings).faces
    assert len(counted) == 1
    ms.detect(photo(), providers=[("CPUExecutionProvider", {})], **options)
    assert len(counted) == 2
    module._pipeline.cache_clear()


def test_detect_sees_that_a_model_was_trained_anew(model_folder, photo, tmp_path):
    own = shutil.copytree(model_folder, tmp_path / "mine")
    options = {"detector": "whole_image", "model": own}
    before = ms.detect(photo(), **options).faces[0].shape
    model = ms.load(own)
    sample = ms.Sample("one", photo(), before.with_points(before.points + 5), Box(10, 20, 110, 140))
    type(model)().fit([sample]).save(own)
    after = ms.detect(photo(), **options).faces[0].shape
    assert after == Pipeline(**options)(photo()).faces[0].shape != before


def test_settings_change_without_new_networks(model_folder, photo):
    pipeline = made(model_folder, Grid(5))
    other = pipeline.with_settings(max_faces=2, min_face=50)
    assert other.model is pipeline.model and other.detector is pipeline.detector
    assert (len(pipeline(photo()).faces), len(other(photo()).faces)) == (5, 2)
    assert pipeline.max_faces is None
    for wrong, said in (
        ({"threads": 2}, "make another"),
        ({"max_faces": 0}, "max_faces"),
        ({"stages": 2}, "stages"),
    ):
        with pytest.raises(ms.ConfigError, match=said):
            pipeline.with_settings(**wrong)


def test_a_pipeline_is_made_again_in_another_process(model_folder, photo):
    pipeline = made(model_folder, Given([Box(1, 2, 30, 40)]), markup="mtfl5").with_settings(max_faces=1)
    for other in (pickle.loads(pickle.dumps(pipeline)), copy.deepcopy(pipeline), copy.copy(pipeline)):
        assert other(photo()).faces == pipeline(photo()).faces
        assert (other.markup, other.max_faces) == ("mtfl5", 1)
    plain = made(model_folder, max_faces=1)
    one, other = (pickle.loads(pickle.dumps(plain)) for _ in range(2))
    assert one.model is other.model  # a pool unpickles it for each task
    module._pipeline.cache_clear()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        (found,) = pool.map(pipeline, [str(photo())])
    assert found.faces == pipeline(photo()).faces


def test_a_broken_photo_is_an_error_of_the_caller(model_folder, tmp_path):
    with pytest.raises(ms.ImageError, match="no such file"):
        made(model_folder)(tmp_path / "none.jpg")


def test_permissive_refuses_research_weights(tmp_path, monkeypatch, model_folder):
    from meanshape.core import weights
    from meanshape.inference import choice

    for name, free in (("dan", "false"), ("dan_synthetic", "true"), (choice.DETECTOR, "false")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.toml").write_text(
            f'name = "{name}"\nmethod = "dan"\nmarkup = "ibug68"\nlicence = "terms"\n'
            f"commercial_use = {free}\n"
        )
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert choice.model_name(None, "any") == choice.MODEL
    assert choice.model_name(None, "permissive") == "dan_synthetic"
    with pytest.raises(ms.ConfigError, match="terms; these may be used: dan_synthetic"):
        choice.model_name("dan", "permissive")
    with pytest.raises(ms.ConfigError, match="detector both"):
        choice.detector_name(None, "permissive")
    assert choice.detector_name("whole_image", "permissive") == "whole_image"


def test_permissive_needs_no_research_weights():
    """The weights of `--licence permissive`, model and detector, find a rendered face."""
    from meanshape.core import weights

    pipeline = Pipeline(licence="permissive")
    for name in (pipeline.name, pipeline.detector.name):
        assert weights.read_card(weights.folder(name)).commercial_use, name
    sample = rendered(3, 160, yaw=0, occlusion=0, degrade=False)
    best = pipeline(sample.pixels()).faces[0]
    error = np.hypot(*(best.shape.points - sample.shape.points).T).mean()
    assert error < 0.06 * np.hypot(*(sample.shape.points[45] - sample.shape.points[36]))
    with pytest.raises(ms.ConfigError, match="take --detector mtcnn_synthetic"):
        Pipeline(licence="permissive", detector="mtcnn")

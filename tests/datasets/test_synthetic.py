"""Rendered faces: deterministic, exact, and turned the way their labels say."""

from __future__ import annotations

import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.errors import ConfigError, DataSetError, OutputError
from meanshape.datasets import load_data
from meanshape.datasets.synthetic import (
    EMOTIONS,
    Options,
    clutter,
    face,
    miniature,
    samples,
    scene,
    verify,
    write,
    write_clutter,
)
from meanshape.datasets.synthetic.generate import plan

PLAIN = {"occlusion": 0, "degrade": False, "clutter": 0, "glasses": False}


def still(seed=1, **options):
    return face(seed, 64, **{"emotion": "neutral", "pitch": 0, "yaw": 0, "roll": 0, **PLAIN, **options})


def test_same_seed_same_picture_other_seed_other_picture():
    one, again, other = face(3, 64), face(3, 64), face(4, 64)
    assert np.array_equal(one.pixels(), again.pixels()) and one.shape == again.shape
    assert one.attributes == again.attributes
    assert not np.array_equal(one.pixels(), other.pixels())


def test_sample_is_whole():
    sample = face(5, 96)
    assert sample.pixels().shape == (96, 96, 3) and sample.pixels().dtype == np.uint8
    assert sample.shape.markup.name == "ibug68" and sample.shape.visible.dtype == bool
    assert sample.box == sample.shape.box()
    assert sample.attributes["emotion"] in EMOTIONS
    assert {"pitch", "yaw", "roll", "smile", "glasses", "pose"} <= set(sample.attributes)


@pytest.mark.parametrize("seed", range(6))
def test_points_lie_inside_and_most_are_seen(seed):
    sample = face(seed, 64, occlusion=0)
    assert (sample.shape.points > 0).all() and (sample.shape.points < 63).all()
    assert sample.shape.visible[17:].mean() > 0.6


def test_pose_signs():
    """+yaw and +roll are toward the subject's right, which is the picture's left; +pitch is up."""
    front = still().shape.points

    def nose(sample):  # nose tip by the middle of the outer eye corners, in eye distances
        p = sample.shape.points
        return (p[30] - (p[36] + p[45]) / 2) / np.linalg.norm(p[45] - p[36])

    straight = nose(still())
    assert nose(still(yaw=25))[0] < straight[0] - 0.1
    assert nose(still(yaw=-25))[0] > straight[0] + 0.1
    assert nose(still(pitch=20))[1] < straight[1] - 0.05
    assert nose(still(pitch=-20))[1] > straight[1] + 0.05
    rolled = still(roll=20).shape.points
    for first, second in ((36, 45), (27, 8)):  # the top of the head goes to the picture's left
        before, after = front[second] - front[first], rolled[second] - rolled[first]
        turned = np.arctan2(before[1], before[0]) - np.arctan2(after[1], after[0])
        assert np.degrees(turned) == pytest.approx(20, abs=3)


def test_pose_labels_are_those_of_mtfl():
    labels = [face(1, 32, yaw=yaw).attributes["pose"] for yaw in (60, 25, 0, -25, -60)]
    assert labels == ["left profile", "left", "frontal", "right", "right profile"]
    assert set(labels) == set(registry.dataset("mtfl").card.labels["pose"])


def test_points_are_ordered_as_ibug68():
    p, q = still().shape.points, still().shape.mirrored(64).points
    assert p[0, 0] < p[36, 0] < p[39, 0] < p[27, 0] < p[42, 0] < p[45, 0] < p[16, 0]
    assert p[24, 1] < p[44, 1] < p[30, 1] < p[51, 1] < p[57, 1] < p[8, 1]
    assert np.abs((p - p.mean(0)) - (q - q.mean(0))).max() < 4  # a face is nearly its own mirror image


def test_points_lie_on_what_they_name():
    """Eyes are darker than the cheek below, nostrils than the ridge of the nose."""
    darker = 0
    for seed in range(8):
        sample = face(seed, 128, emotion="neutral", pitch=0, yaw=0, roll=0, **PLAIN)
        grey, p = sample.pixels().mean(-1), sample.shape.points

        def at(point, grey=grey):
            x, y = np.round(point).astype(int)
            return grey[y - 1 : y + 2, x - 1 : x + 2].mean()

        darker += at(p[36:42].mean(0)) < at(p[41] + (0, 8))
        darker += at((p[32] + p[31]) / 2) < at((p[30] + p[29]) / 2)
    assert darker >= 13


@pytest.mark.parametrize("yaw", [0, 20, -40])
def test_the_jaw_is_marked_evenly_along_the_visible_contour(yaw):
    """As in 300-W: by spacing in the picture, the last steps to the chin a little shorter."""
    jaw = still(3, yaw=yaw).shape.points[:17]
    for half in (jaw[:9], jaw[:7:-1]):
        steps = np.linalg.norm(np.diff(half, axis=0), axis=1)
        assert steps[:7].std() / steps[:7].mean() < 0.06
        assert 0.8 < steps[7] / steps[:7].mean() < 1.0


def test_a_picture_without_a_face(tmp_path):
    """Things and heads from behind; a detector that photos have taught finds nobody there."""
    from meanshape.detectors.mtcnn import MTCNN

    pictures = [clutter(seed, (240, 180)) for seed in range(6)]
    assert all(p.shape == (180, 240, 3) and p.dtype == np.uint8 for p in pictures)
    assert np.array_equal(pictures[2], clutter(2, (240, 180)))
    assert not np.array_equal(pictures[2], pictures[3])
    assert sum(len(MTCNN().detect(picture)) for picture in pictures) <= 1
    assert len(list(write_clutter(tmp_path / "empty", 2).glob("*.jpg"))) == 2


def test_expressions_move_the_mouth_and_the_brows():
    def mean(emotion, measure):
        return np.mean([measure(still(seed, emotion=emotion).shape.points) for seed in range(6)])

    def opening(p):
        return (p[66, 1] - p[62, 1]) / (p[45, 0] - p[36, 0])

    def brow(p):
        return (p[36:48, 1].mean() - p[17:27, 1].mean()) / (p[45, 0] - p[36, 0])

    assert mean("surprise", opening) > mean("neutral", opening) + 0.1
    assert mean("surprise", brow) > mean("anger", brow) + 0.05
    assert still(2, emotion="happy").attributes["smile"] == "smiling"


def test_one_person_in_many_pictures():
    first, second = (plan(seed, 64, Options(identity=3)) for seed in (5, 6))
    other = plan(5, 64, Options())
    assert np.array_equal(first.figure.person.offsets, second.figure.person.offsets)
    assert first.attributes["yaw"] == other.attributes["yaw"] != second.attributes["yaw"]
    assert not np.array_equal(first.figure.person.offsets, other.figure.person.offsets)


def test_size_changes_pixels_not_geometry():
    small, large = face(7, 64), face(7, 128)
    assert np.allclose(large.shape.points, small.shape.points * 2 + 0.5, atol=1e-2)


def test_scene_has_many_faces_in_the_picture():
    picture, shapes = scene(2, (320, 240), faces=4)
    assert picture.shape == (240, 320, 3) and len(shapes) >= 3
    boxes = [shape.box() for shape in shapes]
    assert all(b.left > 0 and b.top > 0 and b.right < 320 and b.bottom < 240 for b in boxes)
    assert all(boxes[i].iou(boxes[j]) < 0.1 for i in range(len(boxes)) for j in range(i))
    again, _ = scene(2, (320, 240), faces=4)
    assert np.array_equal(picture, again)


def test_data_argument_and_splits():
    train, valid = load_data("synthetic:4@48:train"), load_data("synthetic:4@48:validation")
    assert len(train) == 4 and train[0].pixels().shape == (48, 48, 3) and train[0].split == "train"
    assert not np.array_equal(train[0].pixels(), valid[0].pixels())
    assert np.array_equal(train[1].pixels(), samples("4@48")[1].pixels())
    assert len(samples(count=3, size=32, seed=9)) == 3
    with pytest.raises(DataSetError, match="COUNT@SIZE"):
        samples("1@2@3@4")
    with pytest.raises(ConfigError, match="fill"):
        face(1, hue=3)


def test_miniature_reads_back_and_faults_are_found(tmp_path):
    root = miniature(tmp_path / "gesichter ü")
    everything = samples(root)
    assert len(everything) == 6 and len(samples(root, "test")) == 2 and verify(root) == []
    assert everything[0].shape.visible is not None and "hidden" not in everything[0].attributes
    (root / "test" / "000001.pts").unlink()
    assert [p.kind for p in verify(root)] == ["missing"]
    with pytest.raises(DataSetError, match="missing"):
        samples(root)
    assert len(samples(root, allow_missing=True)) == 5
    with pytest.raises(DataSetError, match="no split"):
        samples("3", "nowhere")


def test_what_is_trained_on_it_alone_can_be_trained_on():
    """Its torch weights are left out of the package: they are read off its graph."""
    torch = pytest.importorskip("torch")
    import numpy as np

    import meanshape as ms
    from meanshape.core import weights
    from meanshape.core.errors import WeightsError
    from meanshape.methods.dan.training import build
    from meanshape.methods.onnx.state import start_from

    folder = weights.folder("dan_synthetic")
    assert weights.read_card(folder).bytes(folder) <= 6e6
    model = ms.load("dan_synthetic")
    module = build(model.config, np.load(folder / "mean.npy")).eval()
    start_from(module, folder)
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    with torch.no_grad():
        found = module(torch.from_numpy(crops).permute(0, 3, 1, 2).float())[-1].numpy()
    assert np.abs(found - model._run(crops, stages=2)[0][:, -1]).max() < 0.05
    with pytest.raises(WeightsError, match="none of its weights has the shape"):
        start_from(torch.nn.Linear(1, 1), folder)


def test_write_goes_through_no_link_in_the_folder(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "labels.json").symlink_to(elsewhere / "labels.json")
    write(folder, 1, 32)
    assert not (folder / "labels.json").is_symlink() and not list(elsewhere.iterdir())
    (folder / "test").symlink_to(elsewhere)
    with pytest.raises(OutputError, match="a link, which is not followed"):
        write(folder, 1, 32, splits=("test",))
    assert not list(elsewhere.iterdir())

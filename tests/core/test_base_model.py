"""What `LandmarkModel` does for every method, shown on the simplest one."""

import numpy as np
import pytest
from PIL import Image

from meanshape.core.box import Box
from meanshape.core.errors import ConfigError, ImageError, NotFitted, ShapeError, WeightsError
from meanshape.core.markup import Conversion, MarkUp
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.methods.mean_shape import MODEL, relative_mean

FACE = np.random.default_rng(0).uniform(0, 1, (68, 2))
GREY = np.zeros((40, 30), np.uint8)


def turned(angle, scale=1.0, shift=(0.0, 0.0)):
    cos, sin = np.cos(angle), np.sin(angle)
    return (FACE - 0.5) @ np.array([[cos, sin], [-sin, cos]]) * scale + shift


def samples(*shapes, **more):
    return [Sample(str(i), GREY, Shape(points), **more) for i, points in enumerate(shapes)]


@pytest.fixture
def model():
    return MODEL().fit(samples(turned(0.2, 50, (100, 90)), turned(-0.2, 20, (300, 50)), turned(0, 80)))


def test_the_mean_fills_the_canonical_box(model):
    box = Box(10, 20, 110, 140)
    shape = model.predict(GREY, box)
    assert np.allclose(shape.box().as_list(), box.as_list(), atol=12)
    upright = Box.around(FACE).relative(FACE)
    assert np.abs(box.relative(shape.points) - upright).max() < 0.1


def test_one_shape_is_its_own_mean():
    mean = MODEL().fit(samples(turned(0.3, 50))).mean
    assert np.allclose(mean, Box.around(turned(0.3, 50)).relative(turned(0.3, 50)), atol=1e-9)


def test_given_boxes_are_kept_and_missing_points_do_not_count():
    holes = turned(0, 50)
    holes[:30] = np.nan
    box = Box(-100, -100, 100, 100)
    mean = relative_mean([Sample("a", GREY, Shape(holes), box), Sample("b", GREY, Shape(turned(0, 50)), box)])
    assert np.allclose(mean, box.relative(turned(0, 50)), atol=1e-6)


def test_no_box_is_the_whole_picture(model):
    assert model.predict(GREY) == model.predict(GREY, Box.whole(30, 40))


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        np.zeros((40, 30, 4), np.uint8),
        np.zeros((40, 30), np.uint16),
        np.zeros((80, 60, 3), np.uint8)[::2, ::-2],
        Image.new("CMYK", (30, 40)),
    ],
)
def test_any_picture_will_do(model, image):
    assert model.predict(image) == model.predict(GREY)


def test_a_path_will_do(model, tmp_path):
    Image.new("L", (30, 40)).save(tmp_path / "a.png")
    assert model.predict(tmp_path / "a.png") == model.predict(GREY)
    with pytest.raises(ImageError, match="no such file"):
        model.predict(tmp_path / "b.png")


def test_a_batch_of_mixed_sizes_is_each_alone(model):
    images = [GREY, np.zeros((7, 9, 3), np.uint8)]
    boxes = [Box(1, 2, 3, 4), None]
    alone = [model.predict(image, box) for image, box in zip(images, boxes, strict=True)]
    assert model.predict_batch(images, boxes) == alone
    assert model.predict_batch([]) == []
    with pytest.raises(ShapeError, match="2 images came with 1 boxes"):
        model.predict_batch(images, [None])


def test_before_fit():
    with pytest.raises(NotFitted, match="mean_shape was neither fitted nor loaded"):
        MODEL().predict(GREY)
    with pytest.raises(NotFitted):
        MODEL().save("nowhere")


def test_what_cannot_be_fitted():
    with pytest.raises(ShapeError, match="none of 0 samples"):
        MODEL().fit([])
    with pytest.raises(ShapeError, match="one mark-up, not ibug68 and mtfl5"):
        MODEL().fit([*samples(FACE), Sample("b", GREY, Shape(np.eye(5, 2), "mtfl5"))])
    broken = MODEL()
    with pytest.raises(ShapeError, match="needs samples"):
        broken.fit([Sample("a", GREY, Shape(np.full((68, 2), np.nan)), Box(0, 0, 1, 1))])
    with pytest.raises(NotFitted):
        broken.predict(GREY)
    with pytest.raises(ConfigError, match="takes a Config"):
        MODEL(config=3)


def test_save_and_load(model, tmp_path):
    folder = model.save(tmp_path / "runs" / "mean")
    assert sorted(path.name for path in folder.iterdir()) == ["card.toml", "config.toml", "mean.npz"]
    again = MODEL.load(folder)
    assert again.predict(GREY) == model.predict(GREY)
    assert again.config == model.config
    model.save(folder)  # over an old one
    assert MODEL.load(folder).predict(GREY) == model.predict(GREY)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mean"]


def test_a_mark_up_of_ones_own_travels_with_the_model(tmp_path):
    kind = MarkUp(
        "brows2",
        ("right_brow", "left_brow"),
        groups={"brows": (0, 1)},
        edges=((0, 1),),
        inter_ocular=(0, 1),
        conversions={"mtfl5": Conversion("mtfl5", ((0,), (1,), (), (), ()), "all but the brows")},
    )
    own = [Sample(f"{n}", GREY, Shape([[5, 5 + n], [20, 6]], kind), Box(0, 0, 30, 30)) for n in range(3)]
    model = MODEL().fit(own)
    folder = model.save(tmp_path / "own")
    again = MODEL.load(folder)
    assert again.markup == kind
    assert again.predict(GREY, Box(0, 0, 30, 30)) == model.predict(GREY, Box(0, 0, 30, 30))
    text = (folder / "markup.toml").read_text("utf-8")
    (folder / "markup.toml").write_text(text.replace("brows2", "brows3"), "utf-8")
    with pytest.raises(WeightsError, match=r"markup\.toml"):
        MODEL.load(folder)


def test_save_writes_through_no_link_in_the_folder(model, tmp_path, monkeypatch):
    def _save(self, folder):
        (folder / "parts").mkdir()
        (folder / "parts/first.npy").write_bytes(b"mine")
        (folder / "plain.npy").write_bytes(b"mine")

    monkeypatch.setattr(MODEL, "_save", _save)
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    run.mkdir()
    (run / "parts").symlink_to(elsewhere)
    (run / "plain.npy").symlink_to(elsewhere / "plain.npy")
    model.save(run)
    assert not list(elsewhere.iterdir())
    assert (run / "parts/first.npy").read_bytes() == (run / "plain.npy").read_bytes() == b"mine"
    assert not (run / "parts").is_symlink() and not (run / "plain.npy").is_symlink()


def test_a_failing_save_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(folder):
        (folder / "half.npz").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(model, "_save", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path / "mean")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_method_are_refused(model, tmp_path):
    folder = model.save(tmp_path / "mean")
    card = folder / "card.toml"
    card.write_text(card.read_text().replace('"mean_shape"', '"dan"'))
    with pytest.raises(WeightsError, match="weights of dan, not of mean_shape"):
        MODEL.load(folder)


def test_fit_tells_its_progress():
    seen = []
    MODEL().fit(samples(FACE), progress=lambda share, text: seen.append(share))
    assert seen[-1] == 1.0

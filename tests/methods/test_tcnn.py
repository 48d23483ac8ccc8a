"""TCNN: the mixture, the choice of a head inside the graph, aligned views, clusters that nobody is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core.errors import ConfigError, DataSetError  # noqa: E402
from meanshape.core.sample import Sample  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.tcnn import (  # noqa: E402
    TCNN,
    Config,
    training,
)
from meanshape.methods.tcnn import network as nets  # noqa: E402
from meanshape.methods.tcnn.training import clusters  # noqa: E402
from meanshape.methods.tcnn.training import heads as learning  # noqa: E402
from meanshape.training.tensor_augmentation import TensorAugmentation  # noqa: E402
from meanshape.training.tensors import FaceTensors, TensorSampler  # noqa: E402

MEAN = [[0.3, 0.2], [0.7, 0.2], [0.5, 0.45], [0.3, 0.7], [0.7, 0.7]]


@pytest.fixture(scope="module")
def faces() -> list[Sample]:
    made = [synthetic.face(seed, 96) for seed in range(16)]
    return [replace(s, shape=s.shape.to("mtfl5")) for s in made]


@pytest.fixture(scope="module")
def fitted(faces: list[Sample]) -> TCNN:
    torch.set_num_threads(1)
    config = replace(TCNN.tiny().config, looks=2, upright=0.4, steps=30, clusters=3, min_faces=3, aligned=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "HELD_OUT", 0.2)
        return TCNN(config).fit(faces, seed=1)


@pytest.fixture(scope="module")
def saved(fitted: TCNN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("tcnn") / "model")


@pytest.fixture
def parts(faces: list[Sample]) -> tuple[Config, nets.Vanilla, TensorSampler]:
    """An untrained vanilla network and a sampler."""
    config = TCNN.tiny().config
    torch.manual_seed(0)
    vanilla = nets.Vanilla(3, 40, config.widths, config.features, 10, "relu", True).eval()
    bank = FaceTensors(faces, faces[0].shape.markup)
    return config, vanilla, TensorSampler(bank, 40, 1.1, 8, TensorAugmentation())


def test_the_trunk_leaves_three_by_three() -> None:
    vanilla = nets.Vanilla(3, 40, (16, 48, 64, 64), 100, 10, "abs_tanh", False)
    assert vanilla.trunk.outputs == 576
    # 111 thousand, as VanillaCNN has them
    assert sum(p.numel() for p in vanilla.parameters()) == 111_046


def test_torch_and_onnx_agree_at_any_batch(fitted: TCNN, saved: Path, network: Any, by_torch: Any) -> None:
    loaded = TCNN.load(saved)
    rng = np.random.default_rng(0)
    for batch in (1, 2, 7):
        crops = rng.integers(0, 256, (batch, 64, 64, 3), np.uint8)
        (points, chosen), (found, same) = by_torch(network(fitted), crops), loaded._run(crops)
        assert points.shape == found.shape == (batch, 5, 2)
        assert np.abs(points - found).max() < 0.05
        assert np.array_equal(chosen, same)


def test_the_mixture_is_the_one_of_scikit_learn() -> None:
    """Scores, up to a constant of each row, are log weight plus log density."""
    rng = np.random.default_rng(0)
    weights, means = np.array([0.2, 0.5, 0.3]), rng.normal(0, 2, (3, 4))
    variances, x = rng.uniform(0.5, 2, (3, 4)), rng.normal(0, 2, (50, 4))
    mixture = nets.Mixture(4, 4, 3)
    mixture.set(*(torch.from_numpy(a).float() for a in (np.eye(4), np.zeros(4), weights, means, variances)))
    scores = mixture.scores(torch.from_numpy(x).float()).numpy()
    density = -0.5 * (((x[:, None] - means) ** 2 / variances) + np.log(variances)).sum(2) + np.log(weights)
    assert np.allclose(scores - scores[:, :1], density - density[:, :1], atol=1e-3)


def test_each_row_goes_through_the_head_of_its_cluster() -> None:
    heads = nets.Heads(3, 6, 5, 4, "relu")
    torch.manual_seed(0)
    for parameter in heads.parameters():
        torch.nn.init.normal_(parameter)
    features, which = torch.randn(7, 6), torch.tensor([2, 0, 1, 1, 2, 0, 2])
    found = heads(features, which)
    for row, head in enumerate(which):
        alone = heads.grouped(features[row].expand(3, 1, 6))[head, 0]
        assert torch.allclose(found[row], alone, atol=1e-5)


def test_heads_start_as_the_vanilla_network(parts: tuple[Config, nets.Vanilla, TensorSampler]) -> None:
    _, vanilla, sampler = parts
    heads = nets.Heads(2, vanilla.trunk.outputs, vanilla.fc5.out_features, 10, "relu")
    heads.start_from(vanilla)
    crops = torch.from_numpy(sampler.batch(0)["image"])
    answer = heads(vanilla.features(crops), torch.tensor([0, 1] * 4))
    assert torch.allclose(answer, vanilla(crops), atol=1e-5)


def test_aligned_views_lie_on_a_mate_and_stay_in_their_cluster(
    parts: tuple[Config, nets.Vanilla, TensorSampler],
) -> None:
    _, vanilla, sampler = parts
    views = clusters.random_views(vanilla, sampler, 8, 0)
    mixture = clusters.fit_mixture(views.features, 2, 4, 0)
    views = clusters.assign(mixture, views)
    more = clusters.aligned_views(vanilla, mixture, sampler, views, 6, 0)
    assert 0 < len(more) <= 48
    aligned_crop = mixture(torch.from_numpy(more.features)).numpy()
    assert np.array_equal(aligned_crop, more.cluster)
    for n in range(len(more)):  # the least-squares similarity keeps the middle of the points
        mates = views.points[views.cluster == more.cluster[n]].mean(1)
        assert np.linalg.norm(mates - more.points[n].mean(0), axis=1).min() < 0.01
    assert len(clusters.aligned_views(vanilla, mixture, sampler, views.take(np.zeros(0, int)), 2, 0)) == 0


def test_a_cluster_without_members_shares_the_vanilla_head(
    parts: tuple[Config, nets.Vanilla, TensorSampler],
    by_torch: Any,
) -> None:
    config, vanilla, sampler = parts
    config = replace(config, min_faces=2, tweak_steps=2)
    views = clusters.random_views(vanilla, sampler, 4, 0)
    views.cluster = np.where(np.arange(len(views)) % 2, 0, 2)  # nobody is in 1 and 3
    mixture = nets.Mixture(vanilla.trunk.outputs, 4, 4)
    face_crops = training.make_face_crops(config, np.full((5, 2), 0.5))
    learnt = training.tweak(config, face_crops, vanilla, mixture, views, views, 0)
    assert learnt.module.head.tolist() == [1, 0, 2, 0]
    assert learnt.log["shares the vanilla head"] == [False, True, False, True]
    assert np.isfinite(by_torch(learnt.module, np.zeros((1, 64, 64, 3), np.uint8))[0]).all()


def test_a_second_look_is_framed_by_what_the_first_answered(
    parts: tuple[Config, nets.Vanilla, TensorSampler],
) -> None:
    config, vanilla, sampler = parts
    face_crops = training.make_face_crops(replace(config, looks=2), np.array(MEAN))
    with torch.no_grad():  # a network that always answers the mean, wherever the face is
        for layer in (vanilla.fc6,):
            layer.weight.zero_(), layer.bias.zero_()
    views = clusters.random_views(vanilla, sampler, 2, 0, face_crops)
    assert len(views) == 32 and np.array_equal(views.index[:8], views.index[8:16])
    assert np.allclose(views.points[:8], views.points[8:16], atol=1e-3)
    with torch.no_grad():
        vanilla.fc6.bias[::2] += 0.5  # two pixels to the right: the crop follows
    views = clusters.random_views(vanilla, sampler, 2, 0, face_crops)
    assert np.allclose(views.points[:8] - [2, 0], views.points[8:16], atol=1e-3)


def test_a_head_keeps_the_share_that_serves_the_faces_set_aside() -> None:
    """Right answers lie half way to where training went for one cluster, and not that way for the other."""
    face_crops = training.make_face_crops(TCNN.tiny().config, np.array(MEAN))
    heads = nets.Heads(3, 4, 3, 10, "relu")
    before = learning.copy_parameters(heads)
    with torch.no_grad():
        heads.b6[1:] = 1.0
    right = np.zeros((8, 5, 2), np.float32) + face_crops.target().numpy()
    right[:4] += 0.5 * 4  # an answer of 0.5 is two pixels
    right[4:] -= 0.5 * 4
    blank = np.zeros(8, np.int64)
    stop = clusters.Views(
        blank, blank > 0, np.zeros((8, 2, 3)), right, np.full(8, 10, np.float32),
        np.zeros((8, 4), np.float32), np.repeat([0, 1], 4),
    )  # fmt: skip
    stop = stop.take(np.arange(4))
    chosen = learning.interpolate_to_validation(face_crops, heads, np.array([1, 2]), stop, before)
    assert chosen.tolist() == [0.5, 0]
    assert heads.b6[:, 0, 0].tolist() == [0, 0.5, 0]


def test_the_best_fc6_is_found_in_closed_form(parts: tuple[Config, nets.Vanilla, TensorSampler]) -> None:
    """Points that some FC6 answers exactly: it is found, gross errors and missing points notwithstanding."""
    config, vanilla, _ = parts
    face_crops = training.make_face_crops(config, np.array(MEAN))
    heads, true = (nets.Heads(2, vanilla.trunk.outputs, config.features, 10, "relu") for _ in range(2))
    rng, count = np.random.default_rng(0), 600
    features = rng.normal(0, 1, (count, vanilla.trunk.outputs)).astype(np.float32)
    for each in (heads, true):
        each.start_from(vanilla)
    with torch.no_grad():
        true.w6 += torch.from_numpy(rng.normal(0, 0.05, true.w6.shape).astype(np.float32))
        points = nets.placed(face_crops, true.alone(torch.from_numpy(features), 1)).numpy()
    wrong = points.copy()
    wrong[::20] += 15  # pixels
    wrong[1::20, 3] = np.nan
    blank = np.zeros(count, np.int64)
    views = clusters.Views(
        blank, blank > 0, np.zeros((count, 2, 3)), wrong, np.full(count, 15, np.float32), features, blank
    )
    before = learning.view_errors(face_crops, heads, blank + 1, replace(views, points=points))
    learning.solve_fc6(0.01, face_crops, heads, np.ones(1, np.int64), views)
    after = learning.view_errors(face_crops, heads, blank + 1, replace(views, points=points))
    assert after.mean() < 0.1 * before.mean()
    held = learning.copy_parameters(heads)
    learning.solve_fc6(1e9, face_crops, heads, np.ones(1, np.int64), views)  # pulled that much nothing moves
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(heads.parameters(), held, strict=True))


def test_the_vanilla_head_is_finished_on_what_the_heads_learn_from(
    parts: tuple[Config, nets.Vanilla, TensorSampler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, vanilla, sampler = parts
    monkeypatch.setattr(learning, "RATE", 0.01)
    config = replace(config, clusters=2, tweak_batch=8, tweak_steps=30)
    face_crops = training.make_face_crops(config, np.array(MEAN))
    views = clusters.random_views(vanilla, sampler, 4, 0)
    heads = nets.Heads(1, vanilla.trunk.outputs, config.features, 10, "relu")
    heads.start_from(vanilla)
    blank = np.zeros(1, np.int64)
    before = learning.view_errors(face_crops, heads, blank, views).mean()
    training.fine_tune_vanilla(config, face_crops, vanilla, views, views, 0)
    heads.start_from(vanilla)
    assert learning.view_errors(face_crops, heads, blank, views).mean() < 0.8 * before


def test_no_head_is_worse_than_the_vanilla_one_on_the_faces_that_stop_it(
    parts: tuple[Config, nets.Vanilla, TensorSampler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rate that destroys every head: all stay as they were."""
    config, vanilla, sampler = parts
    monkeypatch.setattr(learning, "RATE", 50.0)
    config = replace(config, min_faces=1, tweak_steps=3, pull=0.0)
    views = clusters.random_views(vanilla, sampler, 4, 0)
    face_crops = training.make_face_crops(config, np.full((5, 2), 0.5))
    mixture = nets.Mixture(vanilla.trunk.outputs, 4, 1)
    learnt = training.tweak(config, face_crops, vanilla, mixture, views, views, 0)
    assert learnt.log["how far each head went"] == [0]
    assert learnt.log["how far FC6 went to the best"] == [0]
    assert torch.allclose(learnt.module.heads.w6[1], learnt.module.heads.w6[0])


def test_fewer_faces_than_clusters_make_fewer_clusters() -> None:
    features = np.random.default_rng(0).normal(0, 1, (5, 12)).astype(np.float32)
    assert len(clusters.fit_mixture(features, 64, 32, 0).constant) == 5
    with pytest.raises(DataSetError, match="no faces"):
        clusters.fit_mixture(features[:0], 64, 32, 0)


def test_the_log_and_the_cluster_of_a_face(saved: Path, faces: list[Sample]) -> None:
    loaded = TCNN.load(saved)
    assert len(loaded.log["faces"]) == 3
    assert loaded.cluster(faces[0].image, faces[0].box) in range(3)


def test_points_of_tighter_clusters_scatter_less() -> None:
    points = np.zeros((4, 5, 2))
    points[2:] += 10
    norm = np.full(4, 20.0)
    assert clusters.spread_of_points(points, norm, np.array([0, 0, 1, 1])) == 0
    assert clusters.spread_of_points(points, norm, np.zeros(4, int)) == pytest.approx(100 * 5 * 2**0.5 / 20)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="clusters"):
        Config(clusters=0)
    with pytest.raises(ConfigError, match="loss"):
        Config(loss="cube")

"""TCDCN's and TCNN's equations in numpy: what they answer, what their losses weigh, when a task stops."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.datasets import synthetic  # noqa: E402
from meanshape.methods.tcdcn import TCDCN, training  # noqa: E402
from meanshape.methods.tcdcn import network as nets  # noqa: E402
from meanshape.methods.tcdcn.stopping import EarlyStopping  # noqa: E402
from meanshape.methods.tcnn import TCNN  # noqa: E402
from meanshape.methods.tcnn import network as tweaked  # noqa: E402
from meanshape.methods.tcnn.training import heads as learning  # noqa: E402
from meanshape.methods.tcnn.training.clusters import Views  # noqa: E402
from meanshape.training.tensor_augmentation import TensorAugmentation  # noqa: E402
from meanshape.training.tensors import FaceTensors, TensorSampler  # noqa: E402

CROP, CROP_SCALE, SIDE, SCALE = 64, 1.6, 40, 1.1
MEAN = np.array([[0.3, 0.2], [0.7, 0.2], [0.5, 0.45], [0.3, 0.7], [0.7, 0.7]])
TASKS = {"smile": ("yes", "no"), "pose": ("left", "ahead", "right")}
WIDTHS, KERNELS, FEATURES = (4, 6, 8, 8), (5, 3, 3, 2), 12
TARGET = (MEAN - 0.5) / SCALE * SIDE + (SIDE - 1) / 2


def face_crops(looks: int) -> nets.FaceCrops:
    return nets.FaceCrops(torch.from_numpy(MEAN), CROP, CROP_SCALE, SIDE, SCALE, looks)


def tcdcn(looks: int, activation: str = "abs_tanh") -> Any:
    module = nets.TCDCNNet(
        face_crops(looks), TASKS, widths=WIDTHS, features=FEATURES, activation=activation, norm=False
    )
    return hand.scrambled(module, 11)


def pictures(count: int, size: int = CROP, channels: int = 3, seed: int = 4) -> np.ndarray:
    """Coarse random pictures (N, C, size, size)."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, channels, 8, 8)).round()
    return coarse.repeat(size // 8, 2).repeat(size // 8, 3)


def absolute(maps: np.ndarray) -> np.ndarray:
    return np.abs(np.tanh(maps))


def trunk(weights: dict[str, np.ndarray], maps: np.ndarray, padded: bool) -> np.ndarray:
    """Four convolutions with |tanh|, three pooled: by 2 x 2, but VanillaCNN's third by 3 x 3, rounded up."""
    layer = 0
    for number in range(4):
        own = hand.part(weights, f"trunk.layers.{layer}")
        pad = (2, 1, 0, 0)[number] if padded else 0
        maps = absolute(hand.convolution(maps, own["weight"], own["bias"], pad=pad))
        layer += 2
        if number < 3:
            vanilla = padded and number == 2
            maps, layer = hand.pooled(maps, 3 if vanilla else 2, 2, ceil=vanilla), layer + 1
    return maps.ravel()


def shared(weights: dict[str, np.ndarray], crop: np.ndarray) -> np.ndarray:
    """TCDCN's features of a grey crop (1, S, S) in 0..255."""
    return absolute(hand.linear(trunk(weights, (crop - 127.5) / 64, False), weights, "shared.0"))


def points(weights: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """W x about the mean shape, in tenths of the crop."""
    return TARGET + hand.linear(features, weights, "points").reshape(-1, 2) * SIDE / 10


def first_look() -> tuple[np.ndarray, np.ndarray]:
    """The map p -> A p + t from the input to the first crop: both about their middles."""
    factor = SIDE / SCALE / (CROP / CROP_SCALE)
    return factor * np.eye(2), np.full(2, (SIDE - 1) / 2 - factor * (CROP - 1) / 2)


@pytest.mark.parametrize("looks", [1, 2])
def test_tcdcn_answers_linear_points_and_logistic_tasks(looks: int) -> None:
    module, images = tcdcn(looks), pictures(2)
    with torch.no_grad():
        found = [answer.double().numpy() for answer in module(torch.from_numpy(images).float())]
    weights = hand.weights_of(module)
    for n, image in enumerate(images):
        light, (matrix, shift) = hand.grey(image), first_look()
        for _ in range(looks):
            features = shared(weights, hand.seen(light, matrix, shift, SIDE))
            answer = (points(weights, features) - shift) @ np.linalg.inv(matrix).T
            matrix, shift = hand.similarity(answer, TARGET)  # where the next look looks
        assert np.abs(found[0][n] - answer).max() < 2e-3
        for task in range(len(TASKS)):
            wanted = hand.softmax(hand.linear(features, weights, f"heads.{task}"))
            assert np.allclose(found[1 + task][n], wanted, atol=2e-3)


@pytest.mark.parametrize("active", [(1, 1), (0, 1), (0, 0)])
def test_tcdcn_s_loss_is_the_points_and_the_tasks_that_still_teach(
    active: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1/2 |y - f|^2 over the eyes' distance squared + lambda * cross entropies; of a stopped task nothing."""
    module = tcdcn(1)
    module.active.copy_(torch.tensor(active))
    config = replace(TCDCN.tiny().config, loss="squared", check_every=10**9)
    monkeypatch.setattr(training, "TASK_WEIGHT", 0.3)
    learner = training.MultiTaskObjective.__new__(training.MultiTaskObjective)
    learner.config, learner.tasks = config, TASKS
    learner.weights = [torch.tensor([1.0, 2.0]), torch.tensor([0.5, 1.0, 1.5])]
    learner.sampler = learner.valid = None  # type: ignore[assignment]
    rng = np.random.default_rng(2)
    crops, norm = pictures(3, SIDE, 1), np.array([9.0, 12.0, 15.0])
    truth = TARGET + rng.normal(0, 3, (3, 5, 2))
    labels = np.array([[0, 2], [1, -1], [-1, 0]])
    batch = {
        "image": crops, "points": truth, "norm": norm, "labels": labels, "step": np.array([0])
    }  # fmt: skip
    with torch.no_grad():
        found = learner.loss(module, {k: torch.from_numpy(v).float() for k, v in batch.items()}).item()
    weights = hand.weights_of(module)
    features = np.stack([shared(weights, crop) for crop in crops])
    answer = np.stack([points(weights, row) for row in features])
    off = np.linalg.norm(answer - truth, axis=2) / norm[:, None]
    wanted = (0.5 * off**2).mean()
    for task, scale in enumerate(((1.0, 2.0), (0.5, 1.0, 1.5))):
        logits = np.stack([hand.linear(row, weights, f"heads.{task}") for row in features])
        known = labels[:, task] >= 0
        cost = hand.cross_entropy(logits[known], labels[known, task]) * np.array(scale)[labels[known, task]]
        wanted += active[task] * 0.3 * cost.mean()
    assert found == pytest.approx(wanted, rel=1e-3)


def test_a_task_stops_by_the_rule() -> None:
    """k med / (sum - k med) * (E_val - min E_tr) / (lambda min E_tr), the minimum not being the last."""
    train, valid = [1.0, 0.7, 0.32, 0.5, 0.34, 0.36], [1.0, 0.9, 0.8, 0.8, 0.75, 0.8]
    stopper, window, weight = EarlyStopping(0.4, window=4, threshold=1.0, smoothing=0.0), 4, 0.4
    for n in range(1, 7):
        value = stopper.add(train[n - 1], valid[n - 1])
        recent = sorted(train[n - window : n]) if n >= window else []
        if not recent:
            assert value is None
            continue
        median = (recent[1] + recent[2]) / 2
        least = min(train[:n])
        wanted = window * median / (sum(recent) - window * median) * (valid[n - 1] - least) / (weight * least)
        assert value == pytest.approx(wanted)


def test_a_mirrored_face_has_its_points_on_the_other_side() -> None:
    faces = [synthetic.face(seed, 96) for seed in range(6)]
    faces = [replace(face, shape=face.shape.to("mtfl5")) for face in faces]
    bank = FaceTensors(faces, faces[0].shape.markup)
    for flip in (0.0, 1.0):
        augmentation = replace(TensorAugmentation.none(), flip=flip)
        found = TensorSampler(bank, SIDE, SCALE, 6, augmentation).batch(0)["points"]
        plain = TensorSampler(bank, SIDE, SCALE, 6, augmentation).plain(
            TensorSampler(bank, SIDE, SCALE, 6, augmentation).indices(0)
        )["points"]
        wanted = plain * (-1, 1) + (SIDE - 1, 0) if flip else plain
        wanted = wanted[:, [1, 0, 2, 4, 3]] if flip else wanted
        assert np.abs(found - wanted).max() < 1e-3


# TCNN


def tcnn(clusters: int = 3) -> Any:
    """A network whose clusters use heads 2, 0 and 1, its trunk VanillaCNN's."""
    vanilla = tweaked.Vanilla(3, SIDE, WIDTHS, FEATURES, 10, "abs_tanh", False)
    hand.scrambled(vanilla, 5)
    rng = np.random.default_rng(6)
    vanilla.average.copy_(torch.from_numpy(rng.uniform(90, 160, vanilla.average.shape)))
    vanilla.spread.copy_(torch.from_numpy(rng.uniform(30, 90, vanilla.spread.shape)))
    mixture = tweaked.Mixture(vanilla.trunk.outputs, 4, clusters)
    heads = tweaked.Heads(3, vanilla.trunk.outputs, FEATURES, 10, "abs_tanh")
    with torch.no_grad():
        for value in heads.parameters():
            value.copy_(torch.from_numpy(rng.normal(0, 0.25, value.shape)))
    return tweaked.TCNNNet(face_crops(1), vanilla, mixture, heads, torch.tensor([2, 0, 1])).eval()


def mixed(features: np.ndarray) -> dict[str, np.ndarray]:
    """A mixture over four directions that some rows fall into each component of."""
    rng = np.random.default_rng(7)
    projection = rng.normal(0, 1 / np.sqrt(features.shape[1]), (4, features.shape[1]))
    mean = features.mean(0)
    z = (features - mean) @ projection.T
    means = z[:3] + rng.normal(0, 0.05 * z.std(), (3, 4))
    variances = z.var(0) * rng.uniform(0.3, 1.2, (3, 4))
    return {
        "projection": projection, "mean": mean, "weights": np.array([0.6, 0.15, 0.25]),
        "means": means, "variances": variances,
    }  # fmt: skip


def posteriors(mixture: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """log of weight times density of each component, by the textbook."""
    z = (features - mixture["mean"]) @ mixture["projection"].T
    found = []
    for weight, mean, variance in zip(
        mixture["weights"], mixture["means"], mixture["variances"], strict=True
    ):
        density = -0.5 * (np.log(2 * np.pi * variance) + (z - mean) ** 2 / variance).sum(1)
        found.append(np.log(weight) + density)
    return np.stack(found, 1)


def test_tcnn_answers_with_the_head_of_the_likeliest_cluster() -> None:
    module, crops = tcnn(), pictures(24, SIDE, 3, seed=9)
    weights = hand.weights_of(module)
    average, spread = weights["vanilla.average"], weights["vanilla.spread"]
    own = hand.part(weights, "vanilla")
    features = np.stack([trunk(own, (crop - average) / spread, True) for crop in crops])
    assert features.shape[1] == WIDTHS[3] * 9  # 3 x 3 places
    mixture = mixed(features)
    module.mixture.set(*(torch.from_numpy(value).float() for value in mixture.values()))
    with torch.no_grad():
        found, clusters = module.predict_crop(torch.from_numpy(crops).float())
        scores = module.mixture.scores(torch.from_numpy(features).float()).double().numpy()
    wanted = posteriors(mixture, features)
    assert np.allclose(scores - scores[:, :1], wanted - wanted[:, :1], atol=1e-2)
    likeliest = wanted.argmax(1)
    assert len(set(likeliest.tolist())) == 3
    assert clusters.tolist() == likeliest.tolist()
    for row, cluster, answer in zip(features, likeliest, found.double().numpy(), strict=True):
        h = (2, 0, 1)[cluster]
        hidden = absolute(row @ weights["heads.w5"][h] + weights["heads.b5"][h, 0])
        moves = hidden @ weights["heads.w6"][h] + weights["heads.b6"][h, 0]
        assert np.abs(answer - (TARGET + moves.reshape(5, 2) * SIDE / 10)).max() < 2e-3


def test_a_head_learns_from_the_faces_of_its_own_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clusters want opposite moves: each head learns its own, and head 0 stays as it is."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    cluster = np.arange(60) % 3
    move = np.array([0.0, 4.0, -4.0])[cluster]
    wanted = (TARGET + move[:, None, None]).astype(np.float32)
    views = Views(
        np.arange(60), np.zeros(60, bool), np.zeros((60, 2, 3)), wanted, np.full(60, 15.0, np.float32),
        features, cluster,
    )  # fmt: skip
    heads = tweaked.Heads(3, 8, 6, 10, "relu")
    torch.manual_seed(0)
    with torch.no_grad():
        heads.w5.copy_(0.4 * torch.randn(1, 8, 6))
    before = [value.detach().clone() for value in heads.parameters()]
    config = replace(TCNN.tiny().config, tweak_steps=60, tweak_batch=16, loss="squared")
    monkeypatch.setattr(learning, "RATE", 0.06)
    learning.fine_tune(config, face_crops(1), heads, np.array([0, 1, 2]), views, seed=0)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(heads.parameters(), before, strict=True))
    with torch.no_grad():
        for h, way in ((1, 4.0), (2, -4.0)):
            said = heads.alone(torch.from_numpy(features[cluster == h]), h).numpy() * SIDE / 10
            assert said.mean() == pytest.approx(way, abs=0.5)


def test_the_vanilla_loss_is_half_the_square_over_the_eyes_distance_squared() -> None:
    from meanshape.methods.tcnn.training import VanillaObjective

    config = replace(TCNN.tiny().config, loss="squared")
    rng = np.random.default_rng(3)
    truth, answer = TARGET + rng.normal(0, 2, (4, 5, 2)), rng.normal(0, 1, (4, 10))
    norm = np.array([8.0, 10.0, 12.0, 20.0])
    task = VanillaObjective(config, face_crops(1), SimpleNamespace(), None)  # type: ignore[arg-type]
    batch = {"image": torch.zeros(4, 3, 8, 8), "points": torch.from_numpy(truth).float()}
    batch["norm"] = torch.from_numpy(norm).float()
    said: Any = lambda image: torch.from_numpy(answer).float()  # noqa: E731
    found = task.loss(said, batch).item()
    off = TARGET + answer.reshape(4, 5, 2) * SIDE / 10 - truth
    assert found == pytest.approx(((off**2).sum(2) / (2 * norm[:, None] ** 2)).mean(), rel=1e-4)

"""Losses, averages and mirror images in numpy: what every network learns by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanshape.core.markup import markup  # noqa: E402
from meanshape.datasets import synthetic  # noqa: E402
from meanshape.training.loop import Schedule, Trainer  # noqa: E402
from meanshape.training.losses import LOSSES, localisation_loss, masked_mean, point_distances  # noqa: E402
from meanshape.training.sampling import CropBank  # noqa: E402


def test_errors_are_over_the_eye_distance_and_over_known_points() -> None:
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(0, 9, (2, 4, 7, 2))
    norm = rng.uniform(5, 30, 4)
    target[1, :3] = np.nan
    target[2] = np.nan
    distances, known = point_distances(*(torch.from_numpy(a) for a in (predicted, target, norm)))
    wanted = np.sqrt(((predicted - target) ** 2).sum(2)) / norm[:, None]
    assert np.allclose(distances.numpy()[known.numpy()], wanted[~np.isnan(wanted)], atol=1e-6)
    each = [np.mean([w for w in row if not np.isnan(w)]) for n, row in enumerate(wanted) if n != 2]
    assert masked_mean(distances, known).item() == pytest.approx(np.mean(each))


def test_losses_of_a_distance() -> None:
    away = np.array([0.0, 0.005, 0.03, 0.099, 0.101, 0.4, 2.0])
    width, curvature = 0.1, 0.02
    bend = width - width * np.log(1 + width / curvature)
    wanted = {
        "point": away,
        "squared": away**2 / 2,
        "wing": [width * np.log(1 + d / curvature) if d < width else d - bend for d in away],
    }
    assert set(LOSSES) == set(wanted)
    for name, values in wanted.items():
        assert np.allclose(LOSSES[name](torch.from_numpy(away)).numpy(), values), name


def test_localisation_is_the_cross_entropy_with_four_cells() -> None:
    """A frame of 48 pixels in 6 x 6 cells of 8: the centre of cell i is at 8 i + 3.5."""
    rng = np.random.default_rng(1)
    logits, points = rng.normal(0, 2, (2, 5, 6, 6)), rng.uniform(4, 43, (2, 5, 2))
    costs = np.zeros((2, 5))
    centres = 8 * np.arange(6) + 3.5
    for n in range(2):
        for k in range(5):
            share = np.exp(logits[n, k]) / np.exp(logits[n, k]).sum()
            across, down = (np.maximum(0, 1 - np.abs(centres - c) / 8) for c in points[n, k])
            assert across.sum() == pytest.approx(1) and down.sum() == pytest.approx(1)
            costs[n, k] = -(np.outer(down, across) * np.log(share)).sum()
    found = localisation_loss(torch.from_numpy(logits).float(), torch.from_numpy(points).float(), 48)
    assert found.item() == pytest.approx(costs.mean(), rel=1e-4)


# The loop


def trainer(**settings: float) -> Trainer:
    torch.manual_seed(0)
    task = SimpleNamespace(loss=lambda module, batch: module.weight.sum())
    return Trainer(torch.nn.Linear(3, 2), task, Schedule(steps=10, **settings), None, "any", 0)  # type: ignore[arg-type]


def test_the_average_is_exponential() -> None:
    """a <- d a + (1 - d) w, d = min(ema, (1 + t) / (10 + t))."""
    running = trainer(ema=0.5)
    wanted = running.module.weight.detach().double().numpy().copy()
    for step in range(12):
        running.step = step
        drawn = np.random.default_rng(step).normal(size=(2, 3))
        with torch.no_grad():
            running.module.weight.copy_(torch.from_numpy(drawn))
        running._average()
        d = min(0.5, (1 + step) / (10 + step))
        wanted = d * wanted + (1 - d) * drawn
        assert np.allclose(running.average.weight.numpy(), wanted, atol=1e-5)


def test_what_errs_least_is_kept() -> None:
    running = trainer()
    errors = iter((3.0, 1.0, 2.0))
    running.task.validate = lambda module: {"error": next(errors)}  # type: ignore[method-assign]
    kept = []
    for n in range(3):
        with torch.no_grad():
            running.average.bias.fill_(n)
        running._validate()
        kept.append(int(running.best_state["bias"][0]))
    assert kept == [0, 1, 1] and running.best == {"error": 1.0}


def test_matrices_decay_and_biases_do_not() -> None:
    running = trainer(weight_decay=0.3)
    decay = {
        id(p): group["weight_decay"] for group in running.optimiser.param_groups for p in group["params"]
    }
    assert decay == {id(running.module.weight): 0.3, id(running.module.bias): 0.0}


def test_a_mirrored_crop_is_the_mirror_image_of_the_crop() -> None:
    """x' = W - 1 - x, to the pixel, and the left eye is the right one."""
    kind = markup("ibug68")
    bank = CropBank([synthetic.face(1, 96)], kind)
    image, points, _, norm = bank.crop(0, 64, 1.6)
    turned, mirrored, _, same = bank.crop(0, 64, 1.6, None, True)
    assert np.abs(turned.astype(int) - image[:, ::-1]).max() <= 2 and same == pytest.approx(norm)
    swapped = np.array([mirrored[kind.mirror[k]] for k in range(68)])
    assert np.allclose(swapped, points * (-1, 1) + (63, 0), atol=1e-6)
    assert mirrored[36, 0] < mirrored[45, 0]

"""Losses: NaN costs nothing, wing is continuous, the localisation loss finds its place."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanshape.training.losses import (  # noqa: E402
    localisation_loss,
    masked_mean,
    point_distances,
    wing_loss,
)


def test_points_that_are_not_annotated_cost_nothing() -> None:
    predicted = torch.zeros((2, 3, 2), requires_grad=True)
    target = torch.tensor([[[3.0, 4.0], [np.nan, np.nan], [0, 0]], [[np.nan, np.nan]] * 3])
    distances, known = point_distances(predicted, target, torch.tensor([5.0, 1.0]))
    loss = masked_mean(distances, known)
    assert loss.item() == pytest.approx(0.5, abs=1e-5)
    loss.backward()
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad[1] == 0).all()


def test_wing_is_continuous_and_steepest_at_zero() -> None:
    at = torch.tensor([0.0, 1e-4, 0.0999999, 0.1000001, 0.2])
    value = wing_loss(at)
    assert value[0] == 0
    assert value[2].item() == pytest.approx(value[3].item(), abs=1e-5)
    assert (value[1] - value[0]) / 1e-4 > (value[4] - value[3]) / 0.1


def test_the_localisation_loss_is_least_where_the_point_is() -> None:
    points = torch.tensor([[[9.5, 21.5]]])  # cell (2, 5) of 8 x 8 cells of four pixels
    losses = torch.empty(8, 8)
    for y in range(8):
        for x in range(8):
            logits = torch.zeros((1, 1, 8, 8))
            logits[0, 0, y, x] = 5.0
            losses[y, x] = localisation_loss(logits, points, 32)
    assert divmod(int(losses.argmin()), 8) == (5, 2)


def test_the_localisation_loss_ignores_points_outside() -> None:
    points = torch.tensor([[[-40.0, 3.0], [np.nan, np.nan]]])
    logits = torch.randn((1, 2, 8, 8), requires_grad=True)
    loss = localisation_loss(logits, points, 32)
    assert loss.item() == 0

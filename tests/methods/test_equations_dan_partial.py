"""DAN's loss on a second mark-up in numpy: five points teach a cascade of 68."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import by_hand as hand
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from meanshape.core.markup import markup  # noqa: E402
from meanshape.methods.dan import DAN, training  # noqa: E402
from meanshape.methods.dan import network as nets  # noqa: E402

FIVE = (range(36, 42), range(42, 48), (30,), (48,), (54,))
"""MTFL's points among the 68: eye centres are means of six points (the subject's right eye comes first)."""


class Answer(nets.DANNet):
    """A cascade of one stage that answers what it is told."""

    def __init__(self, shapes: torch.Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.stages, self.told = torch.nn.ModuleList([torch.nn.Identity()]), shapes

    def forward(self, image: torch.Tensor, stages: int | None = None) -> list[torch.Tensor]:
        assert stages == 1
        return [self.told]


def part(answers: np.ndarray, truth: np.ndarray, norm: np.ndarray, shaped: str) -> float:
    """Return the mean over faces that have points of the mean over these of loss(distance / eye distance)."""
    faces = []
    for answer, true, eyes in zip(answers, truth, norm, strict=True):
        costs = []
        for point, other in zip(answer, true, strict=True):
            if np.isnan(other).any():
                continue
            off = np.hypot(*(point - other)) / eyes
            costs.append({"point": off, "wing": hand.wing(off), "squared": off**2 / 2}[shaped])
        faces += [np.mean(costs)] if costs else []
    return float(np.mean(faces))


@pytest.mark.parametrize(("shaped", "share", "weight"), [("wing", 0.3, 0.4), ("squared", 0.75, 1.0)])
def test_faces_of_a_second_mark_up_pay_for_what_it_shows_of_a_shape(
    shaped: str, share: float, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(1 - share) L(S, 68 points) + share weight L(O S, 5 points), O the means that make 68 points 5."""
    rng = np.random.default_rng(2)
    answers = rng.uniform(10, 54, (5, 68, 2))
    truth = answers + rng.normal(0, 3, answers.shape)
    truth[2:], truth[1, 7] = np.nan, np.nan
    shown = np.stack([[answer[list(group)].mean(0) for group in FIVE] for answer in answers])
    partial = shown + rng.normal(0, 3, shown.shape)
    partial[:2], partial[3, 1], partial[4, 2:] = np.nan, np.nan, np.nan
    norm = np.array([20.0, 31.0, 9.0, 14.0, 17.0])
    bank = SimpleNamespace(partial=markup("mtfl5"), markup=markup("ibug68"))
    sampler = SimpleNamespace(bank=bank, partial_share=share)
    monkeypatch.setattr(training, "PARTIAL_WEIGHT", weight)
    config = replace(DAN.tiny().config, loss=shaped, localisation=0.0)
    task = training.StageTask(0, sampler, None, config)  # type: ignore[arg-type]
    task._localise = lambda module, points: torch.tensor(0.0)  # type: ignore[method-assign]
    arrays = {"points": truth, "partial": partial, "norm": norm, "image": np.zeros((5, 3, 8, 8))}
    told = torch.from_numpy(answers).float().requires_grad_()
    loss = task.loss(Answer(told), {name: torch.from_numpy(v).float() for name, v in arrays.items()})
    wanted = (1 - share) * part(answers, truth, norm, shaped)
    wanted += share * weight * part(shown, partial, norm, shaped)
    assert loss.item() == pytest.approx(wanted, rel=1e-4)
    loss.backward()
    assert told.grad is not None
    pays = told.grad.abs().sum(2).numpy() > 0
    for face in (2, 3, 4):  # the points that no mean holds are free
        groups = [g for g, true in zip(FIVE, partial[face], strict=True) if np.isfinite(true).all()]
        assert set(np.flatnonzero(pays[face])) == {i for group in groups for i in group}

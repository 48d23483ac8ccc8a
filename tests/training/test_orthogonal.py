"""Orthogonal steps: singular values near one, norms kept, and states that come back."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from meanshape.training.orthogonal import Orthogonal, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (5, 5)])
def test_every_direction_counts_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.3 and values.min() > 0.3


def test_a_matrix_turns_by_its_share_and_keeps_its_norm() -> None:
    torch.manual_seed(0)
    weight, bias = torch.nn.Parameter(torch.randn(6, 4, 3, 3)), torch.nn.Parameter(torch.zeros(6))
    before, norm = weight.detach().clone(), float(weight.detach().norm())
    optimiser = Orthogonal([weight], [bias], learning_rate=0.1, relative_step=0.02)
    weight.grad, bias.grad = torch.randn_like(weight) * 1e-5, torch.ones(6)
    optimiser.step()
    assert float(weight.detach().norm()) == pytest.approx(norm, rel=1e-5)
    assert float((weight.detach() - before).norm()) / norm == pytest.approx(0.02, rel=0.02)
    assert bias.detach().tolist() == pytest.approx([-0.1] * 6, rel=1e-3)


def test_it_is_adamw_for_the_rest() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(3, 3)) for _ in range(2))
    mine = Orthogonal([], [ours], learning_rate=0.01, weight_decay=0.1)
    other = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(3, 3)
        theirs.grad = ours.grad.clone()
        mine.step()
        other.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_its_state_comes_back() -> None:
    def made() -> tuple[torch.nn.Parameter, Orthogonal]:
        torch.manual_seed(1)
        weight = torch.nn.Parameter(torch.randn(4, 9))
        return weight, Orthogonal([weight], [], learning_rate=0.1)

    def steps(weight: torch.nn.Parameter, optimiser: Orthogonal, first: int, last: int) -> None:
        for number in range(first, last):
            weight.grad = torch.sin(torch.arange(36.0).reshape(4, 9) * (number + 1))
            optimiser.step()

    through, whole = made()
    steps(through, whole, 0, 4)
    stopped, before = made()
    steps(stopped, before, 0, 2)
    resumed, after = made()
    resumed.data.copy_(stopped.data)
    after.load_state_dict(before.state_dict())
    steps(resumed, after, 2, 4)
    assert torch.allclose(resumed, through)

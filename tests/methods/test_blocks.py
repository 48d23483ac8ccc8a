"""What networks share, as torch and as ONNX Runtime compute it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanshape.methods.onnx.export import export  # noqa: E402
from meanshape.methods.onnx.session import OnnxSession  # noqa: E402
from meanshape.training import layers as blocks  # noqa: E402


class Frames(torch.nn.Module):
    """Two frames of a crop, one of them far beyond its border."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        turn, nothing = torch.tensor([[0.9, 0.4], [-0.4, 0.9]]), 0 * image[:, :1, :1, :1]
        matrix = torch.stack([turn, 3 * turn]) + nothing
        shift = torch.tensor([[[5.5, 2.25]], [[-30.0, 41.0]]]) + nothing
        half = blocks.halved(image) + 0.25
        return [
            blocks.warp_frames(image, matrix, shift, 12, exact=True),
            blocks.warp_frames(half, matrix, shift, 12),
        ]


@pytest.mark.parametrize("count", [1, 3])
def test_a_graph_sees_what_torch_sees(tmp_path: Path, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 40, 3), dtype=np.uint8)
    export(Frames(), tmp_path / "frames.onnx", size=(40, 32), outputs=["fine", "coarse"])
    found = OnnxSession(tmp_path / "frames.onnx")({"pixels": pixels}, "fine", "coarse")
    expected = Frames()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    for one, other in zip(found, expected, strict=True):
        assert one.shape == (count, 2, 3, 12, 12)
        assert np.allclose(one, other.numpy(), atol=2e-3)


def test_what_is_seen_is_where_the_frame_says() -> None:
    ramp = torch.arange(20.0).expand(1, 2, 16, 20) + 100 * torch.arange(16.0)[:, None]
    matrix, shift = torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]]), torch.tensor([[[[2.0, 3.0]]]])
    seen = blocks.warp_frames(ramp, matrix, shift, 4)
    for y in range(4):
        for x in range(4):
            assert seen[0, 0, 1, y, x] == pytest.approx((2 + y) + 100 * (3 + 0.5 * x), abs=0.01)


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 6])
def test_a_reduced_picture_holds_means(ratio: int) -> None:
    image = torch.randn(2, 3, 24, 48)
    assert torch.allclose(
        blocks.reduced(image, ratio), torch.nn.functional.avg_pool2d(image, ratio), atol=1e-5
    )


def test_grey_is_luminance() -> None:
    image = torch.rand(2, 3, 4, 5)
    weights = torch.tensor(blocks.LUMINANCE).reshape(1, 3, 1, 1)
    assert torch.allclose(blocks.grey(image), (image * weights).sum(1, keepdim=True))

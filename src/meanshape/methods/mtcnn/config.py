"""What is decided before MTCNN is trained: networks, search and recipe, ours and the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from meanshape.core.built_in import By


@dataclass(frozen=True, slots=True)
class Rules:
    """What the paper and the shipped weights do differently in windows, loss and rate.

    The loss of a sample is the sum over its tasks of alpha * beta * loss, where beta is 1 for the tasks its
    kind trains. O-Net, the last, has its own alpha, ratio and batch.
    """

    landmark_size: tuple[float, float]  # of landmark windows, of the face's short and long side
    landmark_shift: float  # of the face's width and height
    alpha_first: tuple[float, float, float]  # face, box, points: P- and R-Net
    alpha_last: tuple[float, float, float]
    ratio_last: tuple[int, int, int, int]  # negative : positive : part : landmark
    batch_last: int  # at most
    regression: str  # l2, or l1: smooth L1, which far labels pull less
    share_labels: bool  # whether every window that holds a face trains all three tasks
    angle: float  # in-plane turns of the augmentation, standard deviation in degrees
    cut: float  # the share of windows that hang over a photo's border
    rate: float
    decay: float


PAPER = Rules(
    landmark_size=(0.8, 1.25),
    landmark_shift=0.2,
    alpha_first=(1.0, 0.5, 0.5),
    alpha_last=(1.0, 0.5, 1.0),
    ratio_last=(3, 1, 1, 2),
    batch_last=384,
    regression="l2",
    share_labels=False,
    angle=5.0,
    cut=0.0,
    rate=1e-3,
    decay=5e-4,
)
OURS = Rules(
    landmark_size=(0.86, 1.16),
    landmark_shift=0.1,
    alpha_first=(1.0, 1.0, 0.5),
    alpha_last=(1.0, 2.0, 4.0),
    ratio_last=(2, 1, 1, 5),
    batch_last=160,
    regression="l1",
    share_labels=True,
    angle=14.0,
    cut=0.1,
    rate=2e-3,
    decay=1e-4,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much the three networks learn from, and for how long."""

    paper: bool = False  # the paper's windows, losses and rates instead of ours
    keep: float = 0.7  # the hardest share that learns; 1 switches the mining off
    random_windows: tuple[int, int, int] = (150_000, 25_000, 10_000)  # from people-free photos, per stage
    patches: int = 5_000  # real photos, at most, to mine in
    scenes: int = 400  # people-free photos with faces pasted in, to mine in
    empty_scenes: int = 1_500  # people-free photos, turned, recoloured, resized, to mine in
    mine_above: tuple[float, float, float] = (0.15, 0.25, 0.04)  # P-Net for R-Net; P-, R-Net for O-Net
    again: int = 6_000  # steps that P-Net learns once more, against the windows it took for faces
    batch: int = 448
    steps: tuple[int, int, int] = (9_000, 4_000, 3_000)

    built_in: ClassVar[Mapping[str, Any]] = {
        "negative_below": 0.3,
        "part_above": 0.4,
        "positive_above": 0.65,
        "ratio": (3, 1, 1, 2),
        "window_size": (0.8, 1.25),
        "window_shift": 0.2,
    }
    built_in_recipe: ClassVar[Mapping[str, Any]] = {
        "views": (6, 4, 4),
        **dict.fromkeys(Rules.__dataclass_fields__, By("recipe.paper")),
    }

    @property
    def rules(self) -> Rules:
        """What is the paper's or ours."""
        return PAPER if self.paper else OURS


@dataclass(frozen=True, slots=True)
class Config:
    """Networks, search and training; the defaults are those of the shipped weights."""

    pnet: tuple[int, int, int] = (16, 32, 32)
    rnet: tuple[int, int, int, int] = (24, 32, 64, 128)
    onet: tuple[int, int, int, int, int] = (32, 64, 64, 128, 256)
    activation: str = "relu"  # or "prelu"
    norm: bool = True  # batch normalisation while training
    # each network's first layer: a convolution and a "pool"ing, or one convolution of "stride" 2;
    # "strides" (R-Net): the second layer, too
    stems: tuple[str, str, str] = ("stride", "strides", "pool")
    stride: int = 4  # pixels between P-Net's windows: 2 or 4
    looks: int = 2  # how often O-Net looks at a face
    mirror: bool = True  # the last look is at the face's mirror image; what the looks say is averaged
    # the search, fitted to the weights on validation photos
    factor: float = 0.72
    stretch: float = 0.98  # P-Net's window on the finest level, in smallest faces
    thresholds: tuple[float, float, float] = (0.1, 0.3, 0.9)
    support: float = 0.5  # what the scores of P-Net's windows of one place must reach together
    canonical: tuple[float, float, float, float] = (-0.046, 0.057, 1.055, 1.138)  # see `Box.part`
    recipe: Recipe = field(default_factory=Recipe)

    structure: ClassVar[tuple[str, ...]] = (
        "pnet",
        "rnet",
        "onet",
        "activation",
        "norm",
        "stems",
        "stride",
        "looks",
        "mirror",
    )
    built_in: ClassVar[Mapping[str, Any]] = {"min_face": 40.0}
    before: ClassVar[Mapping[str, Any]] = {"stride": 2, "support": 0.0}


PRESETS = {
    "paper": Config(
        pnet=(10, 16, 32),
        rnet=(28, 48, 64, 128),
        activation="prelu",
        norm=False,
        stems=("pool", "pool", "pool"),
        stride=2,
        looks=1,
        mirror=False,
        factor=0.709,
        stretch=1.0,
        thresholds=(0.6, 0.7, 0.7),
        support=0.0,
        canonical=(-0.05, 0.047, 1.05, 1.127),
        recipe=Recipe(
            paper=True,
            random_windows=(200_000, 30_000, 10_000),
            patches=20_000,
            scenes=600,
            empty_scenes=2000,
            mine_above=(0.35, 0.5, 0.04),
            again=0,
            batch=384,
            steps=(20_000, 10_000, 10_000),
        ),
    ),
    "shipped": Config(),
}

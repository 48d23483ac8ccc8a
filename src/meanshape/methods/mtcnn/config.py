"""What is decided before MTCNN is trained: the networks, and every number of the paper's recipe."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """Sampling, loss and schedule of the three stages; the defaults are the paper's, `shipped()` is ours.

    Overlaps are intersection over union of a square window with the labelled box. The loss of a sample is
    the sum over its tasks of alpha * beta * loss, where beta is 1 for the tasks its kind trains.
    """

    negative_below: float = 0.3
    part_above: float = 0.4
    positive_above: float = 0.65
    ratio: tuple[int, int, int, int] = (3, 1, 1, 2)  # negative : positive : part : landmark
    window_size: tuple[float, float] = (0.8, 1.25)  # of the face's short and long side
    window_shift: float = 0.2  # of the face's width and height
    landmark_size: tuple[float, float] = (0.8, 1.25)  # the same for landmark windows
    landmark_shift: float = 0.2
    alpha_first: tuple[float, float, float] = (1.0, 0.5, 0.5)  # face, box, points: P- and R-Net
    alpha_last: tuple[float, float, float] = (1.0, 0.5, 1.0)  # O-Net
    keep: float = 0.7  # the hardest share that learns; 1 switches the mining off
    regression: str = "l2"  # or "l1": smooth L1, which far labels pull less
    share_labels: bool = False  # True: every window that holds a face trains all three tasks
    angle: float = 5.0  # in-plane turns of the augmentation, standard deviation in degrees
    views: tuple[int, int, int] = (6, 4, 4)  # windows cut per face, kind and stage
    random_windows: tuple[int, int, int] = (200_000, 30_000, 10_000)  # from people-free photos, per stage
    cut: float = 0.0  # the share of windows that hang over a photo's border
    patches: int = 20_000  # real photos, at most, to mine in
    scenes: int = 600  # people-free photos with faces pasted in, to mine in
    empty_scenes: int = 2000  # people-free photos, turned, recoloured, resized, to mine in
    mine_above: tuple[float, float, float] = (0.35, 0.5, 0.04)  # P-Net for R-Net; P-, R-Net for O-Net
    ratio_last: tuple[int, int, int, int] = (3, 1, 1, 2)  # the same for O-Net
    again: int = 0  # steps that P-Net learns once more, against the windows it took for faces
    batch: int = 384
    batch_last: int = 384
    rate: float = 1e-3
    decay: float = 5e-4
    steps: tuple[int, int, int] = (20_000, 10_000, 10_000)

    @classmethod
    def shipped(cls) -> Recipe:
        """Return the recipe of the shipped weights."""
        return cls(
            alpha_first=(1.0, 1.0, 0.5),
            alpha_last=(1.0, 2.0, 4.0),
            regression="l1",
            share_labels=True,
            angle=14.0,
            random_windows=(150_000, 25_000, 10_000),
            cut=0.1,
            patches=5_000,
            scenes=400,
            empty_scenes=1_500,
            mine_above=(0.15, 0.25, 0.04),
            ratio_last=(2, 1, 1, 5),
            landmark_size=(0.86, 1.16),
            landmark_shift=0.1,
            again=6_000,
            batch=448,
            batch_last=160,
            rate=2e-3,
            decay=1e-4,
            steps=(9_000, 4_000, 3_000),
        )

    @classmethod
    def tiny(cls) -> Recipe:
        """Return a recipe that runs in seconds, for tests."""
        return cls(
            regression="l1",
            alpha_last=(1.0, 2.0, 4.0),
            share_labels=True,
            views=(6, 6, 6),
            random_windows=(300, 100, 100),
            scenes=4,
            empty_scenes=4,
            again=20,
            batch=64,
            batch_last=64,
            rate=3e-3,
            steps=(80, 60, 160),
        )


@dataclass(frozen=True)
class Config:
    """Networks, search and training; the defaults are the paper's."""

    pnet: tuple[int, int, int] = (10, 16, 32)
    rnet: tuple[int, int, int, int] = (28, 48, 64, 128)
    onet: tuple[int, int, int, int, int] = (32, 64, 64, 128, 256)
    activation: str = "prelu"  # or "relu"
    norm: bool = False  # batch normalisation while training
    # each network's first layer: a convolution and a "pool"ing, or one convolution of "stride" 2;
    # "strides" (R-Net): the second layer, too
    stems: tuple[str, str, str] = ("pool", "pool", "pool")
    stride: int = 2  # pixels between P-Net's windows: 2 or 4
    min_face: float = 40.0
    factor: float = 0.709
    stretch: float = 1.0  # P-Net's window on the finest level, in smallest faces
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    support: float = 0.0  # what the scores of P-Net's windows of one place must reach together
    looks: int = 1  # how often O-Net looks at a face
    mirror: bool = False  # the last look is at the face's mirror image; what the looks say is averaged
    canonical: tuple[float, float, float, float] = (-0.05, 0.047, 1.05, 1.127)  # see `Box.part`
    recipe: Recipe = field(default_factory=Recipe)

    @classmethod
    def shipped(cls) -> Config:
        """Return the config of the shipped weights."""
        return cls(
            pnet=(16, 32, 32),
            rnet=(24, 32, 64, 128),
            activation="relu",
            norm=True,
            stems=("stride", "strides", "pool"),
            stride=4,
            factor=0.72,
            stretch=0.98,
            thresholds=(0.1, 0.3, 0.9),
            support=0.5,
            canonical=(-0.046, 0.057, 1.055, 1.138),
            looks=2,
            mirror=True,
            recipe=Recipe.shipped(),
        )  # fmt: skip


PRESETS = {"paper": Config(), "shipped": Config.shipped()}

"""What is decided before EmotionalDAN is trained, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from meanshape.core.errors import ConfigError
from meanshape.methods.dan import config as dan
from meanshape.training.augment import Augmentation


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before an EmotionalDAN is trained. Defaults are the shipped model's."""

    cascade: dan.Config = field(default_factory=lambda: dan.Config(minutes=(0.0, 0.0)))  # 0: as it was loaded
    quick: tuple[int, ...] = (16, 32, 64, 64)  # maps of a lean first stage; none: the cascade as it is
    size: int = 0  # side of a frame of the joint stage's own, pixels; 0: it sees that of the stage before
    reduced: int = 48  # side that a larger frame is made smaller to before the joint stage sees it; 0: none
    maps: tuple[int, ...] = (32, 64, 128, 256)  # of its convolutions, from halving to halving
    residual: bool = True  # they are residual blocks; else pairs of convolutions, as DAN's
    blocks: tuple[int, ...] = (1, 1, 1, 1)  # how many at each width; none: one, but not at the first
    features: int = 128
    use_heatmap: bool = False  # whether the joint stage sees the shape so far too
    equalise: bool = True  # spread the greys that the joint stage sees, as FER2013's pictures have theirs
    mirror: bool = True  # the emotion is the mean of what the face and its mirror image say
    # the recipe
    quick_steps: tuple[int, int] = (2000, 1600)  # to teach it, and to let the second stage get used to it
    quick_again: bool = False  # teach a quick cascade that was loaded once more, with more faces for instance
    dropout: float = 0.1
    even: float = 0.6  # share of the classes' frequencies that the logits are freed of; 1: all count alike
    share: float = 0.05  # of the points in the loss
    points_share: float = 0.024  # of faces with points in a batch
    own_points: bool = False  # faces with an emotion also pay for the points that the cascade places on them
    smoothing: float = 0.1  # of the labels
    taught: float = 0.0  # of what EmotionalDANs that teach say, in the labels
    teachers: tuple[str, ...] = ()  # their run folders; none: the one that the training starts from
    balance: float = 0.1  # classes count by their frequency to this power, inverted
    mixup: float = 0.0  # of its Beta distribution, in every second batch; 0: none
    tight: float = 0.15  # faces with an emotion that come cut off as by a narrow picture
    batch: int = 128
    rate: float = 1e-3
    turn: float = 0.016  # share of its norm that a convolution moves in an orthogonal step; 0: AdamW moves it
    weight_decay: float = 0.05
    ema: float = 0.998
    warmup: int = 100
    bf16: bool = False  # as dan's, while the joint stage is trained
    minutes: float = 90.0
    steps: int = 0  # where given, minutes do not count
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            shift=0.05, scale=0.08, rotation=8, colour=0.05, blur=0.05, jpeg=0, noise=0.02, occluder=0.1
        )
    )  # of the joint stage's frame

    structure: ClassVar[tuple[str, ...]] = (
        "cascade",
        "quick",
        "size",
        "reduced",
        "maps",
        "residual",
        "blocks",
        "features",
        "use_heatmap",
        "equalise",
        "mirror",
    )
    built_in: ClassVar[Mapping[str, Any]] = {"as_teacher": False}

    def __post_init__(self) -> None:
        """Check that the joint stage can be built."""
        frame = self.size or self.cascade.sizes[-1]
        size = min(frame, self.reduced or frame)
        if size % 2 ** len(self.maps) or not self.maps:
            raise ConfigError(
                f"what the joint stage sees must be a multiple of {2 ** len(self.maps)} pixels, got {size}"
            )
        if self.residual and self.blocks and len(self.blocks) != len(self.maps):
            raise ConfigError(f"blocks wants {len(self.maps)} numbers, as maps has, got {len(self.blocks)}")
        if self.quick and self.cascade.sizes[0] % 2 ** len(self.quick):
            raise ConfigError(
                f"the cascade's first size must be a multiple of {2 ** len(self.quick)} for quick"
            )
        if self.quick and len(self.cascade.sizes) != 2:
            raise ConfigError(f"quick is for cascades of two stages, got {len(self.cascade.sizes)}")
        for name in ("share", "points_share", "smoothing", "taught", "even", "tight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.points_share == 0:
            raise ConfigError("points_share must be above 0: the model places points too")


PRESETS = {
    "paper": Config(
        cascade=replace(
            dan.PRESETS["paper"],
            crop_size=224,
            sizes=(224,),
            widths=(1.0,),
            use_features=False,
            minutes=(600.0,),
        ),
        quick=(),
        size=224,
        reduced=0,
        maps=(64, 128, 256, 512),
        residual=False,
        use_heatmap=True,
        features=256,
        dropout=0.5,
        equalise=False,
        mirror=False,
        tight=0.0,
        share=0.5,
        smoothing=0.0,
        balance=0.0,
        mixup=0.0,
        points_share=0.5,
        batch=50,
        rate=1e-3,
        turn=0.0,
        weight_decay=0.0,
        minutes=600.0,
        augmentation=Augmentation(
            shift=0, scale=0, rotation=0, flip=0, colour=1, grey=0, blur=0, jpeg=0, noise=0, occluder=0
        ),
    )
}

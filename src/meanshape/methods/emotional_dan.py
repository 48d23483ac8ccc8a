"""EmotionalDAN: landmarks and emotion learnt together (Tautkute, Trzcinski, Bielski, CVPR workshops 2018).

DAN's stages bring the face upright; the last stage sees it with a heatmap of the shape so far, and two
heads read its features: one moves the points as in DAN, one says which emotion the face seems to show. The
joint loss is share * error of the points + (1 - share) * cross entropy.

What differs from the paper: no data set at hand has both labels, so batches hold faces of both kinds and
each pays for the label that it has; the stages before the joint one are a finished DAN, made quicker; the
joint stage sees the frame of the stage before in grey and smaller, and its mirror image, without heatmap or
feature image; labels are smoothed, partly those of models that teach, classes weighted, weights averaged;
the probabilities are calibrated on the validation faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.boxes import BoxLike, as_box, box_in
from meanshape.core.errors import ConfigError, MissingExtra, WeightsError
from meanshape.core.geometry import apply, invert
from meanshape.core.image import ImageLike, Pixels, image_size, read_image, warp
from meanshape.core.regular import read_text
from meanshape.core.types import Box, Emotion, Sample, Shape
from meanshape.core.weights import Files
from meanshape.methods import dan
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.parts.arrays import load_points
from meanshape.methods.parts.graph import Graph
from meanshape.methods.parts.onnx_session import OnnxSession
from meanshape.training.augment import Augmentation
from meanshape.training.sampling import square_matrix, square_mean

GRAPH, MEAN, LABELS = "model.onnx", "mean.npy", "labels.txt"
BATCH = 32
EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
SMALL = 20.0
"""Faces below this size (pixels, square root of the box's area) get flatter probabilities."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is decided before an EmotionalDAN is trained. Defaults are the shipped model's."""

    cascade: dan.Config = field(default_factory=lambda: dan.Config(minutes=(0.0, 0.0)))  # 0: as it was loaded
    quick: tuple[int, ...] = (16, 32, 64, 64)  # maps of a lean first stage; none: the cascade as it is
    quick_steps: tuple[int, int] = (2000, 1600)  # to teach it, and to let the second stage get used to it
    quick_again: bool = False  # teach a quick cascade that was loaded once more, with more faces for instance
    size: int = 0  # side of a frame of the joint stage's own, pixels; 0: it sees that of the stage before
    reduced: int = 48  # side that a larger frame is made smaller to before the joint stage sees it; 0: none
    maps: tuple[int, ...] = (32, 64, 128, 256)  # of its convolutions, from halving to halving
    residual: bool = True  # they are residual blocks; else pairs of convolutions, as DAN's
    blocks: tuple[int, ...] = (1, 1, 1, 1)  # how many at each width; none: one, but not at the first
    features: int = 128
    dropout: float = 0.1
    use_heatmap: bool = False  # whether the joint stage sees the shape so far too
    equalise: bool = True  # spread the greys that the joint stage sees, as FER2013's pictures have theirs
    even: float = 0.6  # share of the classes' frequencies that the logits are freed of; 1: all count alike
    mirror: bool = True  # the emotion is the mean of what the face and its mirror image say
    share: float = 0.05  # of the points in the loss
    points_share: float = 0.024  # of faces with points in a batch
    own_points: bool = False  # faces with an emotion also pay for the points that the cascade places on them
    smoothing: float = 0.1  # of the labels
    taught: float = 0.0  # of what EmotionalDANs that teach say, in the labels
    teachers: tuple[str, ...] = ()  # their run folders; none: the one that the training starts from
    as_teacher: bool = False  # begin with the weights of the first teacher's joint stage that fit
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


class EmotionalDAN(LandmarkModel):
    """DAN with a last stage that also answers an emotion, trained in torch and run as one ONNX graph.

    ``emotion(image, box)`` gives an `Emotion`; ``emotions`` those of several faces.
    """

    name: ClassVar[str] = "emotional_dan"
    starts_in_own_box: ClassVar[bool] = True
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config)
        self.threads = threads
        self.labels: tuple[str, ...] = ()
        self._session: OnnxSession | None = None  # none: torch runs
        self._module: Any = None
        self._mean: NDArray[np.float64] | None = None

    @classmethod
    def tiny(cls) -> Self:
        """DAN's tiny cascade and a joint stage for a few dozen faces."""
        cascade = dan.DAN.tiny().config
        moves = replace(cascade.augmentation, rotation=2, shift=0.02)
        small = Config(cascade, (), maps=(8, 16, 32, 64), blocks=(), features=64, augmentation=moves)
        sure = replace(
            small, use_heatmap=True, mirror=False, dropout=0.0, mixup=0.0, share=0.5, points_share=0.5
        )
        slow = replace(sure, rate=2e-4, turn=0.002)  # nothing would damp its moves
        return cls(replace(slow, batch=16, steps=20, warmup=5, ema=0.9))

    def fit(
        self,
        train: Sequence[Sample],
        valid: Sequence[Sample] | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from faces with points, with an emotion (`attributes["emotion"]`), or both, of any label set.

        A face with neither points nor a box fills its picture.
        """
        self.labels = label_set([*train, *(valid or ())])
        return super().fit(
            [_whole(sample) for sample in train],
            None if valid is None else [_whole(sample) for sample in valid],
            seed=seed,
            progress=progress,
        )

    def parents(self) -> tuple[Path, ...]:
        """Return the folders of weights that a fit starts from or is taught by."""
        return (*super().parents(), *map(Path, self.config.teachers))

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        try:
            from meanshape.methods.nets import emotional_dan_training
        except ImportError as error:
            raise MissingExtra.of("train", "Training EmotionalDAN") from error
        assert self.markup is not None
        self._module = emotional_dan_training.fit(
            self.config,
            square_mean([s for s in train if s.shape is not None], self.markup),
            self.markup,
            self.labels,
            train,
            valid,
            seed=seed,
            folder=self.run_folder,
            initial=self.initial,
            progress=progress,
        )
        self._mean = self._module.cascade.mean.numpy().astype(np.float64)
        self._session = None

    def _save(self, folder: Path) -> None:
        from meanshape.methods.nets import emotional_dan_training

        assert self._mean is not None and self.markup is not None
        if self._module is None:
            raise ConfigError(
                "this EmotionalDAN was loaded from a graph without torch weights; copy its folder instead"
            )
        np.save(folder / MEAN, self._mean)
        (folder / LABELS).write_text("".join(f"{label}\n" for label in self.labels), "utf-8")
        emotional_dan_training.save(self._module, folder, self.markup, self.labels)

    def _load(self, folder: Files) -> None:
        self._mean = load_points(folder / MEAN, len(self._fitted()))
        self.labels = tuple(read_text(folder / LABELS).split())
        self._session = OnnxSession(folder / GRAPH, self.threads, self.providers)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return () if self._session is None else self._session.runs_on

    def _run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (N, 2, K, 2) in pixels of the crops, of the cascade's last stage but one, if it has several,
        and of the joint one; and probabilities (N, L).

        The joint stage hardly moves points; how far the one before it did tells more of how sure they are.
        """
        stages = len(self.config.cascade.sizes)
        before = max(1, stages - 1)
        if self._session is not None:
            *points, shares = self._session(
                {"pixels": crops}, f"stage{before}", f"stage{stages + 1}", "emotion"
            )
        else:
            from meanshape.methods.nets import emotional_dan_training

            *shapes, shares = emotional_dan_training.run(self._module, crops)
            points = [shapes[before - 1], shapes[-1]]
        return np.stack(points, 1).astype(np.float64), shares.astype(np.float64)

    def _answer(
        self, images: Sequence[Pixels], boxes: Sequence[Box], starts: Sequence[Shape | None]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (N, 2, K, 2) in image pixels, as of `_run`, and probabilities (N, L)."""
        assert self.markup is not None and self._mean is not None
        size, scale = self.config.cascade.crop_size, self.config.cascade.crop_scale
        matrices = np.stack(
            [
                square_matrix(box, scale, size)
                if start is None
                else dan.upright_matrix(start, self._mean, self.markup, scale, size)
                for box, start in zip(boxes, starts, strict=True)
            ]
        )
        answers = []
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            crops = [warp(i, m, (size, size)) for i, m in zip(images[part], matrices[part], strict=True)]
            answers.append(self._run(np.stack(crops)))
        points, shares = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return apply(invert(matrices)[:, None], points), shares

    def graph(self) -> Graph:
        """Return the graph from the crop to the points, for `meanshape export`."""
        self._fitted()
        cascade = self.config.cascade
        return Graph.of(
            self._session, f"stage{len(self.config.cascade.sizes) + 1}", cascade.crop_size, cascade.crop_scale
        )

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        return self._answer(images, boxes, starts)[0]

    # Emotions

    def predict_all(
        self, images: Sequence[ImageLike], boxes: Sequence[BoxLike]
    ) -> tuple[list[Shape], list[Emotion]]:
        """Return shapes and emotions of faces, from one run."""
        self._fitted()
        if not self.labels:
            raise WeightsError(f"this {self.name} was trained without emotions: it only places points")
        if not len(images):
            return [], []
        faces = [as_box(box) for box in boxes]
        pixels = [read_image(image) for image in images]
        points, shares = self._answer(pixels, faces, [None] * len(faces))
        emotions = [self._emotion(share, box) for share, box in zip(shares, faces, strict=True)]
        return self._shapes(points, pixels), emotions

    def emotions(self, images: Sequence[ImageLike], boxes: Sequence[BoxLike]) -> list[Emotion]:
        """Return what faces seem to express: labels of appearance, with calibrated probabilities."""
        return self.predict_all(images, boxes)[1]

    def emotion(self, image: ImageLike, box: BoxLike | None = None) -> Emotion:
        """Return what one face seems to express; no box: the whole picture."""
        pixels = read_image(image)
        return self.emotions([pixels], [box_in(pixels, box)])[0]

    def attributes(self, image: ImageLike, box: BoxLike | None = None) -> Mapping[str, Any]:
        """Return by attribute a probability for each label: the emotion, if it was learnt."""
        return {"emotion": dict(self.emotion(image, box).probabilities)} if self.labels else {}

    def _emotion(self, shares: NDArray[np.float64], box: Box) -> Emotion:
        """The emotion of a face; below `SMALL` pixels the probabilities draw together, in proportion."""
        trust = min(1.0, box.size / SMALL)
        shares = trust * shares / shares.sum() + (1 - trust) / len(shares)
        probabilities = dict(zip(self.labels, shares.tolist(), strict=True))
        return Emotion(self.labels[int(shares.argmax())], probabilities)


def label_set(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the emotions that occur: ours in our order, then others by name."""
    found = {s.attributes["emotion"] for s in samples if isinstance(s.attributes.get("emotion"), str)}
    return (*(name for name in EMOTIONS if name in found), *sorted(found - set(EMOTIONS)))


def _whole(sample: Sample) -> Sample:
    """Return a sample with neither points nor box with a box of its whole picture."""
    if sample.box is not None or sample.shape is not None:
        return sample
    image = sample.image
    if isinstance(image, (str, Path)):
        width, height = image_size(image)
    else:
        height, width = read_image(image).shape[:2]
    return replace(sample, box=Box.whole(width, height))


MODEL = EmotionalDAN

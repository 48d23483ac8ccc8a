"""Predict with EmotionalDAN: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box, BoxLike, as_box, box_in
from meanshape.core.errors import WeightsError
from meanshape.core.face import Emotion
from meanshape.core.image import ImageLike, image_size, read_image
from meanshape.core.regular import read_text
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import Progress
from meanshape.methods.dan import model as dan
from meanshape.methods.emotional_dan.config import Config
from meanshape.methods.shared.deep_model import MEAN, Run, Samples, UprightModel, in_images
from meanshape.training.sampling import square_mean

LABELS = "labels.txt"
EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
SMALL = 20.0
"""Faces below this size (pixels, square root of the box's area) get flatter probabilities."""


class EmotionalDAN(UprightModel):
    """DAN with a last stage that also answers an emotion, trained in torch and run as one ONNX graph.

    ``emotion(image, box)`` gives an `Emotion`; ``emotions`` those of several faces.
    """

    name: ClassVar[str] = "emotional_dan"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None, *, threads: int = 1) -> None:
        super().__init__(config, threads=threads)
        self.labels: tuple[str, ...] = ()

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

    @property
    def _files(self) -> tuple[str, ...]:
        return *super()._files, LABELS

    @property
    def _frame(self) -> tuple[int, float]:
        return self.config.cascade.crop_size, self.config.cascade.crop_scale

    @property
    def output(self) -> str:
        """The output of the graph that `meanshape export` keeps."""
        return f"stage{len(self.config.cascade.sizes) + 1}"

    def _train(self, out: Path, train: Samples, valid: Samples | None, **run: Unpack[Run]) -> None:
        from meanshape.methods.emotional_dan import training

        kind = self._fitted()
        module = training.fit(
            self.config,
            square_mean([s for s in train if s.shape is not None], kind),
            kind,
            self.labels,
            train,
            valid,
            **run,
        )
        np.save(out / MEAN, module.cascade.mean.numpy().astype(np.float64))
        (out / LABELS).write_text("".join(f"{label}\n" for label in self.labels), "utf-8")
        training.save(module, out, kind, self.labels)

    def _load(self, folder: Files) -> None:
        self.labels = tuple(read_text(folder / LABELS).split())
        super()._load(folder)

    def _run(self, crops: NDArray[np.uint8], **options: Any) -> list[NDArray[np.float32]]:
        """Points (N, 2, K, 2) in pixels of the crops, of the cascade's last stage but one, if it has several,
        and of the joint one; and probabilities (N, L).

        The joint stage hardly moves points; how far the one before it did tells more of how sure they are.
        """
        before = max(1, len(self.config.cascade.sizes) - 1)
        *points, shares = self._session()({"pixels": crops}, f"stage{before}", self.output, "emotion")
        return [np.stack(points, 1), shares]

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
        matrices, (points, shares) = self._answers(pixels, faces, [None] * len(faces))
        shares = shares.astype(np.float64)
        emotions = [self._emotion(share, box) for share, box in zip(shares, faces, strict=True)]
        return self._shapes(in_images(points, matrices), pixels), emotions

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

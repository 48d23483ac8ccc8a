"""Predict with EmotionalDAN: numpy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.dan import model as dan
from meanshape.methods.emotional_dan.config import Config
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.onnx.session import OnnxSession
from meanshape.methods.shared.arrays import load_points
from meanshape.training.sampling import square_matrix, square_mean

GRAPH, MEAN, LABELS = "model.onnx", "mean.npy", "labels.txt"
BATCH = 32
EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
SMALL = 20.0
"""Faces below this size (pixels, square root of the box's area) get flatter probabilities."""


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
            from meanshape.methods.emotional_dan import training
        except ImportError as error:
            raise MissingExtra.of("train", "Training EmotionalDAN") from error
        assert self.markup is not None
        self._module = training.fit(
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
        from meanshape.methods.emotional_dan import training

        assert self._mean is not None and self.markup is not None
        if self._module is None:
            raise ConfigError(
                "this EmotionalDAN was loaded from a graph without torch weights; copy its folder instead"
            )
        np.save(folder / MEAN, self._mean)
        (folder / LABELS).write_text("".join(f"{label}\n" for label in self.labels), "utf-8")
        training.save(self._module, folder, self.markup, self.labels)

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
            from meanshape.methods.emotional_dan import training

            *shapes, shares = training.run(self._module, crops)
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

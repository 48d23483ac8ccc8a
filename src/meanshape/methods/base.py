"""What every method is: fitted on samples, then asked for the points in a face box.

A method overrides `_fit`, `_predict_batch`, `_save` and `_load` and gets the rest here: any kind of picture,
no box, many pictures of mixed sizes, `NotFitted`, checked and hashed folders.
"""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core import config as configs
from meanshape.core import registry, toml, weights
from meanshape.core.box import Box, BoxLike, box_in
from meanshape.core.errors import (
    ConfigError,
    MeanshapeError,
    NotFitted,
    ShapeError,
    WeightsError,
    in_words,
    writing,
)
from meanshape.core.image import ImageLike, Pixels, read_image
from meanshape.core.markup import MarkUp, from_toml, named, shipped, to_toml
from meanshape.core.origin import Origin, joined
from meanshape.core.regular import read_text
from meanshape.core.sample import Sample, refuse_evaluation_only
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.onnx.graph import Graph
from meanshape.methods.shared.confidence import FILE as CONFIDENCE
from meanshape.methods.shared.confidence import Confidence, Found
from meanshape.training import run_folder

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

CONFIG = "config.toml"
MARKUP = "markup.toml"
"""A mark-up of the user's own; those of the package are known by their names."""

Answer = Sequence[Shape] | NDArray[np.float64] | Found

Progress = Callable[[float, str], None]
"""Called while a fit goes on, with the share that is done (0..1) and a few words."""


class LandmarkModel(ABC):
    """A method that places the points of one mark-up in a face box.

    Class attributes: `name` (the file's), `Config` (a frozen dataclass, the paper's values as defaults).
    Attributes: `config`; `markup`, None until fitted or loaded; `threads` and `providers`, for ONNX Runtime;
    `confidence`, what makes the points' confidence, None where nobody calibrated the model; `origin`, its
    terms and data, which whoever fits a model may set before it is saved.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    needs_weights: ClassVar[bool] = True
    threads: int = 1
    providers: Sequence[Provider] | None = None
    confidence: Confidence | None = None
    origin: Origin = Origin()
    starts_from_weights: ClassVar[bool] = False  # a fit may begin with those in the folder `initial`
    starts_in_own_box: ClassVar[bool] = False  # of a whole shape as start, only box and turn count
    learns_from_others: ClassVar[bool] = (
        False  # samples of a poorer mark-up may teach through the conversion to it
    )

    def __init__(self, config: Any = None) -> None:
        """Take a config, or the paper's."""
        if config is not None and not isinstance(config, self.Config):
            raise ConfigError(f"{self.name} takes a {self.Config.__qualname__}, not {type(config).__name__}")
        self.config = self.Config() if config is None else config
        self.markup: MarkUp | None = None
        self.run_folder: Path | None = None  # where a long fit keeps checkpoints and curves, and resumes from
        self.initial: Path | None = None  # a folder of weights that a fit may start from

    # What a method brings

    @abstractmethod
    def _fit(
        self,
        train: Sequence[Sample],
        valid: Sequence[Sample] | None,
        *,
        seed: int,
        progress: Progress,
    ) -> None:
        """Learn; every sample has pixels, a box, and a shape of `self.markup` or no shape."""

    @abstractmethod
    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> Answer:
        """Return a shape for each picture, or their points in image pixels: (N, K, 2), or (N, S, K, 2) after
        the last S stages, which tell how sure the answer, the last, is; or, of methods that vote, `Found`.
        """

    @abstractmethod
    def _save(self, folder: Path) -> None:
        """Write what was learnt; the config is written already, hashes are added after."""

    @abstractmethod
    def _load(self, folder: Files) -> None:
        """Read what `_save` wrote as `folder / NAME`: files of the card, checked already; `config` and
        `markup` are set.
        """

    def graph(self) -> Graph:
        """Return the ONNX graph that the method runs and its crop, for `meanshape export`.

        Raises `ConfigError` for methods that run none.
        """
        raise ConfigError(
            f"{self.name} runs no single ONNX graph, so there is none to export; models of these methods "
            f"can be exported: {', '.join(exportable())}"
        )

    @property
    def stage_count(self) -> int:
        """Return how many stages can be asked for one by one, 0 for none."""
        return 0

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first; none: it runs without."""
        return ()

    def parents(self) -> tuple[Path, ...]:
        """Return the folders of weights that a fit starts from or is taught by; their terms are inherited."""
        return () if self.initial is None else (self.initial,)

    @classmethod
    def tiny(cls) -> Self:
        """Return a model whose config fits a few dozen faces in seconds, for tests."""
        return cls()

    # What users call

    def fit(
        self,
        train: Sequence[Sample],
        valid: Sequence[Sample] | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from samples of one mark-up; the same seed gives the same model.

        A sample without a box gets the tight box of its points.
        """
        if self.initial is not None and not self.starts_from_weights:
            raise ConfigError(f"{self.name} starts from nothing: leave out --init, the weights to start from")
        refuse_evaluation_only((*train, *(valid or ())), f"{self.name} cannot be fitted")
        self.markup, self.confidence = self._target(train, valid), None
        self.origin = joined([Origin(), *(weights.read_card(parent).origin for parent in self.parents())])
        if self.run_folder is not None:
            run_folder.begin(self.run_folder, self._asked(train, valid, seed))
        try:
            self._fit(
                [_boxed(sample) for sample in train],
                None if valid is None else [_boxed(sample) for sample in valid],
                seed=seed,
                progress=progress or (lambda share, text: None),
            )
        except BaseException:
            self.markup = None
            raise
        return self

    def predict(
        self, image: ImageLike, box: BoxLike | None = None, *, start: Shape | None = None, **options: Any
    ) -> Shape:
        """Return the points of the face in `box`, in image pixels.

        Parameters
        ----------
        image : path, bytes, open file, PIL image or array (RGB)
        box : the canonical face box (the tight box of the 68 points), or its four numbers; none: the whole
            picture
        start : five points or an earlier shape, for methods that can use one
        options : what only this method understands
        """
        return self.predict_batch([image], [box], [start], **options)[0]

    def predict_batch(
        self,
        images: Sequence[ImageLike],
        boxes: Sequence[BoxLike | None] | NDArray[Any] | None = None,
        starts: Sequence[Shape | None] | None = None,
        **options: Any,
    ) -> list[Shape]:
        """Return the points of one face in each of several pictures, which may differ in size."""
        self._fitted()
        pixels = [read_image(image) for image in images]
        boxes = [boxes] if isinstance(boxes, Box) else boxes
        given = [None] * len(pixels) if boxes is None else list(boxes)
        starts = [None] * len(pixels) if starts is None else list(starts)
        if not len(pixels) == len(given) == len(starts):
            raise ShapeError(f"{len(pixels)} images came with {len(given)} boxes and {len(starts)} starts")
        if not pixels:
            return []
        whole = [box_in(image, box) for image, box in zip(pixels, given, strict=True)]
        found = self._predict_batch(pixels, whole, starts, **options)
        return self._shapes(found, pixels, sure=not options)

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder, with a card; a new folder appears whole or not at all."""
        kind = self._fitted()
        folder = Path(folder)
        with writing(folder), _scratch(folder) as scratch:
            inner = Path(scratch) / "model"
            inner.mkdir()
            configs.save(self.config, inner / CONFIG)
            if not shipped(kind):
                (inner / MARKUP).write_text(to_toml(kind), "utf-8")
            self._save(inner)
            if self.confidence is not None:
                self.confidence.save(inner)
            files = [path.relative_to(inner).as_posix() for path in inner.rglob("*") if path.is_file()]
            card = weights.Card(folder.name, self.name, markup=kind.name).told(self.origin)
            weights.write_card(inner, card, files)
            _move(inner, folder)
        return folder

    @classmethod
    def load(
        cls, folder: str | Path, *, threads: int = 1, providers: Sequence[Provider] | None = None
    ) -> Self:
        """Return the model in a folder, after checking the SHA-256 of its files.

        `threads` and `providers` are for methods that run under ONNX Runtime; None: the CPU.
        """
        files = weights.Checked(folder)
        card = files.card
        if card.method != cls.name:
            raise WeightsError(f"{folder}: these are weights of {card.method}, not of {cls.name}")
        if card.markup is None:
            raise WeightsError(f"{folder}: the card does not say its markup")
        model = cls(configs.load(cls.Config, files / CONFIG))
        model.markup = _markup(files, card.markup)
        model.threads, model.providers, model.origin = threads, providers, card.origin
        try:
            model._load(files)
            if CONFIDENCE in files:
                model.confidence = Confidence.load(files, model.markup)
        except MeanshapeError:
            raise
        except Exception as error:  # a method's files may be broken in as many ways as they are made of
            raise WeightsError(f"{folder}: these weights cannot be used ({in_words(error)})") from error
        return model

    def _shapes(self, answer: Answer, images: Sequence[Pixels], sure: bool = True) -> list[Shape]:
        """Return what `_predict_batch` found as shapes; with their confidence, if `sure` and it is known."""
        kind = self._fitted()
        if not isinstance(answer, np.ndarray | Found):
            return list(answer)
        found = as_found(answer)
        confidence = self.confidence(found, images) if sure and self.confidence is not None else None
        if confidence is None:
            return [Shape(face, kind) for face in found.points]
        each = zip(found.points, confidence, strict=True)
        return [Shape(face, kind, confidence=known) for face, known in each]

    def _asked(self, train: Sequence[Sample], valid: Sequence[Sample] | None, seed: int) -> dict[str, Any]:
        """Return what decides about a fit, for whoever goes on with it after a kill."""
        return {
            "method": self.name,
            "seed": seed,
            "processes": run_folder.place()[1],
            "faces": run_folder.faces(train),
            "faces to choose by": run_folder.faces(valid),
            "starts from": {str(n): dict(weights.read_card(f).files) for n, f in enumerate(self.parents())},
            "setting": configs.to_dict(self.config),
        }

    def _target(self, train: Sequence[Sample], valid: Sequence[Sample] | None) -> MarkUp:
        """Return the mark-up to learn: the only one of the samples, or the one that the others are poorer
        than.
        """
        kinds = {sample.shape.markup for sample in (*train, *(valid or ())) if sample.shape is not None}
        if not any(sample.shape is not None for sample in train):
            raise ShapeError(f"{self.name} cannot be fitted: none of {len(train)} samples has points")
        richest = max(kinds, key=lambda kind: (len(kind), kind.name))
        others = {kind.name for kind in kinds - {richest}}
        poorer = all(len(kind) < len(richest) for kind in kinds - {richest})
        if others and not (self.learns_from_others and poorer and others <= set(richest.conversions)):
            both = " and ".join(sorted(kind.name for kind in kinds))
            raise ShapeError(f"{self.name} is fitted on one mark-up, not {both}; convert with Shape.to")
        return richest

    def _fitted(self) -> MarkUp:
        """Return the mark-up of a model that is fitted, or raise `NotFitted`."""
        if self.markup is None:
            raise NotFitted(f"{self.name} was neither fitted nor loaded: call fit(samples), or ms.load(name)")
        return self.markup


def as_found(answer: Answer) -> Found:
    """Return what `_predict_batch` answered, whatever its form."""
    if isinstance(answer, Found):
        return answer
    if not isinstance(answer, np.ndarray):
        answer = np.stack([shape.points for shape in answer])
    return Found(answer[:, None] if answer.ndim == 3 else answer)


def _markup(files: weights.Checked, name: str) -> MarkUp:
    """Return the mark-up of the weights in a folder: their own, or one of the package."""
    if MARKUP not in files:
        return named(name)
    own = files / MARKUP
    try:
        return from_toml(name, read_text(own, toml.LARGEST))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{own}: cannot be read ({error})") from error


def exportable() -> list[str]:
    """Return the names of the methods that run one ONNX graph."""
    kinds = {name: registry.method(name) for name in registry.names("methods")}
    return [name for name, kind in kinds.items() if kind.graph is not LandmarkModel.graph]


@contextmanager
def _scratch(folder: Path) -> Iterator[str]:
    """Yield a folder beside the one to be written, on the same disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as made:
        yield made


def _boxed(sample: Sample) -> Sample:
    """Return the sample with a box."""
    if sample.box is not None:
        return sample
    if sample.shape is None:
        raise ShapeError(f"sample {sample.id} has neither points nor a box")
    return replace(sample, box=sample.shape.box())


def _move(inner: Path, folder: Path) -> None:
    """Put a finished folder in its place: renamed if that is free, else file by file, the card last.

    Links that lie in the folder are replaced, not followed.
    """
    if not folder.exists():
        inner.replace(folder)
        return
    for path in sorted(inner.rglob("*"), key=lambda path: (path.name == weights.CARD, path)):
        goal = folder / path.relative_to(inner)
        if path.is_dir():
            if goal.is_symlink():
                goal.unlink()
            goal.mkdir(exist_ok=True)
        else:
            path.replace(goal)
    shutil.rmtree(inner, ignore_errors=True)

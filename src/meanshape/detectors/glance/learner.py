"""What `meanshape train glance` runs: fit on samples, save a folder of weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from meanshape.core import config as configs
from meanshape.core import weights
from meanshape.core.errors import ConfigError, NotFitted, writing
from meanshape.core.files import replacing
from meanshape.core.origin import Origin, joined
from meanshape.core.sample import Sample
from meanshape.detectors.glance.config import PRESETS, Config
from meanshape.training import run_folder


class Learner:
    """Learns to find faces from samples with points or boxes, and from photos of nobody.

    Attributes: `config`; `negatives`, a folder of photos without people; `run_folder`, where checkpoints and
    curves are kept and from which a stopped training goes on; `origin`, terms and data, which may be set
    before it is saved.
    """

    name: ClassVar[str] = "glance"
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any = None) -> None:
        """Take a config, or that of the shipped weights."""
        self.config = self.Config() if config is None else config
        self.negatives: str | Path | None = None
        self.run_folder: Path | None = None
        self.initial: Path | None = None
        self.origin = Origin()
        self._teachers: tuple[Path, ...] = ()
        self._model: bytes | None = None

    def fit(
        self,
        train: Sequence[Sample],
        valid: Sequence[Sample] | None = None,
        *,
        seed: int = 0,
        progress: Callable[[float, str], None] | None = None,
    ) -> Self:
        """Learn; samples of one photo count together, each a face with a box (WIDER FACE) or points."""
        if self.initial is not None:
            raise ConfigError(
                "glance starts from nothing: leave --init out; --resume goes on with a stopped run"
            )
        from meanshape.detectors.glance.training import learn, write

        pointed = any(sample.shape is not None for sample in train)  # `photos.gather` asks mtcnn about those
        self._teachers = (weights.folder("mtcnn"),) if pointed else ()
        self.origin = joined([Origin(), *(weights.read_card(parent).origin for parent in self.parents())])
        if self.run_folder is not None:
            run_folder.begin(self.run_folder, self._asked(train, valid, seed))
        report = progress or (lambda share, text: None)
        net = learn(self.config, train, valid, self.negatives, self.run_folder, seed, report)
        with tempfile.TemporaryDirectory() as scratch:
            write(net, Path(scratch) / "model.onnx")
            self._model = (Path(scratch) / "model.onnx").read_bytes()
        return self

    def _asked(self, train: Sequence[Sample], valid: Sequence[Sample] | None, seed: int) -> dict[str, Any]:
        """Return what decides about a fit, for whoever goes on with it after a kill."""
        return {
            "detector": self.name,
            "seed": seed,
            "faces": run_folder.faces(train),
            "faces to choose by": run_folder.faces(valid),
            "photos without people": None if self.negatives is None else run_folder.photos(self.negatives),
            "setting": configs.to_dict(self.config),
        }

    def parents(self) -> tuple[Path, ...]:
        """Return the folders of weights that had a say in the fit."""
        return self._teachers

    def save(self, folder: str | Path) -> Path:
        """Write the weights, their config and a card."""
        if self._model is None:
            raise NotFitted("this detector has learnt nothing yet: call fit(samples)")
        folder = Path(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / "model.onnx") as file:
                file.write(self._model)
            configs.save(self.config, folder / "config.toml")
        card = weights.Card(folder.name, self.name, markup="mtfl5", kind="detectors").told(self.origin)
        weights.write_card(folder, card, ["model.onnx", "config.toml"])
        return folder


__all__ = ["PRESETS", "Learner"]

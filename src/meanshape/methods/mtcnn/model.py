"""Predict with MTCNN: numpy and ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from meanshape.core.box import Box
from meanshape.core.image import Pixels, crop
from meanshape.core.markup import markup
from meanshape.core.regular import read_bytes
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.core.weights import Files
from meanshape.methods.base import LandmarkModel, Progress
from meanshape.methods.mtcnn import cascade
from meanshape.methods.mtcnn.cascade import Windows
from meanshape.methods.mtcnn.config import Config, Recipe
from meanshape.methods.mtcnn.session import Network
from meanshape.training import run_folder

if TYPE_CHECKING:
    from meanshape.core.runtime import Provider

STAGES = ("pnet", "rnet", "onet")
MIN_FACE = 40.0
"""Pixels of the smallest face that is looked for, unless the caller says."""
FILES = tuple(f"{stage}.onnx" for stage in STAGES)


class Cascade:
    """The three networks under ONNX Runtime, and the search that runs them."""

    def __init__(
        self,
        folder: Files,
        config: Config,
        *,
        threads: int = 1,
        providers: Sequence[Provider] | None = None,
    ) -> None:
        """Load the networks in `folder`."""
        self.config = config
        paths = [folder / name for name in FILES]
        self.pnet = Network(paths[0], threads, providers, points=False)
        self.rnet, self.onet = (Network(path, threads, providers) for path in paths[1:])

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, those of P-Net first."""
        nets = (self.pnet, self.rnet, self.onet)
        return tuple(dict.fromkeys(name for net in nets for name in net.runs_on))

    def find(
        self,
        image: Pixels,
        *,
        min_face: float | None = None,
        factor: float | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> Windows:
        """Return the faces in RGB pixels (H, W, 3), best first, with boxes, scores and five points."""
        first, second, third = self.config.thresholds if thresholds is None else thresholds
        crops = cascade.Crops(image)
        scan = self._scan(min_face, factor)
        found = cascade.propose(crops, self.pnet, scan, first, self.config.support)
        found = cascade.refine(crops, self.rnet, found, second)
        return cascade.conclude(crops, self.onet, found, third, self.config.looks, self.config.mirror)

    def pixels(self, width: int, height: int, min_face: float | None, factor: float | None) -> int:
        """Return how many pixels P-Net sees of a photo of this size, over all levels of the pyramid."""
        across, down = cascade.layout(width, height, self._scan(min_face, factor))[1]
        return across * down

    def _scan(self, min_face: float | None, factor: float | None) -> cascade.Scan:
        smallest = MIN_FACE if min_face is None else min_face
        step = self.config.factor if factor is None else factor
        return cascade.Scan(smallest * self.config.stretch, step, self.config.stride)

    def check(self, image: Pixels, boxes: Sequence[Box]) -> list[float]:
        """Return R-Net's score of each canonical face box in RGB pixels (H, W, 3)."""
        if not boxes:
            return []
        own = cascade.from_part(np.array([box.as_list() for box in boxes]), self.config.canonical)
        squares = [Box(*square) for square in cascade.square(own).tolist()]
        pixels = np.stack([crop(image, square, 24)[0] for square in squares])
        return [float(score) for score in self.rnet(cascade.planes(pixels))[0]]


class MTCNN(LandmarkModel):
    """Places five points in a face box by O-Net; without a box, the whole cascade looks for the best face."""

    name: ClassVar[str] = "mtcnn"
    Config: ClassVar[type[Any]] = Config

    learns_from_others: ClassVar[bool] = True
    networks: tuple[bytes, bytes, bytes]
    negatives: str | Path | Sequence[Pixels] | None = None  # people-free photos, or their folder
    _cascade: Cascade

    @classmethod
    def tiny(cls) -> Self:
        """Return a model that fits a few dozen faces in seconds."""
        return cls(
            Config(
                pnet=(8, 8, 8), rnet=(8, 8, 16, 32), onet=(8, 16, 16, 32, 64),
                recipe=Recipe(
                    random_windows=(300, 100, 100), scenes=4, empty_scenes=4, again=20, batch=64,
                    steps=(80, 60, 160),
                ),
            )
        )  # fmt: skip

    def _asked(self, train: Sequence[Sample], valid: Sequence[Sample] | None, seed: int) -> dict[str, Any]:
        given = self.negatives
        photos = run_folder.photos(given) if isinstance(given, str | Path) else str(len(given or ()))
        return super()._asked(train, valid, seed) | {"photos without people": photos}

    def _fit(
        self, train: Sequence[Sample], valid: Sequence[Sample] | None, *, seed: int, progress: Progress
    ) -> None:
        """Learn from faces with 5 or 68 points, mixed at will, and from `self.negatives`.

        Without photos of no people, parts of faces and drawn textures must do, and the detector will find
        faces where there are none. With `self.run_folder` an interrupted training goes on from there.
        """
        self.markup = markup("mtfl5")  # whatever the samples have, five points are learnt
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch if self.run_folder is None else self.run_folder)
            train_mtcnn(train, self.negatives, folder, self.config, seed, progress)
            self._load(folder)

    def _predict_batch(
        self, images: list[Pixels], boxes: list[Box], starts: list[Shape | None], **options: Any
    ) -> NDArray[np.float64]:
        out = np.empty((len(images), 5, 2))
        given = []
        for n, (image, box) in enumerate(zip(images, boxes, strict=True)):
            whole = Box.whole(image.shape[1], image.shape[0])
            found = self._cascade.find(image) if box == whole else Windows(np.empty((0, 4)), np.empty(0))
            if len(found) and found.points is not None:
                out[n] = found.points[0]
            else:
                given.append(n)
        if given:
            out[given] = self._look([images[n] for n in given], [boxes[n] for n in given])
        return out

    def _look(self, images: list[Pixels], boxes: list[Box]) -> NDArray[np.float64]:
        """Return five points (N, 5, 2) of one face per picture, by O-Net alone."""
        crops = [cascade.Crops(image) for image in images]
        squares = cascade.square(
            cascade.from_part(np.array([b.as_list() for b in boxes]), self.config.canonical)
        )
        points = np.zeros((len(boxes), 5, 2))
        for turn in range(self.config.looks):
            mirror = self.config.mirror and turn == self.config.looks - 1
            pixels = np.concatenate([c(s[None], 48) for c, s in zip(crops, squares, strict=True)])
            _, offsets, flat = cascade.answer(self._cascade.onet, pixels, mirror)
            boxes_now, seen = cascade.decode(squares, offsets, flat)
            points = (turn * points + seen) / (turn + 1)
            again = cascade.square(boxes_now)
            ratio = (again[:, 2] - again[:, 0]) / (squares[:, 2] - squares[:, 0])
            calm = (ratio > 0.5) & (ratio < 2)  # a box far from the given one is not believed
            squares = np.where(calm[:, None], again, squares)
        return points

    def _save(self, folder: Path) -> None:
        for name, data in zip(FILES, self.networks, strict=True):
            (folder / name).write_bytes(data)

    def _load(self, folder: Files) -> None:
        first, second, third = (read_bytes(folder / name) for name in FILES)
        self.networks = first, second, third
        self._cascade = Cascade(folder, self.config, threads=self.threads, providers=self.providers)

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Return ONNX Runtime's providers that do the work, the busiest first."""
        return self._cascade.runs_on


def train_mtcnn(
    samples: Sequence[Sample],
    negatives: str | Path | Sequence[Pixels] | None,
    out: str | Path,
    config: Config | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Train P-, R- and O-Net one after the other into `out`; goes on where an earlier call stopped."""
    from meanshape.methods.mtcnn.training import train

    return train(
        samples,
        negatives,
        Path(out),
        config or Config(),
        seed,
        progress or (lambda share, text: None),
    )


MODEL = MTCNN

"""What a worker does for a request: decode a picture, find its faces, show how a model works.

Answers about uploads are JSON already, as bytes: thousands of points are not written on the server's one
thread.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from meanshape.apps.web import explain
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.photo_jobs import PhotoJobs
from meanshape.core import weights
from meanshape.core.errors import ImageError, UnknownName
from meanshape.core.image import Pixels, image_size, read_image
from meanshape.core.markup import markup_names
from meanshape.formats.text import dump_json
from meanshape.inference.pipeline import SETTINGS, Pipeline
from meanshape.inference.tracking import Tracker
from meanshape.inference.turns import SEARCHES

KEPT = 6
"""Pipelines in memory; the one that was not used for longest goes first."""
SESSIONS = 64
IDLE = 30.0
"""Seconds after which a video's tracker is forgotten."""


class Jobs:
    """Models kept ready, and what is done with them; each method is a kind of request.

    Parameters
    ----------
    defaults : options of every `Pipeline` that a request does not set
    limits : what is taken on
    """

    def __init__(self, defaults: Mapping[str, Any], limits: Limits) -> None:
        self._defaults, self._limits = dict(defaults), limits
        self._pipelines: OrderedDict[tuple[tuple[str, Any], ...], Pipeline] = OrderedDict()
        self._trackers: OrderedDict[str, tuple[Tracker, float]] = OrderedDict()

    def ready(self) -> None:
        """Load the default models, or raise what is wrong with them."""
        self.pipeline()

    def name(self, **options: Any) -> str:
        """Return the name of the model that these options ask for."""
        return self.pipeline(**options).name

    def detect(
        self,
        data: bytes,
        name: str | None,
        options: Mapping[str, Any],
        video: str | None = None,
        at: float | None = None,
    ) -> bytes:
        """Return the faces of one picture; of a frame of a video, `at` so many seconds."""
        pipeline, pixels = self._seen(data, **options)
        if video is None or at is None:
            return _json(pipeline(pixels, source=name).to_dict())
        return _json(self._tracker(video, pipeline)(pixels, at, source=name).to_dict())

    def steps(self, data: bytes, model: str | None, face: int) -> bytes:
        """Return what a model does to one face of a picture."""
        return _json(explain.steps(*self._seen(data, model=model), face))

    def modes(self, model: str, weights: str, kind: str) -> bytes:
        """Return what a model's modes make."""
        return _json(explain.modes(self.pipeline(model=model).model, weights, kind))

    def photo(self, work: str, **details: Any) -> Any:
        """Do with a photo of the folder what a method of `PhotoJobs` does."""
        return getattr(PhotoJobs(self.pipeline), work)(**details)

    def pipeline(self, **options: Any) -> Pipeline:
        """Return the pipeline of these options, made or kept."""
        _check_names(options)
        wanted = self._defaults | {name: value for name, value in options.items() if value is not None}
        key = tuple(sorted(wanted.items()))
        if key not in self._pipelines:
            self._pipelines[key] = self._made(wanted)
            while len(self._pipelines) > KEPT:
                self._pipelines.popitem(last=False)
        self._pipelines.move_to_end(key)
        return self._pipelines[key]

    def _made(self, wanted: dict[str, Any]) -> Pipeline:
        """Return a pipeline, on the networks of one that is kept if only settings differ.

        On the CPU all pipelines share one detector: its memory grows with the largest picture.
        """
        networks = {item for item in wanted.items() if item[0] not in SETTINGS}
        for key, pipeline in self._pipelines.items():
            if {item for item in key if item[0] not in SETTINGS} == networks:
                settings: Any = {name: wanted.get(name, plain) for name, plain in SETTINGS.items()}
                return pipeline.with_settings(**settings)
        for other in self._pipelines.values():
            if "device" not in wanted:
                return Pipeline(**wanted | {"detector": other.detector})
        return Pipeline(**wanted)

    def _seen(self, data: bytes, **options: Any) -> tuple[Pipeline, Pixels]:
        """Return the pipeline of these options, and the decoded picture if it is not too much work for it.

        What is too much is known before. Large pictures are searched as they stand, unless told otherwise.
        """
        pipeline = self.pipeline(**options)
        width, height = image_size(data)
        looks = pipeline.detector.looked_at(width, height, pipeline.min_face)
        if pipeline.turns == "auto" and SEARCHES * looks > self._limits.looks:
            pipeline = self.pipeline(**{**options, "turns": "none"})
        looks *= 1 if pipeline.turns == "none" else SEARCHES
        if looks > self._limits.looks:
            raise ImageError(
                f"faces as small as this in {width} x {height} pixels want {looks:,} pixels to be looked at, "
                f"over the limit of {self._limits.looks:,}; make the picture smaller, or min_face larger"
            )
        return pipeline, read_image(data, max_pixels=self._limits.pixels)

    def _tracker(self, session: str, pipeline: Pipeline) -> Tracker:
        """Return the tracker of a video that a client shows."""
        now = time.monotonic()
        tracker, _ = self._trackers.pop(session, (None, now))
        if tracker is None or tracker.pipeline is not pipeline:
            tracker = Tracker(pipeline)
        self._trackers[session] = (tracker, now)
        for name in [n for n, (_, used) in self._trackers.items() if now - used > IDLE]:
            del self._trackers[name]
        while len(self._trackers) > SESSIONS:
            self._trackers.popitem(last=False)
        return tracker


def _check_names(options: Mapping[str, Any]) -> None:
    """Refuse what is no name: elsewhere models and mark-ups may be files, here a request must reach none."""
    for option, kind, known in (
        ("model", "shipped model", weights.names()),
        ("markup", "mark-up", markup_names()),
    ):
        name = options.get(option)
        if name is not None and name not in known:
            raise UnknownName.of(kind, name, known)


def _json(answer: Any) -> bytes:
    return dump_json(answer).encode()


__all__ = ["Jobs"]

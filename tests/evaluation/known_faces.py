"""Faces whose truth is known, and models that know it, or do not."""

import numpy as np

from meanshape.core.box import Box
from meanshape.core.face import Face
from meanshape.core.sample import Sample
from meanshape.core.shape import Shape
from meanshape.datasets.parts.drawing import template
from meanshape.detectors.base import FaceDetector
from meanshape.methods.base import LandmarkModel
from meanshape.methods.mean_shape import Config


def faces(count=6, size=(90, 120), seed=0, markup="ibug68"):
    """Samples with a noise picture each and a face somewhere in it; boxes are tight boxes of 68 points."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        points = template() * rng.uniform(18, 22) + rng.uniform(-8, 8, 2) + (size[1] / 2, size[0] / 2)
        shape = Shape(points + rng.normal(0, 0.5, points.shape))
        made.append(Sample(f"face{number}", pixels, shape.to(markup), shape.box()))
    return made


class Oracle(LandmarkModel):
    """Answers the truth of the picture it is shown, changed by `change`; notes what it was given."""

    name = "oracle"
    Config = Config

    def __init__(self, samples, change=lambda points, number: points, markup="ibug68"):
        super().__init__()
        self.truth = {s.pixels().tobytes(): (s.shape.points, n) for n, s in enumerate(samples)}
        self.change = change
        self.given = []
        self.markup = Shape(np.zeros((68, 2))).to(markup).markup

    def _fit(self, train, valid, *, seed, progress):
        raise NotImplementedError

    def _save(self, folder):
        raise NotImplementedError

    def _load(self, folder):
        raise NotImplementedError

    def _predict_batch(self, images, boxes, starts, **options):
        assert not options and starts == [None] * len(images)
        self.given += list(zip(images, boxes, strict=True))
        known = [self.truth[image.tobytes()] for image in images]
        return [Shape(self.change(points, n), "ibug68").to(self.markup) for points, n in known]


class Finder(FaceDetector):
    """Finds what it is told to find, in boxes that are half the canonical ones."""

    name = "whole_image"

    def __init__(self, boxes):
        self.boxes, self.looks = boxes, 0

    def _detect(self, image, **options):
        self.looks += 1
        return [Face(box.scaled(0.5), score=0.9) for box in self.boxes.get(image.tobytes(), [])]

    def canonical(self, box: Box) -> Box:
        return box.scaled(2)

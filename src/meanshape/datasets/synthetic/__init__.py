"""Rendered faces: a seeded generator of pictures whose 68 points are exact, free for any use.

    face(7, size=128)                      one face: a sample with pixels, points, box and labels
    scene(7, size=(640, 480), faces=5)     many faces in one picture
    clutter(7)                             a picture without a face
    samples("2000", "train")               a data set that renders its pictures when they are asked for
    write(FOLDER, "2000")                  the same as files; FOLDER is then a root like any other

As a data argument, the root is the number of faces, or `COUNT@SIZE` or `COUNT@SIZE@SEED`:
`synthetic:2000@160:train`. The splits never share a face.

A picture comes about in this order: `person` draws who it is and what the face does, `head` moves the
control points of a 3-D head and spans a grid of vertices through them, `camera` and `raster` say which
place of the grid each pixel shows, `atlas` what lies there (skin, lips, brows, …), `paint`, `hair` and
`props` give it colour and light, `render` puts the parts together and `generate` adds background, clutter
and the camera's faults. Options: `generate.Options`.
"""

from meanshape.datasets.synthetic.clutter import clutter, write_clutter
from meanshape.datasets.synthetic.dataset import Rendered, card, miniature, origin, samples, verify, write
from meanshape.datasets.synthetic.generate import EMOTIONS, Options, face, scene

__all__ = [
    "EMOTIONS",
    "Options",
    "Rendered",
    "card",
    "clutter",
    "face",
    "miniature",
    "origin",
    "samples",
    "scene",
    "verify",
    "write",
    "write_clutter",
]

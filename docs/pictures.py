"""Draw the pictures in docs/images again: `make picture`."""

from pathlib import Path

import numpy as np
from picture_cascade import main as draw_cascade
from picture_modes import main as draw_modes

from meanshape import Pipeline
from meanshape.core.box import Box
from meanshape.core.image import crop, read_image, write_image
from meanshape.inference.lineage import answers, sheet, shipped
from meanshape.inference.overlay import Style, draw

ROOT = Path(__file__).parent.parent
VIEW = Box(140, 5, 310, 205)
"""The astronaut's head, in pixels of the photo."""
SIZE = (680, 800)


def main() -> None:
    """Draw all points, and the names of the groups, side by side."""
    photo = read_image(ROOT / "examples" / "astronaut.jpg")
    view, _ = crop(photo, VIEW, SIZE)
    pipeline = Pipeline()
    left = draw(view, pipeline(view))
    named = draw(view, pipeline(view), Style(names=True, box=False, score=False, scale=2))
    right, _ = crop(named, Box.whole(named.shape[1], named.shape[0]), SIZE)
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    write_image(ROOT / "docs" / "images" / "astronaut.jpg", np.hstack([left, right]), quality=88)
    (face,) = pipeline.search(photo)
    told = list(answers(photo, face, pipeline, shipped()))
    lineage = sheet(photo, face, told, timed=False)  # times are this machine's, and not what is published
    write_image(ROOT / "docs" / "images" / "lineage.jpg", lineage, quality=86)
    draw_cascade(ROOT / "docs" / "images")
    draw_modes(ROOT / "docs" / "images")


if __name__ == "__main__":
    main()

"""300-VW: 114 videos of a minute, 68 points on every frame (Shen et al., ICCVW 2015).

    ROOT/001/vid.avi  ROOT/001/annot/000001.pts …     (or ROOT/300VW_Dataset_2015_12_14/001/…)

Frames are read from the video when asked for, fastest in order; where a folder `frames` or `imgs` beside it
holds 000001.jpg …, from there.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.core.image import read_image
from meanshape.core.shape import Shape
from meanshape.datasets.parts.card import load_card
from meanshape.datasets.parts.drawing import draw
from meanshape.datasets.parts.files import existing_folder, first_of, photos
from meanshape.datasets.parts.lazy import frame, frames, lazy
from meanshape.datasets.parts.reader import reader
from meanshape.datasets.parts.survey import Survey
from meanshape.formats import pts

card = load_card(__file__)


def survey(root: str | Path, split: str | None = None) -> Survey:
    """Look for the videos of a split, count those that are missing, and say which frames are."""
    card.check_split(split)
    root = existing_folder(root, card.name)
    root = first_of(root, "300VW_Dataset_2015_12_14", "") or root
    result = Survey()
    for part in [split] if split else card.splits:
        for number in card.labels[part]:
            name = f"{number:03d}"
            if (root / name).is_dir():
                _add(result, root / name, part)
            elif split:
                result.expected += 1  # a video, of who knows how many frames
    return result


samples, verify = reader(card, survey)


def miniature(folder: str | Path) -> Path:
    """Write a video of two frames, and one as pictures, for the first two videos of each split."""
    import cv2

    root = Path(folder)
    for part, split in enumerate(card.splits):
        for video, number in enumerate(card.labels[split][:2]):
            place = root / f"{number:03d}"
            pictures = [place / "frames" / f"{i + 1:06d}.jpg" for i in range(2)]
            for seed, picture in enumerate(pictures):
                points = draw(picture, 100 * part + 10 * video + seed)
                pts.write_points(place / "annot" / f"{picture.stem}.pts", points)
            if video:
                continue
            writer = cv2.VideoWriter(str(place / "vid.avi"), cv2.VideoWriter.fourcc(*"FFV1"), 25, (150, 140))
            for picture in pictures:
                writer.write(np.ascontiguousarray(read_image(picture)[..., ::-1]))
                picture.unlink()
            writer.release()
            (place / "frames").rmdir()
    return root


def _add(result: Survey, folder: Path, split: str) -> None:
    """Add the labelled frames of a video."""
    extracted = first_of(folder, "frames", "imgs")
    pictures = photos(extracted) if extracted else {}
    video = folder / "vid.avi"
    length = frames(video) if not pictures and video.is_file() else 0
    for label in sorted(folder.glob("annot/*.pts")):
        number = int(label.stem) if label.stem.isdecimal() else 0
        picture: Path | NDArray[Any] | None = pictures.get(label.stem)
        if picture is None and 1 <= number <= length:
            picture = lazy(frame, video, number - 1)
        result.expected += 1
        who = {"video": folder.name, "frame": number}
        result.take(f"{folder.name}/{label.stem}", picture, partial(_shape, label), who, split)


def _shape(label: Path) -> Shape:
    return Shape(pts.read_points(label, count=68), "ibug68")

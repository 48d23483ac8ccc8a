"""Cut the faces out of the photos in a folder, upright and 112 pixels a side: crops.py PHOTOS CROPS."""

import sys
from pathlib import Path

import meanshape as ms
from meanshape.core.image import write_image

photos, crops = map(Path, sys.argv[1:])
crops.mkdir(parents=True, exist_ok=True)
pipeline = ms.Pipeline()
for photo in sorted(photos.glob("*.jpg")):
    for number, face in enumerate(pipeline(photo).faces):
        crop, _, _ = ms.align(photo, face, size=112)
        write_image(crops / f"{photo.stem}_{number}.png", crop)
        print(f"{photo.name}: {photo.stem}_{number}.png, score {face.score:.2f}")

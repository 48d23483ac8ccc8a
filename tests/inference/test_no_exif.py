"""What is written of a photo carries none of its EXIF: neither where it was taken, nor when, nor by what."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from meanshape.apps.cli import main
from meanshape.core.image import read_image, write_image

MAKER = "A maker whose name must not be passed on"
MODEL = 0x0110


@pytest.fixture
def tagged(inside: Path) -> Path:
    """A JPEG and a PNG with the place where they were taken, a maker, a comment and XMP."""
    exif = Image.Exif()
    exif[0x010F] = MAKER
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (47.0, 11.0, 0.0)  # GPS latitude
    picture = Image.effect_noise((96, 72), 60).convert("RGB")
    folder = inside / "photos"
    folder.mkdir()
    picture.save(folder / "a.jpg", exif=exif, comment=MAKER, xmp=f"<x>{MAKER}</x>".encode())
    picture.save(folder / "b.png", exif=exif)
    assert MAKER.encode() in (folder / "a.jpg").read_bytes()
    return folder


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "json", "cvat.xml", "dlib.xml"])
def test_labels_and_overlays_carry_no_exif(tagged: Path, inside: Path, model_folder: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    words = ["detect", "photos", "--model", str(model_folder), "--detector", "whole_image"]
    assert main([*words, "-o", f"out/points.{form}", "--overlay", "out/drawn/"]) == 0
    written = [path for path in (inside / "out").rglob("*") if path.is_file()]
    assert len(written) == 3
    for path in written:
        assert MAKER.encode() not in path.read_bytes()
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as opened:
                assert not opened.getexif() and not {"comment", "xmp", "exif"} & set(opened.info)


def test_an_aligned_face_and_a_written_picture_carry_no_exif(tagged: Path, inside: Path) -> None:
    pixels = read_image(tagged / "a.jpg")
    write_image(inside / "again.jpg", pixels)
    assert MAKER.encode() not in (inside / "again.jpg").read_bytes()

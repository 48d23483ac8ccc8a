import io
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from meanshape.core import geometry
from meanshape.core.box import Box
from meanshape.core.errors import ImageError, OutputError
from meanshape.core.image import crop, image_size, read_image, warp, write_image
from meanshape.core.reflection import looked_up, stored_warp


def picture(height=6, width=9):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **more):
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 200 / width + 20, y * 200 / height + 20, (x + y) * 100 / (height + width)], -1)


class TestRead:
    def test_every_way_in_gives_the_same(self, tmp_path):
        rgb = picture()
        path = tmp_path / "ünï cödé.png"
        Image.fromarray(rgb).save(path)
        for way in (
            path,
            str(path),
            path.read_bytes(),
            Image.fromarray(rgb),
            Image.open(path),
            rgb,
            rgb.tolist(),
        ):
            assert np.array_equal(read_image(way), rgb)
        assert np.array_equal(read_image(rgb[:, :, ::-1], color="bgr"), rgb)
        assert np.array_equal(read_image(np.asfortranarray(rgb)), rgb)
        assert read_image(rgb) is rgb

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, orientation, tmp_path):
        upright = Image.fromarray(smooth(24, 40).astype(np.uint8))
        back = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        stored = upright.transpose(back[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "turned.jpg"
        stored.save(path, exif=exif, quality=98)
        assert image_size(path) == (40, 24)
        for way in (path, Image.open(path)):
            assert np.abs(read_image(way).astype(int) - np.asarray(upright)).max() < 12

    def test_grey_alpha_palette(self):
        rgb = picture()
        grey = rgb[:, :, 0]
        for way in (grey, grey[:, :, None], encoded(Image.fromarray(grey))):
            assert np.array_equal(read_image(way), np.repeat(grey[:, :, None], 3, 2))
        clear = np.dstack([rgb, np.zeros_like(grey)])
        solid = np.dstack([rgb, np.full_like(grey, 255)])
        half = np.dstack([rgb, np.full_like(grey, 128)])
        for make in (lambda a: a, lambda a: encoded(Image.fromarray(a))):
            assert (read_image(make(clear)) == 255).all()
            assert np.array_equal(read_image(make(solid)), rgb)
            mixed = rgb * (128 / 255) + 127
            assert np.abs(read_image(make(half)) - mixed).max() <= 1
        grey_alpha = np.dstack([grey, np.full_like(grey, 255)])
        assert np.array_equal(read_image(grey_alpha)[:, :, 1], grey)
        palette = Image.fromarray(rgb).convert("P")
        assert np.array_equal(read_image(encoded(palette)), np.asarray(palette.convert("RGB")))
        palette.paste(5, (0, 0, *palette.size))
        assert (read_image(encoded(palette, transparency=5)) == 255).all()
        one_bit = Image.fromarray(grey > 100)
        assert np.array_equal(read_image(one_bit)[:, :, 2], np.where(grey > 100, 255, 0))

    def test_sixteen_bits_are_scaled(self):
        deep = np.array([[0, 257, 65535, 32896]], np.uint16)
        for way in (deep, encoded(Image.fromarray(deep)), encoded(Image.fromarray(deep), "TIFF")):
            assert read_image(way)[0, :, 0].tolist() == [0, 1, 255, 128]
        color = np.full((2, 2, 3), 65535, np.uint16)
        assert (read_image(color) == 255).all()

    def test_floats_and_other_numbers_have_a_rule(self):
        assert read_image(np.array([[0.0, 0.5, 1.0]]))[0, :, 0].tolist() == [0, 128, 255]
        assert read_image(np.array([[0, 255]], np.int64))[0, :, 0].tolist() == [0, 255]
        assert read_image(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]
        for wrong in ([[0.0, 255.0]], [[-0.1, 0.5]], [[np.nan, 0.5]], [[0, 300]], [[-1, 3]]):
            with pytest.raises(ImageError, match=r"must lie in 0\.\."):
                read_image(np.array(wrong))

    def test_cmyk(self):
        red = Image.new("RGB", (8, 8), (255, 0, 0)).convert("CMYK")
        assert np.abs(read_image(encoded(red, "JPEG")).astype(int) - (255, 0, 0)).max() < 12

    def test_the_first_frame_of_an_animation(self):
        frames = [Image.new("RGB", (4, 4), color) for color in ("red", "green", "blue")]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert read_image(data)[0, 0].tolist() == [255, 0, 0]

    def test_one_pixel(self):
        assert read_image(encoded(Image.new("L", (1, 1), 7))).tolist() == [[[7, 7, 7]]]

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((5, 4, 5), np.uint8),
            np.zeros((1, 4, 4, 3), np.uint8),
            np.zeros(4, np.uint8),
            np.array([["a"]]),
            None,
            3,
        ],
    )
    def test_what_is_not_a_picture(self, wrong):
        with pytest.raises(ImageError):
            read_image(wrong)

    def test_bad_files_are_named(self, tmp_path):
        jpeg = encoded(Image.fromarray(picture(200, 200)), "JPEG")
        bad = {
            "empty.jpg": b"",
            "truncated.jpg": jpeg[: len(jpeg) // 2],
            "header.jpg": jpeg[:30],
            "text.jpg": b"Dear Sir or Madam",
            "cut.png": encoded(Image.fromarray(picture(50, 50)))[:80],
        }
        for name, data in bad.items():
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ImageError, match=name):
                read_image(tmp_path / name)
        with pytest.raises(ImageError, match=r"there\.png: there is no such file"):
            read_image(tmp_path / "not there.png")
        with pytest.raises(ImageError, match=r"an address, not a file; download it first"):
            read_image("https://example.org/face.jpg")
        with pytest.raises(ImageError):
            read_image(tmp_path)
        with pytest.raises(ValueError, match="empty"):
            read_image(b"")
        with pytest.raises(ImageError, match="color"):
            read_image(picture(), color="brg")

    def test_a_decompression_bomb_is_refused_undecoded(self, tmp_path):
        path = tmp_path / "bomb.png"
        path.write_bytes(png_header(20_000, 20_000))
        with pytest.raises(ImageError, match=r"bomb\.png.*"):
            read_image(path)
        path.write_bytes(png_header(12_000, 10_000))  # over Pillow's warning, under our limit
        assert image_size(path) == (12_000, 10_000)
        with pytest.raises(ImageError, match=r"12000 x 10000 pixels are over the limit of 1,000"):
            read_image(path, max_pixels=1000)

    def test_broken_exif_does_not_lose_the_picture(self):
        data = encoded(Image.fromarray(picture(16, 16)), "JPEG", exif=b"Exif\x00\x00garbage" * 3)
        assert read_image(data).shape == (16, 16, 3)

    def test_reads_in_many_threads(self, tmp_path):
        data = encoded(Image.fromarray(picture(40, 40)), "JPEG")
        found = []
        threads = [threading.Thread(target=lambda: found.append(read_image(data).sum())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"nothing of it"))
        + chunk(b"IEND", b"")
    )


class TestWrite:
    def test_there_and_back(self, tmp_path):
        rgb = picture()
        write_image(tmp_path / "a.png", rgb)
        assert np.array_equal(read_image(tmp_path / "a.png"), rgb)
        write_image(tmp_path / "a.jpg", smooth(40, 40).astype(np.uint8))
        assert np.abs(read_image(tmp_path / "a.jpg") - smooth(40, 40)).max() < 15

    def test_says_no_and_leaves_nothing(self, tmp_path):
        with pytest.raises(ImageError, match="suffix"):
            write_image(tmp_path / "a.xyz", picture())
        with pytest.raises(OutputError, match=r"a\.png: cannot be written"):
            write_image(tmp_path / "no folder" / "a.png", picture())
        with pytest.raises(ImageError):
            write_image(tmp_path / "a.png", np.zeros((0, 0, 3), np.uint8))
        assert list(tmp_path.iterdir()) == []


class TestWarp:
    def test_identity_is_exact(self):
        rgb = picture(20, 30)
        assert np.array_equal(warp(rgb, np.eye(2, 3), (30, 20)), rgb)

    def test_whole_shifts_are_exact_and_borders_reflect(self):
        rgb = picture(20, 30)
        shifted = warp(rgb, [[1, 0, 4], [0, 1, 3]], (40, 30))
        assert np.array_equal(shifted[3:23, 4:34], rgb)
        padded = np.pad(rgb, ((3, 7), (4, 6), (0, 0)), "symmetric")
        assert np.array_equal(shifted, padded)

    @pytest.mark.parametrize("factor", [1 / 9.7, 1 / 4, 1 / 3, 1 / 2, 0.6, 0.8, 0.95, 1, 1.3, 4])
    def test_no_reduction_moves_the_picture(self, factor):
        """A ramp stays where the half-pixel rule puts it, at any factor and whatever path is taken."""
        image = smooth(301, 403)
        box = Box(60.3, 50.7, 60.3 + 40 / factor, 50.7 + 30 / factor)
        if box.right > 400 or box.bottom > 300:
            box = Box(2.3, 3.7, 2.3 + 40 / factor, 3.7 + 30 / factor)
        patch, matrix = crop(image.astype(np.float32), box, (40, 30))
        y, x = np.mgrid[:30, :40]
        source = geometry.apply(geometry.invert(matrix), np.stack([x, y], -1).reshape(-1, 2)).reshape(
            30, 40, 2
        )
        wanted = source[..., 0] * 200 / 403 + 20
        inside = np.s_[2:-2, 2:-2]
        assert np.abs(patch[..., 0] - wanted)[inside].max() < 0.05 / min(factor, 1)

    def test_turned_and_scaled_points_stay_on_their_pixels(self):
        image = np.zeros((200, 240), np.uint8)
        cv2.circle(image, (120, 90), 6, 255, -1)
        angle = np.deg2rad(33)
        cos, sin = 0.4 * np.cos(angle), 0.4 * np.sin(angle)
        matrix = np.array([[cos, -sin, 40.0], [sin, cos, -10.0]])
        out = warp(image, matrix, (120, 100)).astype(float)
        y, x = np.mgrid[:100, :120]
        centre = [(out * x).sum() / out.sum(), (out * y).sum() / out.sum()]
        assert centre == pytest.approx(geometry.apply(matrix, [(120, 90)])[0], abs=0.1)

    @pytest.mark.parametrize("reduction", [1.6, 2, 3.3, 5.5])
    def test_fine_stripes_become_grey_not_coarse_stripes(self, reduction):
        stripes = np.zeros((440, 440), np.uint8)
        stripes[:, ::2] = 255
        size = int(440 / reduction)
        out = crop(stripes, Box.whole(440, 440), size)[0][4:-4, 4:-4].astype(float)
        plain = cv2.resize(stripes, (size, size), interpolation=cv2.INTER_LINEAR)[4:-4, 4:-4].astype(float)
        assert abs(out.mean() - 127.5) < 6
        assert out.std() < 30
        if reduction not in (2, 1.6):
            assert out.std() < plain.std() / 2

    def test_one_axis_reduced_far_more(self):
        image = smooth(400, 60).astype(np.uint8)
        patch, _ = crop(image, Box.whole(60, 400), (60, 20))
        assert np.abs(np.diff(patch[:, 30, 1].astype(int)) - 10).max() <= 1

    @pytest.mark.parametrize(
        "box",
        [Box(-50, -50, -20, -20), Box(90, 30, 400, 300), Box(-900, -900, 900, 900), Box(3, 3, 3.5, 3.5)],
    )
    def test_boxes_partly_or_wholly_outside(self, box):
        rgb = picture(60, 80)
        patch, _ = crop(rgb, box, 32)
        assert patch.shape == (32, 32, 3)
        assert patch.dtype == np.uint8
        matrix = geometry.crop_matrix(box, 32)
        if box.width < 100:  # small enough that nothing is averaged: check against one plain call
            whole = cv2.warpAffine(
                rgb, matrix, (32, 32), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
            assert np.abs(patch.astype(int) - whole).max() <= 16

    @pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 50), (50, 1, 3), (2, 3)])
    def test_tiny_pictures(self, shape):
        image = np.full(shape, 77, np.uint8)
        box = Box.whole(shape[1], shape[0])
        assert (crop(image, box, 16)[0] == 77).all()
        assert (crop(image, box.scaled(3), 1)[0] == 77).all()
        assert crop(image, box, 16)[0].shape[:2] == (16, 16)

    def test_views_are_fine(self):
        rgb = picture(100, 100)
        box = Box(10, 10, 90, 80)
        plain = crop(rgb, box, 32)[0]
        assert np.array_equal(crop(rgb[:, ::-1][:, ::-1], box, 32)[0], plain)
        assert np.array_equal(crop(rgb[:, :, ::-1], box, 32)[0], plain[:, :, ::-1])


@pytest.mark.parametrize("shape", [(9, 7), (1, 5), (2, 2), (40, 60, 3)])
def test_far_away_a_picture_goes_on_as_near_by(shape, monkeypatch):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, shape).astype(np.uint8)
    for _ in range(20):
        backward = rng.normal(0, 2, (2, 3)) * (1, 1, 8)
        monkeypatch.setattr("meanshape.core.reflection.FAR", 64)
        near = looked_up(picture, backward, (12, 10)).astype(int)
        monkeypatch.setattr("meanshape.core.reflection.FAR", 0)
        assert np.abs(looked_up(picture, backward, (12, 10)) - near).max() <= 3
    with pytest.raises(ImageError, match="so far from its picture"):
        looked_up(picture, np.full((2, 3), np.inf), (12, 10))


@pytest.mark.parametrize("shape", [(9, 7), (1, 5), (2, 2), (40, 60, 3)])
def test_far_away_what_was_cut_out_goes_on_as_near_by(shape, monkeypatch):
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 256, shape).astype(np.uint8)
    for _ in range(20):
        matrix = geometry.invert(rng.normal(0, 2, (2, 3)) * (1, 1, 8))
        monkeypatch.setattr("meanshape.core.reflection.FAR", 64)
        near = stored_warp(stored, matrix, (12, 10)).astype(int)
        monkeypatch.setattr("meanshape.core.reflection.FAR", 0)
        assert np.abs(stored_warp(stored, matrix, (12, 10)) - near).max() <= 3

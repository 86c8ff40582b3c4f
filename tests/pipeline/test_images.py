"""Every kind of picture gives the right pixels, or a sentence that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from agelens import ImageError, ImageTooLargeError, UnreadableImageError
from agelens.pipeline.images import load_image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def small(photo: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(photo[64:192, 160:288])


@pytest.fixture
def pixels(small: Image.Image) -> NDArray[np.uint8]:
    return np.array(small)


def test_formats_that_would_start_a_program_are_not_read() -> None:
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 70\n%%EndComments\n"
    with pytest.raises(UnreadableImageError, match="EPS files are not read"):
        load_image(page)


def test_path_bytes_pil_and_array_give_the_same_pixels(
    tmp_path: Path, small: Image.Image, pixels: NDArray[np.uint8]
) -> None:
    path = tmp_path / "grüße 顔.png"
    small.save(path)
    for source in (path, str(path), path.read_bytes(), small, pixels):
        np.testing.assert_array_equal(load_image(source), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn_is_applied(
    small: Image.Image, pixels: NDArray[np.uint8], orientation: int
) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = small.transpose(undo[orientation]) if orientation > 1 else small
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(load_image(encode(stored, "PNG", exif=exif)), pixels)


def test_grey_is_repeated(small: Image.Image) -> None:
    grey = small.convert("L")
    expected = np.repeat(np.array(grey)[..., None], 3, 2)
    np.testing.assert_array_equal(load_image(encode(grey, "PNG")), expected)
    np.testing.assert_array_equal(load_image(np.array(grey)), expected)


def test_sixteen_bits_are_scaled_and_not_clipped(small: Image.Image) -> None:
    grey = np.array(small.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_image(encode(deep, "PNG"))[..., 0], grey)
    np.testing.assert_array_equal(load_image(encode(deep, "TIFF"))[..., 1], grey)


def test_float_pictures_of_zero_to_one_are_scaled(small: Image.Image) -> None:
    grey = np.array(small.convert("L"))
    picture = Image.fromarray(grey.astype(np.float32) / 255)
    np.testing.assert_array_equal(load_image(encode(picture, "TIFF"))[..., 2], grey)


def test_cmyk_is_near_its_rgb(small: Image.Image, pixels: NDArray[np.uint8]) -> None:
    loaded = load_image(encode(small.convert("CMYK"), "TIFF"))
    assert np.abs(loaded.astype(int) - pixels).mean() < 2
    jpeg = load_image(encode(small.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(jpeg.astype(int) - pixels).mean() < 6


def test_transparency_is_laid_on_white(small: Image.Image, pixels: NDArray[np.uint8]) -> None:
    clear = small.copy()
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:40] = 0
    clear.putalpha(Image.fromarray(alpha))
    loaded = load_image(encode(clear, "PNG"))
    assert (loaded[:40] == 255).all()
    np.testing.assert_array_equal(loaded[40:], pixels[40:])


def test_palette_with_alpha(small: Image.Image) -> None:
    palette = small.quantize(16)
    palette.info["transparency"] = 3
    loaded = load_image(encode(palette, "PNG", transparency=3))
    see_through = np.array(palette) == 3
    assert see_through.any()
    assert (loaded[see_through] == 255).all()


def test_an_animation_gives_its_first_frame(small: Image.Image) -> None:
    frames = [Image.new("RGB", small.size, "black"), Image.new("RGB", small.size, "blue")]
    first = small.quantize(256).convert("RGB")
    data = encode(first, "GIF", save_all=True, append_images=frames)
    loaded = load_image(data)
    assert loaded.shape == np.array(small).shape
    assert np.abs(loaded.astype(int) - np.array(first)).mean() < 3


def claimed(width: int, height: int) -> bytes:
    """A PNG that claims a size, and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = zlib.compress(b"")
    end = (
        struct.pack(">I", len(data))
        + b"IDAT"
        + data
        + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    )
    return b"\x89PNG\r\n\x1a\n" + body + end


def test_a_huge_claim_is_refused_before_decoding() -> None:
    with pytest.raises(ImageTooLargeError, match="100,000,000"):
        load_image(claimed(20_000, 20_000))
    with pytest.raises(ImageTooLargeError, match=r"11000 x 10000"):
        load_image(claimed(11_000, 10_000))
    with pytest.raises(ImageTooLargeError, match="limit of 100"):
        load_image(np.zeros((20, 20, 3), np.uint8), max_pixels=100)


def broken() -> dict[str, bytes]:
    photo = (Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg").read_bytes()
    return {
        "empty": b"",
        "text": b"this is text, whatever its name says\n" * 20,
        "truncated": photo[: len(photo) // 2],
        "header": photo[:30],
        "pixel": encode(Image.new("RGB", (1, 1)), "PNG"),
        "sliver": encode(Image.new("RGB", (900, 2)), "PNG"),
        "no data": claimed(64, 64),
        "nulls": bytes(4096),
    }


@pytest.mark.parametrize("fault", broken())
def test_broken_files_are_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / f"{fault}.jpg"
    path.write_bytes(broken()[fault])
    with pytest.raises(UnreadableImageError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert caught.value.reason


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jpg", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            load_image(path)


@pytest.mark.parametrize(
    "array",
    [np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8), np.zeros((2, 9, 9, 3), np.uint8)],
    ids=["float", "four channels", "batch"],
)
def test_arrays_of_another_form_are_refused(array: NDArray[np.uint8]) -> None:
    with pytest.raises(UnreadableImageError, match="must be"):
        load_image(array)


def test_what_is_no_image_at_all_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="int"):
        load_image(3)  # type: ignore[arg-type]

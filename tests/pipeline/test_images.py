"""Every kind of picture gives the right pixels, or a sentence that names the file."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from agelens import AgeEstimator, ImageError, ImageTooLargeError, UnreadableImageError
from agelens.pipeline.formats import FORMATS
from agelens.pipeline.images import ENOUGH, SUFFIXES, load_image, load_reduced

LONGER = ENOUGH[0]


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


def test_no_other_part_of_pillow_sees_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("opened")

    Image.init()
    for kind in set(Image.OPEN) - set(FORMATS):
        monkeypatch.setitem(Image.OPEN, kind, (opened, None))
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 70\n%%EndComments\n"
    with pytest.raises(UnreadableImageError, match="PostScript is not read"):
        load_image(page)
    with pytest.raises(UnreadableImageError, match="format that is not read"):
        load_image(encode(Image.new("RGB", (64, 64)), "PCX"))


@pytest.mark.parametrize("start", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl_is_named(start: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="JPEG XL pictures are not read"):
        load_image(start + bytes(64))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"II*\0\x10\0\0\0CR\2\0", "a raw photo, which is not read"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photo, which is not read"),
        (b"FUJIFILMCCD-RAW 0201", "a raw photo, which is not read"),
        (b"MM\0*\0\0\0\x08", "a TIFF of a kind that is not read, such as raw photos"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"\r\n  <!doctype html><title>404", "a web page"),
    ],
)
def test_what_a_file_is_instead_is_named(start: bytes, said: str) -> None:
    with pytest.raises(UnreadableImageError, match=said):
        load_image(start + bytes(200))


def test_a_small_copy_of_a_picture_is_not_taken_for_it(small: Image.Image) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[254] = 1
    with pytest.raises(UnreadableImageError, match="only a preview, as in raw photos"):
        load_image(encode(small, "TIFF", tiffinfo=info))


def test_a_video_is_sent_to_its_command() -> None:
    with pytest.raises(UnreadableImageError, match="agelens video"):
        load_image(b"\0\0\0\x14ftypisom\0\0\2\0isom" + bytes(64))


def test_heic_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match=r"pip install 'agelens\[heif\]'"):
        load_image(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64))


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_read(small: Image.Image, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    heif.from_pillow(small).save(stream, quality=90, exif=exif.tobytes())
    upright = small.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else small
    loaded = load_image(stream.getvalue())
    assert np.abs(loaded.astype(int) - np.array(upright)).mean() < 3


def test_less_common_formats_and_endings(small: Image.Image, pixels: NDArray[np.uint8]) -> None:
    other = Image.new("RGB", small.size, "navy")
    files = {
        ".mpo": encode(small, "MPO", save_all=True, append_images=[other], quality=95),
        ".j2k": encode(small, "JPEG2000", no_jp2=True),
        ".pnm": encode(small, "PPM"),
        ".apng": encode(small, "PNG", save_all=True, append_images=[other]),
        ".avif": encode(small, "AVIF", quality=95),
        ".dib": encode(small, "DIB"),
    }
    for ending, data in files.items():
        assert ending in SUFFIXES
        loaded = load_image(data)
        assert np.abs(loaded.astype(int) - pixels).mean() < 3, ending
    assert {".heic", ".heif", ".jxl", ".pfm", ".pbm"} <= SUFFIXES


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animated_pil_image_is_read_where_it_is(small: Image.Image, kind: str) -> None:
    frames = [Image.new("RGB", small.size, shade) for shade in ("white", "red", "blue")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    shown = []
    with Image.open(io.BytesIO(data)) as image:
        for index in range(3):
            image.seek(index)
            shown.append(tuple(load_image(image)[64, 64] > 127))
            assert image.tell() == index
    assert shown == [(True, True, True), (True, False, False), (False, False, True)]


def test_pictures_that_cost_too_much_are_refused_before_decoding(small: Image.Image) -> None:
    many = encode(small, "JPEG", progressive=True)
    last = many[many.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageTooLargeError, match="scans"):
        load_image(many[:-2] + 60 * last + many[-2:], max_pixels=40_000)
    assert load_image(many[:-2] + 3 * last + many[-2:], max_pixels=40_000).shape == (128, 128, 3)
    plain = bytes.fromhex(
        "524946461e000000574542505650384c110000002f57dbd5060750c1e295b1ff8188e87f0000"
    )
    with pytest.raises(ImageTooLargeError, match="7000 x 7000 pixels in 38 bytes hold no picture"):
        load_image(plain)


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


@pytest.mark.parametrize(
    "start", [b"\x89PNG broken", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF1234WEBP"]
)
def test_what_begins_as_a_picture_is_a_broken_one(start: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="the image is broken"):
        load_image(start)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jpg", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            load_image(path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with (tmp_path / "a.jpg").open("rb") as closed:
        pass
    with (tmp_path / "a.jpg").open(encoding="utf-8") as text:
        for source, said in (
            (text, "open as text"),
            (io.StringIO("a.jpg"), "open as text"),
            (closed, "closed"),
            ("a\0.jpg", "null"),
        ):
            with pytest.raises(UnreadableImageError, match=said):
                AgeEstimator().estimate(source)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_with_fewer_pixels(
    photo: NDArray[np.uint8], orientation: int
) -> None:
    large, exif = Image.fromarray(photo).resize((2 * LONGER + 5, LONGER + 9)), Image.Exif()
    exif[0x0112] = orientation
    for data in (
        encode(large, "JPEG", exif=exif),
        encode(large, "JPEG", exif=exif, progressive=True),
        encode(large.convert("L"), "JPEG", exif=exif),
    ):
        reduced, size = load_reduced(data)
        whole = load_image(data)
        assert size == (whole.shape[1], whole.shape[0])
        assert max(reduced.shape) == LONGER + 3  # a half, what is left over included
        likely = cv2.resize(whole, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert cv2.absdiff(likely, reduced).mean() < 2
        with pytest.raises(ImageTooLargeError, match="are more than the limit"):
            load_reduced(data, max_pixels=size[0] * size[1] - 1)


def test_all_else_is_decoded_with_all_its_pixels(photo: NDArray[np.uint8]) -> None:
    large = Image.fromarray(photo).resize((2 * LONGER, LONGER))
    cut = encode(large, "JPEG")
    nearly = Image.fromarray(photo).resize((2 * LONGER - 1, LONGER))
    narrow = Image.fromarray(photo).resize((2 * LONGER, 2 * ENOUGH[1] - 1))
    ways = [
        encode(narrow, "JPEG"),
        encode(nearly, "JPEG"),
        encode(large, "WEBP"),
        large,
        cut[: len(cut) * 99 // 100],
    ]
    for way in ways:
        reduced, size = load_reduced(way)
        np.testing.assert_array_equal(reduced, load_image(way))
        assert size == (reduced.shape[1], reduced.shape[0])


def test_a_jpeg_imports_the_decoder_of_no_other_format() -> None:
    code = (
        "import sys; from agelens import load_image\n"
        "load_image('examples/astronaut.jpg')\n"
        "print([name for name in sys.modules if name.startswith('PIL.') and 'Plugin' in name])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['PIL.JpegImagePlugin']"

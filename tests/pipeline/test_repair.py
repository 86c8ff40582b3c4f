"""What stands beside the pixels never costs the picture; pixels that are missing do."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from agelens import UnreadableImageError
from agelens.pipeline.images import load_image
from agelens.pipeline.repair import LEAST_WHOLE

Pixels = NDArray[np.uint8]
NOISE = np.random.default_rng(0).bytes(64)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def small(photo: Pixels) -> Image.Image:
    return Image.fromarray(photo[64:192, 160:288])


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) + 2 if length is None else length
    return bytes([0xFF, marker]) + struct.pack(">H", size) + body


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


EXIF_CUT = b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\x1a\x01\x05\0"
JPEG_FAULTS = {
    "EXIF of noise": segment(0xE1, b"Exif\0\0" + NOISE),
    "EXIF empty": segment(0xE1, b"Exif\0\0"),
    "EXIF cut": segment(0xE1, EXIF_CUT),
    "XMP of noise": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + NOISE),
    "XMP with an odd turn": segment(
        0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="9"/>'
    ),
    "profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "profile of noise": segment(0xE2, b"ICC_PROFILE\0\x01\x01" + NOISE),
    "index of noise": segment(0xE2, b"MPF\0" + NOISE),
    "index cut": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x03\0\x01\xb0\x04\0"),
    "index of nothing": segment(0xE2, b"MPF\0"),
    "comment of length 0": segment(0xFE, b"", 0),
    "comment of length 1": segment(0xFE, b"", 1),
    "resolution cut": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed"),
    "a length that runs into the tables": segment(0xE5, b"short", 40),
    "FlashPix cut": segment(0xE2, b"FPXR\0"),
    "Adobe cut": segment(0xEE, b"Adobe"),
}


@pytest.mark.parametrize("progressive", [False, True], ids=["plain", "progressive"])
@pytest.mark.parametrize("fault", JPEG_FAULTS)
def test_jpeg(small: Image.Image, fault: str, progressive: bool) -> None:
    data = encode(small, "JPEG", progressive=progressive)
    broken = data[:2] + JPEG_FAULTS[fault] + data[2:]
    np.testing.assert_array_equal(load_image(broken), load_image(data))


PNG_FAULTS = {
    "EXIF of noise": chunk(b"eXIf", NOISE),
    "EXIF empty": chunk(b"eXIf", b""),
    "wrong checksum": chunk(b"tEXt", b"Comment\0x", crc=7),
    "profile of noise": chunk(b"iCCP", b"name\0\0" + NOISE),
    "profile empty": chunk(b"iCCP", b""),
    "a text too large": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
    "a text of noise": chunk(b"iTXt", b"Comment\0\x01\0\0\0" + NOISE),
    "resolution cut": chunk(b"pHYs", b"\0"),
    "gamma empty": chunk(b"gAMA", b""),
    "colours cut": chunk(b"cHRM", b"\0\0"),
    "time empty": chunk(b"tIME", b""),
    "sRGB empty": chunk(b"sRGB", b""),
    "an animation cut": chunk(b"acTL", b"\0"),
    "a frame cut": chunk(b"fcTL", b"\0"),
    "no kind": chunk(b"\0\1\2\3", NOISE),
    "a length past the end": struct.pack(">I", 1 << 30) + b"tEXt",
}


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fault", PNG_FAULTS)
def test_png(small: Image.Image, fault: str, late: bool) -> None:
    data = encode(small, "PNG")
    place = data.rindex(b"IEND") - 4 if late else data.index(b"IDAT") - 4
    broken = data[:place] + PNG_FAULTS[fault] + data[place:]
    np.testing.assert_array_equal(load_image(broken), np.array(small))


def riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("lossless", [False, True], ids=["lossy", "lossless"])
def test_webp(small: Image.Image, lossless: bool) -> None:
    data = encode(small, "WEBP", lossless=lossless)
    pixels = (data[12:16], data[20:])
    width, height = ((side - 1).to_bytes(3, "little") for side in small.size)
    expected = load_image(data)

    def extended(flags: int) -> tuple[bytes, bytes]:
        return b"VP8X", bytes([flags, 0, 0, 0]) + width + height

    broken = {
        "EXIF of noise": riff([extended(0x08), pixels, (b"EXIF", NOISE)]),
        "EXIF empty": riff([extended(0x08), pixels, (b"EXIF", b"")]),
        "XMP of noise": riff([extended(0x04), pixels, (b"XMP ", NOISE)]),
        "profile of noise": riff([extended(0x20), (b"ICCP", NOISE), pixels]),
        "announced and not there": riff([extended(0x2C), pixels]),
        "XMP cut": riff([extended(0x04), pixels, (b"XMP ", NOISE)])[:-40],
        "a profile longer than the file": riff([extended(0x20), (b"ICCP", NOISE), pixels]).replace(
            b"ICCP" + struct.pack("<I", 64), b"ICCP" + struct.pack("<I", 1 << 30)
        ),
        "a wrong length of all": b"RIFF" + struct.pack("<I", 7) + data[8:],
        "a length past the end": b"RIFF" + struct.pack("<I", len(data) + 100) + data[8:],
    }
    for fault, content in broken.items():
        np.testing.assert_array_equal(load_image(content), expected, err_msg=fault)


@pytest.mark.parametrize("lossless", [False, True], ids=["lossy", "lossless"])
def test_a_webp_that_is_cut_off(small: Image.Image, lossless: bool) -> None:
    data = encode(small, "WEBP", lossless=lossless)
    whole = load_image(data).astype(int)
    for missing, apart in ((2, 0.5), (5, 0.5), (len(data) // 20, 5)):
        assert np.abs(load_image(data[:-missing]) - whole).mean() < apart
    with pytest.raises(UnreadableImageError, match=r"only 7\d % of the picture is there"):
        load_image(data[: len(data) * 3 // 4])
    frames = encode(small, "WEBP", save_all=True, append_images=[small.rotate(90)])
    first = load_image(frames)
    np.testing.assert_array_equal(load_image(frames[: len(frames) * 3 // 4]), first)


def test_other_formats(small: Image.Image) -> None:
    gif, jp2 = encode(small, "GIF"), encode(small, "JPEG2000")
    tiff = encode(small, "TIFF", compression="tiff_lzw", dpi=(72, 72))
    after = 13 + 3 * (2 << (gif[10] & 7))  # header and colours
    exif = encode(small, "AVIF", exif=b"Exif\0\0" + encode_exif(3))
    cases = {
        "GIF without its end": (gif, gif[:-1]),
        "GIF with a comment cut": (gif, gif[:after] + b"!\xfe\x05abcde\0" + gif[after:]),
        "GIF with a nameless extension": (gif, gif[:after] + b"!\xff\0" + gif[after:]),
        "GIF with a comment too long": (gif, gif[:after] + b"!\xfe\xf0abc\0" + gif[after:]),
        "JPEG 2000 without its end": (jp2, jp2[:-2]),
        "JPEG 2000 with a broken box": (jp2, jp2.replace(b"ihdr", b"\0\0\0\0")),
        "TIFF with a resolution of noise": (tiff, tiff.replace(*resolution(tiff))),
        "AVIF with EXIF of noise": (exif, exif.replace(b"MM\0*", NOISE[:4])),
    }
    for fault, (whole, broken) in cases.items():
        assert whole != broken, fault
        np.testing.assert_array_equal(load_image(broken), load_image(whole), err_msg=fault)


def encode_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x0112] = orientation
    return exif.tobytes()[6:]


def resolution(tiff: bytes) -> tuple[bytes, bytes]:
    entry = struct.pack("<HHI", 0x011A, 5, 1)
    place = tiff.index(entry)
    return tiff[place : place + 12], entry + b"\xff\xff\xff\x7f"


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_turn_is_kept_when_the_rest_of_exif_is_broken(
    small: Image.Image, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole = load_image(encode(small, kind, exif=exif))
    exif[0x011A] = 72.0
    # A negative resolution, which Pillow can read and not write again.
    content = exif.tobytes().replace(struct.pack(">HH", 0x011A, 5), struct.pack(">HH", 0x011A, 10))
    content = content.replace(struct.pack(">II", 72, 1), struct.pack(">ii", -72, 1))
    broken = load_image(encode(small, kind, exif=content))
    np.testing.assert_array_equal(broken, whole)
    assert (broken[:9] != load_image(encode(small, kind))[:9]).any()


def without_end(small: Image.Image) -> Iterator[tuple[str, bytes, bytes]]:
    for name, options in (("plain", {}), ("progressive", {"progressive": True})):
        data = encode(small, "JPEG", quality=95, **options)
        yield name, data, data[:-2]
        yield f"{name}, a byte of it there", data, data[:-1]
    data = encode(small, "PNG")
    yield "PNG", data, data[: data.rindex(b"IEND") - 4]
    yield "PNG, its checksum gone", data, data[: data.rindex(b"IEND") - 8]


def test_a_missing_end_mark_costs_nothing(small: Image.Image) -> None:
    for name, whole, cut in without_end(small):
        np.testing.assert_array_equal(load_image(cut), load_image(whole), err_msg=name)


def test_a_pil_image_of_a_broken_file_is_read_as_its_file_is(small: Image.Image) -> None:
    for name, whole, cut in without_end(small):
        with Image.open(io.BytesIO(cut)) as image:
            np.testing.assert_array_equal(load_image(image), load_image(whole), err_msg=name)


def truncated(small: Image.Image) -> dict[str, Callable[[float], bytes]]:
    def cut(data: bytes) -> Callable[[float], bytes]:
        return lambda share: data[: round(len(data) * share)]

    rough = Image.fromarray(np.random.default_rng(0).integers(0, 255, (320, 64, 3), np.uint8))
    return {
        "JPEG": cut(encode(rough, "JPEG")),
        "PNG": cut(encode(rough, "PNG")),
        "BMP": cut(encode(small, "BMP")),
        "PPM": cut(encode(small, "PPM")),
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM"])
def test_little_may_be_missing_and_much_may_not(small: Image.Image, kind: str) -> None:
    picture = truncated(small)[kind]
    whole = load_image(picture(1)).astype(int)
    loaded = load_image(picture(0.98))
    there = (np.abs(loaded - whole).max(axis=(1, 2)) <= 2).mean()
    assert LEAST_WHOLE <= there < 1
    for share in (0.8, 0.5, 0.2):
        with pytest.raises(UnreadableImageError):
            load_image(picture(share))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_how_much_is_there_is_said(small: Image.Image, kind: str) -> None:
    with pytest.raises(UnreadableImageError, match=r"only (4\d|5\d) % of the picture is there"):
        load_image(truncated(small)[kind](0.5))

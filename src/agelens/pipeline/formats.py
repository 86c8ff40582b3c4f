"""What kind of picture a file is, and who decodes it."""

from __future__ import annotations

import ctypes
import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import PIL
from PIL import Image, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from agelens.errors import UnreadableImageError
from agelens.pipeline.repair import BrokenOffError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of what is decoded. Its other parts see no file: EPS would start Ghostscript."""
_HEIF_BRANDS = frozenset(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]
)
_RAW = "a raw photo, which is not read; save it as JPEG or PNG"
_NOT_READ = {
    b"\xff\x0a": "JPEG XL pictures are not read; save it as JPEG or PNG",
    b"\0\0\0\x0cJXL ": "JPEG XL pictures are not read; save it as JPEG or PNG",
    b"%PDF": "a PDF; save its picture as JPEG or PNG",
    b"%!PS": "PostScript is not read; save it as JPEG or PNG",
    b"8BPS": "Photoshop's files are not read; save it as JPEG or PNG",
    b"FUJIFILMCCD": _RAW,
    b"IIRO": _RAW,
    b"IIU\0": _RAW,
    b"II*\0\x10\0\0\0CR": _RAW,
    b"\0\0\0\x18ftypcrx": _RAW,
    b"version https://git-lfs": "a pointer of Git LFS; fetch the picture by: git lfs pull",
}
"""By how a file begins, what to say of it."""
_MARKUP = {
    b"<!doctype": "a web page, not a picture",
    b"<html": "a web page, not a picture",
    b"<svg": "an SVG drawing, not a photo; save it as PNG",
}
"""The same of files in which blanks may come first, and small and capital letters are the same."""
_SUBFILE = 254
"""TIFF's tag of what a picture is; its first bit: a smaller copy of another."""
_TIFF = (b"II*\0", b"MM\0*")
_STARTS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF")
"""What a picture may be told by, even if no decoder takes it."""
DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, OverflowError,
    AssertionError, AttributeError, RuntimeError, StopIteration, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise on files that are broken in one way or another."""


def open_image(data: bytes, name: str) -> Image.Image:
    """Open a file of an allowed format; its pixels are not decoded yet.

    Args:
        data: of the file.
        name: of the picture, for messages.

    Raises:
        UnreadableImageError: the package that decodes its format is not installed.
        Exception: one of `DECODER_ERRORS`, where the file is broken or something else.
    """
    brands = _brands(data)
    if brands & _HEIF_BRANDS and not brands & {b"avif", b"avis"}:
        try:
            from pillow_heif import HeifImageFile
        except ModuleNotFoundError as error:
            need = "HEIC pictures need pillow-heif: pip install 'agelens[heif]'"
            raise UnreadableImageError(name, need) from error
        heif: Image.Image = HeifImageFile(io.BytesIO(data))
        return heif
    if data.startswith(b"\xff\xd8\xff"):  # most are; Pillow would import five decoders to look
        with suppress(SyntaxError, IndexError, TypeError, struct.error):
            return JpegImageFile(io.BytesIO(data))
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & 1:
        reason = "its first picture is only a preview, as in raw photos, which are not read"
        raise UnreadableImageError(name, f"{reason}; save it as JPEG or PNG")
    return image


def silence_libtiff() -> None:
    """Keep libtiff from printing: what is broken in a TIFF is raised by Pillow, too.

    For processes of agelens's own, because it is so for all that reads TIFF in the process. Where
    Pillow is not from a wheel of Linux or macOS, libtiff goes on printing.
    """
    package = Path(PIL.__file__).parent
    for path in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path))
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def _brands(data: bytes) -> set[bytes]:
    """What an ISO media file says that it is: HEIC, AVIF, a video."""
    if data[4:8] != b"ftyp":
        return set()
    length = min(int.from_bytes(data[:4]), 256)
    return {data[start : start + 4] for start in (8, *range(16, length, 4))}


def why_unreadable(data: bytes, first: Exception, second: Exception) -> str:
    """Why neither the file nor what was saved of it could be decoded."""
    if isinstance(second, BrokenOffError):
        return str(second)
    markup = data[:64].lstrip().lower()
    for head, kinds in ((data, _NOT_READ), (markup, _MARKUP)):
        for start, words in kinds.items():
            if head.startswith(start):
                return words
    if b"avif" in _brands(data) and not features.check("avif"):
        return "this Pillow reads no AVIF; try: pip install --upgrade pillow"
    if isinstance(first, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and not _brands(data) & {b"avif", *_HEIF_BRANDS}:
            return "not a picture; for a video, use `agelens video`"
        if data.startswith(_TIFF):
            return (
                "the image is broken at its beginning, or a TIFF of a kind that is not read, such "
                "as raw photos; save it as JPEG or PNG"
            )
        if not data.startswith(_STARTS) and b"avif" not in _brands(data):
            return "not a picture, or of a format that is not read"
        return "the image is broken"
    return f"the image is broken ({first})"

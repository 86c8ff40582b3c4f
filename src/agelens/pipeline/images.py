"""Anything a user calls an image, to RGB uint8 ``[H, W, 3]``, upright, within a size limit."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from agelens.errors import ImageTooLargeError, UnreadableImageError

ImageSource = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, an open file, a PIL image, or a uint8 array ``[H, W, 3]``."""
SOURCE_TYPES = (str, os.PathLike, bytes, Image.Image, np.ndarray)

MAX_PIXELS = 100_000_000
MIN_SIDE = 8
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".gif",
        ".avif",
        ".jp2",
        ".ppm",
        ".pgm",
    ]
)
"""File endings that count as pictures when a folder is read."""

FORMATS = frozenset(
    ["JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM"]
)
"""Pillow's names of what is decoded. Of its others, EPS would start Ghostscript."""

# What Pillow's decoders raise on files that are broken in one way or another.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError,
    AttributeError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip


def load_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, bgr: bool = False
) -> NDArray[np.uint8]:
    """Read an image.

    The EXIF turn is applied, transparency is laid on white, 16-bit and grey pictures become 8-bit
    RGB, and of an animation the first frame is taken.

    Args:
        source: a path, the bytes of a file, a PIL image, or an RGB uint8 array ``[H, W, 3]``
            (an array is taken as it is, a grey one ``[H, W]`` is repeated).
        max_pixels: refuse pictures that claim more, before they are decoded.
        bgr: an array's channels are blue, green, red, not RGB.

    Returns:
        RGB uint8 ``[H, W, 3]``, contiguous.

    Raises:
        UnreadableImageError: missing, empty, truncated, not an image, or too small to hold a face.
        ImageTooLargeError: more than `max_pixels`.
    """
    name = describe(source)
    if isinstance(source, np.ndarray):
        pixels = _from_array(source[..., ::-1] if bgr and source.ndim == 3 else source, name)
    elif isinstance(source, Image.Image):
        pixels = _to_rgb(source, name, max_pixels)
    else:
        pixels = _decode(_read(source, name), name, max_pixels)
    height, width = pixels.shape[:2]
    if width * height > max_pixels:
        raise ImageTooLargeError(name, _too_large(width, height, max_pixels))
    if min(height, width) < MIN_SIDE:
        raise UnreadableImageError(name, f"{width} x {height} pixels are too few to hold a face")
    return pixels


def describe(source: ImageSource) -> str:
    """A name for `source` in messages: the path, or what kind of object it is."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, np.ndarray):
        return "<array>"
    if isinstance(source, Image.Image):
        return "<PIL image>"
    name = getattr(source, "name", None)  # of an open file
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


def _read(source: str | os.PathLike[str] | bytes | IO[bytes], name: str) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif hasattr(source, "read"):
        data = source.read()
    elif isinstance(source, str | os.PathLike):
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise UnreadableImageError(name, error.strerror or str(error)) from error
    else:
        kind = type(source).__name__
        raise TypeError(f"expected a path, bytes, open file, PIL image or array, not {kind}")
    if not data:
        raise UnreadableImageError(name, "the file is empty")
    return data


def _decode(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(name, f"more than {max_pixels:,} pixels") from error
    except _DECODER_ERRORS as error:
        raise UnreadableImageError(name, "not an image that Pillow can read") from error
    with image:
        if image.format not in FORMATS:
            raise UnreadableImageError(name, f"{image.format} files are not read")
        return _to_rgb(image, name, max_pixels)


def _to_rgb(image: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    if image.width * image.height > max_pixels:
        raise ImageTooLargeError(name, _too_large(image.width, image.height, max_pixels))
    try:
        if getattr(image, "is_animated", False) and image.tell() != 0:
            image.seek(0)
        image.load()
        # Every copy of a large picture counts: none is made that is not needed.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        upright = ImageOps.exif_transpose(image) if turned else image
        if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
            return np.repeat(_deep_grey(upright)[..., None], 3, axis=2)
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))
    except _DECODER_ERRORS as error:
        raise UnreadableImageError(name, f"the image is broken ({error})") from error


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Grey of 16 or 32 bits, or of floats, to 8 bits; Pillow's own conversion would clip it."""
    values: NDArray[np.floating] = np.nan_to_num(np.asarray(image, np.float32))
    if image.mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    elif image.mode != "F" or values.max(initial=0) > 255:
        values = values / 257
    grey: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return grey


def _from_array(array: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise UnreadableImageError(name, f"the array must be uint8, not {array.dtype}")
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise UnreadableImageError(name, f"the array must be [H, W, 3] RGB, not {array.shape}")
    return np.ascontiguousarray(array)


def _too_large(width: int, height: int, max_pixels: int) -> str:
    return f"{width} x {height} pixels are more than the limit of {max_pixels:,}"

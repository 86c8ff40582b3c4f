"""Anything a user calls an image, to RGB uint8 ``[H, W, 3]``, upright, within a size limit."""

from __future__ import annotations

import os
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from agelens.errors import ImageTooLargeError, UnreadableImageError
from agelens.files import read_whole
from agelens.pipeline.depth import is_deep, to_8_bits
from agelens.pipeline.formats import DECODER_ERRORS, open_image, why_unreadable
from agelens.pipeline.repair import repair, require_whole

ImageSource = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, an open file, a PIL image, or a uint8 array ``[H, W, 3]``."""
SOURCE_TYPES = (str, os.PathLike, bytes, Image.Image, np.ndarray)

MAX_PIXELS = 100_000_000
MIN_SIDE = 8
MAX_SCANS = 20
"""A JPEG may build up its picture in many scans, and each costs as much as the picture. So many of
the largest picture are decoded at most; of smaller ones, more."""
EMPTY_PIXELS, EMPTY_RATIO = 16_000_000, 50_000
"""A picture of more pixels than the first, and more than the second for each byte of its file, is
one plain colour: it costs much memory, and holds nobody."""
ENOUGH = (1600, 600)
"""Pixels of the longer and of the shorter side: of a larger JPEG, `load_reduced` decodes a half, a
quarter or an eighth of the pixels a side, whichever still has so many. The detector's coarse views
need no more."""
# fmt: off
SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".avif", ".avifs", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".j2c", ".jpc",
    ".jpx", ".jpf", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jxl",
])
# fmt: on
"""File endings that count as pictures when a folder is read."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""
FIRST_ON_SIDE = 5
"""The orientations from this one on lie on their side."""

_TIMES = (
    ExifTags.Base.DateTime, ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.OffsetTime, ExifTags.Base.OffsetTimeOriginal, ExifTags.Base.OffsetTimeDigitized,
    ExifTags.Base.SubsecTime, ExifTags.Base.SubsecTimeOriginal, ExifTags.Base.SubsecTimeDigitized,
)  # fmt: skip


def load_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, bgr: bool = False
) -> NDArray[np.uint8]:
    """Read an image.

    The EXIF turn is applied, transparency is laid on white, 16-bit and grey pictures become 8-bit
    RGB. Of an animated file the first frame is taken, of an animated PIL image the one that it is
    at; the caller's image is left as it was. What is broken beside the pixels does not matter, nor
    does a missing end, as long as `agelens.pipeline.repair.LEAST_WHOLE` of the picture is there.

    Args:
        source: a path, the bytes of a file, an open binary file, a PIL image, or an RGB uint8
            array ``[H, W, 3]`` (an array is taken as it is, a grey one ``[H, W]`` is repeated).
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
        pixels = _from_pil(source, name, max_pixels)
    else:
        pixels, _ = _decode(read_source(source, name), name, max_pixels)
    height, width = pixels.shape[:2]
    if width * height > max_pixels:
        raise ImageTooLargeError(name, _too_large(width, height, max_pixels))
    if min(height, width) < MIN_SIDE:
        raise UnreadableImageError(name, f"{width} x {height} pixels are too few to hold a face")
    return pixels


def load_reduced(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, bgr: bool = False
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image, a large JPEG with fewer pixels than it has, in a third of the time.

    A JPEG is stored in blocks of 8 x 8 pixels, which can be decoded as 4 x 4, 2 x 2 or one.

    Args:
        source: as for `load_image`, as the next two are.
        max_pixels: of the whole picture.
        bgr: of an array.

    Returns:
        RGB uint8 ``[H, W, 3]``, with sides of `ENOUGH` or more where the whole picture has so many;
        and width and height of the whole picture.

    Raises:
        ImageError: as `load_image` does.
    """
    if isinstance(source, np.ndarray | Image.Image):
        pixels = load_image(source, max_pixels=max_pixels, bgr=bgr)
        return pixels, (pixels.shape[1], pixels.shape[0])
    name = describe(source)
    pixels, (width, height) = _decode(read_source(source, name), name, max_pixels, reduced=True)
    if min(height, width) < MIN_SIDE:
        raise UnreadableImageError(name, f"{width} x {height} pixels are too few to hold a face")
    return pixels, (width, height)


def copied_info(source: ImageSource) -> dict[str, bytes]:
    """What an upright RGB copy of a picture keeps of what its file says about it.

    Args:
        source: as for `load_image`.

    Returns:
        Arguments of Pillow's ``Image.save``: ``icc_profile``, if it is one of RGB, and ``exif``
        with the time when the picture was taken. Nothing else, such as the place, is kept, and
        nothing is there if it cannot be read.
    """
    if isinstance(source, np.ndarray):
        return {}
    try:
        if isinstance(source, Image.Image):
            return _copied(source)
        name = describe(source)
        with open_image(read_source(source, name), name) as image:
            return _copied(image)
    except (UnreadableImageError, *DECODER_ERRORS):
        return {}


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


def read_source(source: str | os.PathLike[str] | bytes | IO[bytes], name: str) -> bytes:
    """The bytes of a file.

    Args:
        source: its path, itself open, or its bytes.
        name: of the picture, for messages.

    Raises:
        UnreadableImageError: it is missing, empty, closed or open as text.
    """
    data: bytes | str
    try:
        if isinstance(source, bytes):
            data = source
        elif hasattr(source, "read"):
            data = source.read()
        elif isinstance(source, str | os.PathLike):
            data = read_whole(source)
        else:
            kind = type(source).__name__
            raise TypeError(f"expected a path, bytes, open file, PIL image or array, not {kind}")
    except OSError as error:
        raise UnreadableImageError(name, error.strerror or str(error)) from error
    except UnicodeDecodeError:
        data = ""
    except ValueError as error:  # a file that is closed, a path with a null character
        raise UnreadableImageError(name, str(error)) from error
    if isinstance(data, str):
        raise UnreadableImageError(name, "the file is open as text; open it with mode 'rb'")
    if not data:
        read = ", or read to its end" if hasattr(source, "read") else ""
        raise UnreadableImageError(name, f"the file is empty{read}")
    return data


def _decode(
    data: bytes, name: str, max_pixels: int, *, reduced: bool = False
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The pixels of a file, and width and height of the whole picture."""
    try:
        with open_image(data, name) as image:
            _check_cost(image, data, name, max_pixels)
            size = image.size if _orientation(image) < FIRST_ON_SIDE else image.size[::-1]
            if reduced:
                image.draft(None, _enough(*image.size))
            return _to_rgb(image), size
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(name, f"more than {max_pixels:,} pixels") from error
    except DECODER_ERRORS as error:
        first = error
    try:
        repaired = repair(data)
        with open_image(repaired, name) as image:
            _check_cost(image, repaired, name, max_pixels)
            require_whole(np.asarray(image), data)
            pixels = _to_rgb(image)
            return pixels, (pixels.shape[1], pixels.shape[0])
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(name, f"more than {max_pixels:,} pixels") from error
    except DECODER_ERRORS as error:
        raise UnreadableImageError(name, why_unreadable(data, first, error)) from first


def _enough(width: int, height: int) -> tuple[int, int]:
    """The fewest pixels across and down that a large picture is decoded to."""
    longer, shorter = max(width, height) // ENOUGH[0], min(width, height) // ENOUGH[1]
    factor = max(1, min(longer, shorter))
    return max(1, width // factor), max(1, height // factor)


def _check_cost(image: Image.Image, data: bytes, name: str, max_pixels: int) -> None:
    """Refuse, before anything is decoded, what would cost more than a picture is allowed to."""
    count = image.width * image.height
    if count > max_pixels:
        raise ImageTooLargeError(name, _too_large(image.width, image.height, max_pixels))
    size = f"{image.width} x {image.height} pixels"
    if image.format in ("JPEG", "MPO"):
        scans = _count_scans(data)
        if scans * count > MAX_SCANS * max_pixels:
            raise ImageTooLargeError(name, f"{scans} scans of {size} take too long to decode")
    if count > max(EMPTY_PIXELS, EMPTY_RATIO * len(data)):
        raise ImageTooLargeError(name, f"{size} in {len(data)} bytes hold no picture")


def _count_scans(data: bytes) -> int:
    """How often a JPEG's mark of a scan is in it; ten times as fast as `bytes.count`."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(each == 0xDAFF)) for each in pairs)


def _from_pil(image: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    if image.width * image.height > max_pixels:
        raise ImageTooLargeError(name, _too_large(image.width, image.height, max_pixels))
    try:
        return _to_rgb(image)
    except DECODER_ERRORS as error:
        file = getattr(image, "fp", None)
        if file is None or image.tell() != 0:
            raise UnreadableImageError(name, f"the image is broken ({error})") from error
        place = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(place)
        return _decode(data, name, max_pixels)[0]


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    image.load()
    # Every copy of a large picture counts: none is made that is not needed.
    turn = _TURNS.get(_orientation(image))
    upright = image if turn is None else image.transpose(turn)
    if is_deep(image):
        return np.repeat(to_8_bits(upright, image)[..., None], 3, axis=2)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _copied(image: Image.Image) -> dict[str, bytes]:
    info: dict[str, bytes] = {}
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        info["icc_profile"] = profile
    try:
        exif, kept = image.getexif(), Image.Exif()
        details, kept_details = (each.get_ifd(ExifTags.IFD.Exif) for each in (exif, kept))
        for key in _TIMES:
            if key in exif:
                kept[key] = exif[key]
            if key in details:
                kept_details[key] = details[key]
        if len(kept) or kept_details:
            info["exif"] = kept.tobytes()
    except DECODER_ERRORS:
        pass  # the profile is kept
    return info


def _orientation(image: Image.Image) -> int:
    """From 1 to 8 as EXIF counts them; 1, upright, where it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


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

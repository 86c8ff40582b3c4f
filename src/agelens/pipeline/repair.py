"""Files whose pixels are whole and whose other parts are broken.

A file is only looked at here after it could not be decoded as it is. What stands beside the pixels
(profiles, comments, previews, indexes) is left out, a missing end mark is added, and what is left
is decoded once more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

LEAST_WHOLE = 0.9
"""A picture of which less than this fraction is there is refused: its face may be in the rest."""
_JPEG_END = b"\xff\xd9"
_J2K_START = b"\xff\x4f\xff\x51"
_NO_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
"""JPEG markers that nothing belongs to."""
_READ_AHEAD = 1000
"""Bytes after the pixels of a WebP that its decoder asks for."""
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""The passes of an interlaced PNG: first column and row, and their steps."""


class BrokenOffError(ValueError):
    """Too much of a picture is missing."""

    def __init__(self, fraction: float) -> None:
        super().__init__(f"only {100 * fraction:.0f} % of the picture is there")


def repair(data: bytes) -> bytes:
    """The same picture with nothing beside its pixels but where its top is.

    Args:
        data: a file that cannot be decoded as it is.

    Raises:
        BrokenOffError: so much of its pixels is missing that it is not worth decoding. Of a JPEG,
            only `require_whole` can tell.
        ValueError: it cannot be made out at all.
        zlib.error: its pixels themselves are broken.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if data.startswith(b"RIFF"):
        return _webp(data)
    if data.startswith(b"GIF8"):
        return _gif(data)
    if data[4:8] == b"ftyp":
        return _heif(data)
    if 0 <= (start := data.find(_J2K_START)) < 4096:
        return data[start:] + _JPEG_END  # without the boxes around it; both ends are the same mark
    # Rows as they are: zeros for those that are missing, if they are few.
    return data + bytes(int(len(data) * (1 / LEAST_WHOLE - 1)))


def require_whole(pixels: NDArray[np.uint8], data: bytes) -> None:
    """Refuse a repaired JPEG that ends too early.

    The decoder fills up with mid-grey when the data end before the picture does.

    Args:
        pixels: as stored, ``[H, W]`` or ``[H, W, C]``.
        data: of the file, before it was repaired.

    Raises:
        BrokenOffError: less than `LEAST_WHOLE` of the rows are there.
    """
    if not data.startswith(b"\xff\xd8") or _JPEG_END in data[-64:]:
        return
    rows = pixels.reshape(len(pixels), -1)
    there = np.flatnonzero(((rows < 127) | (rows > 129)).any(axis=1))
    missing = len(rows) - 1 - int(there[-1]) if len(there) else len(rows)
    if 1 - missing / len(rows) < LEAST_WHOLE:
        raise BrokenOffError(1 - missing / len(rows))


def _jpeg(data: bytes) -> bytes:
    kept = [data[:2]]
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker in _NO_LENGTH or marker == 0xFF:
            place += 1
            continue
        if marker == 0xDA:  # what follows are the pixels
            return b"".join([*kept, data[place:], _JPEG_END])
        end = place + 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))
        segment = data[place:end]
        beside = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if beside and data[end : end + 1] != b"\xff":  # a wrong length; the tables come next
            end = data.find(b"\xff\xdb", place + 2)
            if end < 0:
                break
        elif not beside or segment[4:8] == b"Exif" or (marker == 0xEE and len(segment) >= 16):
            kept.append(segment)  # 0xEE says how the colours are stored
        place = end
    raise ValueError("no pixels")


def _png(data: bytes) -> bytes:
    chunks = list(_png_chunks(data))
    header = next(body for kind, body in chunks if kind == b"IHDR")
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        expected += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    raw = zlib.decompressobj().decompress(packed, expected)
    if len(raw) < LEAST_WHOLE * expected:
        raise BrokenOffError(len(raw) / expected)
    pixels = zlib.compress(raw.ljust(expected, b"\0"), 1)
    kept = [(kind, body) for kind, body in chunks if kind in {b"IHDR", b"PLTE", b"tRNS", b"eXIf"}]
    parts = [*kept, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents, as far as they are there; after a wrong length, from the pixels on."""
    place = 8
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if not kind.isalpha() or (kind != b"IDAT" and place + 8 + size > len(data)):
            place = data.find(b"IDAT", place + 8) - 4
            if place < 0:
                return
            continue
        yield kind, data[place + 8 : place + 8 + size]
        if kind == b"IEND":
            return
        place += 12 + size


def _webp(data: bytes) -> bytes:
    pixels = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")
    kept: list[bytes] = []
    place = 12
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        end = place + 8 + size + size % 2
        follows = data[end : end + 4].strip()
        if kind not in pixels and not (end == len(data) or follows.isalnum()):  # a wrong length
            found = [at for mark in pixels if (at := data.find(mark, place + 4)) >= 0]
            end = min(found, default=len(data))
        elif kind in pixels or (kind == b"EXIF" and end <= len(data)):
            body = data[place + 8 : place + 8 + size]
            if len(body) < size:  # cut off: zeros for little, and of frames the whole ones
                if kind == b"ANMF" and any(one.startswith(kind) for one in kept):
                    break
                if len(body) < LEAST_WHOLE * size:
                    raise BrokenOffError(len(body) / size)
                body += bytes(size - len(body) + _READ_AHEAD)
            if kind == b"VP8X":
                body = bytes([body[0] & ~0x24]) + body[1:]  # neither profile nor XMP
            kept.append(kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
        place = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif(data: bytes) -> bytes:
    """The first picture and its colours; it is where a picture's frame lies inside the whole."""
    width, height, flags = struct.unpack("<HHB", data[6:11])
    head = 13 + (3 * (2 << (flags & 7)) if flags & 0x80 else 0)
    place = head
    while (place := data.find(b",", place)) >= 0:
        left, top, across, down, flags = struct.unpack("<HHHHB", data[place + 1 : place + 10])
        code = place + 10 + (3 * (2 << (flags & 7)) if flags & 0x80 else 0)
        inside = 0 < across <= width - left and 0 < down <= height - top
        if inside and 2 <= data[code] <= 8:
            before = data[place - 8 : place]
            control = before if before.startswith(b"!\xf9\x04") else b""  # which colour is clear
            return data[:head] + control + data[place:] + b"\0;"
        place += 1
    raise ValueError("no pixels")


def _heif(data: bytes) -> bytes:
    """With its metadata renamed to a kind that nobody reads; every length stays."""
    parts = data.split(b"infe")
    for index, part in enumerate(parts[1:], 1):
        for kind in (b"Exif", b"mime"):
            if part[8:12] == kind:
                parts[index] = part[:8] + b"skip" + part[12:]
    return b"infe".join(parts)

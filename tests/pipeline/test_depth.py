"""Pixels of more than 8 bits, with a sign or as fractions, keep their brightness."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from agelens.pipeline.images import load_image

UNSIGNED, SIGNED, FRACTIONS = 1, 2, 3
BLACK, WHITE = 1, 0
"""What 0 means."""


def tiff(values: NDArray[np.generic], kind: int, zero: int = BLACK, turn: int = 1) -> bytes:
    """A TIFF as scientific cameras and image software write it, of grey pixels ``[H, W]``."""
    height, width = values.shape
    data = values.tobytes()
    tags = {
        256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: zero, 273: 0, 274: turn,
        277: 1, 278: height, 279: len(data), 339: kind,
    }  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.fixture
def grey(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(photo[64:192, 160:288]).convert("L"))


def ways(grey: NDArray[np.uint8]) -> dict[str, bytes]:
    whole, part = grey.astype(np.int64), grey / 255
    holed = part.astype("<f4")
    holed[0, :3] = np.nan, np.inf, -np.inf
    return {
        "unsigned 16": tiff((257 * whole).astype("<u2"), UNSIGNED),
        "unsigned 16, 0 is white": tiff((65535 - 257 * whole).astype("<u2"), UNSIGNED, WHITE),
        "unsigned 32": tiff((16843009 * whole).astype("<u4"), UNSIGNED),
        "signed 8": tiff((whole - 128).astype("i1"), SIGNED),
        "signed 16": tiff((257 * whole - 32768).astype("<i2"), SIGNED),
        "signed 16, none below 0": tiff((whole * 32767 // 255).astype("<i2"), SIGNED),
        "signed 32 that holds 16": tiff((257 * whole).astype("<i4"), SIGNED),
        "fractions": tiff(part.astype("<f4"), FRACTIONS),
        "fractions with an overshoot": tiff((part * 1.05 - 0.02).astype("<f4"), FRACTIONS),
        "fractions with a sign": tiff((2 * part - 1).astype("<f4"), FRACTIONS),
        "fractions to 255": tiff(grey.astype("<f4"), FRACTIONS),
        "fractions to 65535": tiff((257 * whole).astype("<f4"), FRACTIONS),
        "fractions with holes": tiff(holed, FRACTIONS),
    }


def test_every_depth_keeps_its_brightness(grey: NDArray[np.uint8]) -> None:
    for name, data in ways(grey).items():
        loaded = load_image(data)[..., 0].astype(int)
        assert np.abs(loaded - grey).mean() < 4, name
        assert np.abs(loaded - grey)[1:].max() <= 9, name


def test_a_turned_picture_keeps_the_meaning_of_its_values(grey: NDArray[np.uint8]) -> None:
    values = (65535 - 257 * grey.astype(np.int64)).astype("<u2")
    loaded = load_image(tiff(values, UNSIGNED, WHITE, turn=6))[..., 0]
    np.testing.assert_array_equal(loaded, np.rot90(grey, -1))


def test_a_dark_picture_stays_dark() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((32, 32), 500, np.uint16)).save(stream, "PNG")
    assert load_image(stream.getvalue()).max() == 2

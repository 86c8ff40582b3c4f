"""Grey of more than 8 bits, with a sign or as fractions, to the 8 bits that everything reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS, _WHITE, _KIND = 258, 262, 339
"""Tags of TIFF: bits a value, whether 0 is white, and which kind of number a value is."""
_SIGNED, _UNSIGNED = 2, 1
_OVERSHOOT = 1.5
"""Filters leave fractions a little over the brightest that there should be."""


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow's own conversion to 8 bits would be wrong."""
    signed = image.mode == "L" and _tag(image, _KIND, _UNSIGNED) == _SIGNED
    return signed or image.mode in ("I", "F") or image.mode.startswith("I;16")


def to_8_bits(image: Image.Image, stored: Image.Image) -> NDArray[np.uint8]:
    """Grey pixels ``[H, W]``, scaled by what the file can hold and not by what it holds.

    Fractions are from 0 to 1, or else from 0 to the largest value of 8, 16 or 32 bits; values with
    a sign, if they use it, from as much below 0 to as much above.

    Args:
        image: whose `is_deep` is true; it may have been turned.
        stored: the image as it was opened, whose TIFF tags, if it has any, tell what values mean.
    """
    values: NDArray[Any] = np.asarray(image)
    signed, bits = _tag(stored, _KIND, _UNSIGNED) == _SIGNED, _tag(stored, _BITS, 16)
    if signed and image.mode == "L":
        values = values.view(np.int8)
    elif image.mode == "I" and bits == 32 and not signed:
        values = values.view(np.uint32)  # Pillow knows none
    values = values.astype(np.float32)
    known = values[np.isfinite(values)]
    low, high = known.min(initial=0), known.max(initial=0)
    fulls = [65535.0, 2.0**32 - 1]
    if image.mode == "F":
        fulls = [1.0, 255.0, *fulls]
    elif signed:
        half = 2.0 ** (bits - 1) - 1
        fulls = [min(half, 65535.0), half]
    largest = max(high, -low)
    full = next((one for one in fulls if largest <= _OVERSHOOT * one), largest)
    values = np.nan_to_num(values, nan=0.0, posinf=high, neginf=low)
    if low < -full / 2:
        values = (values + full) / 2
    grey: NDArray[np.uint8] = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
    return 255 - grey if _tag(stored, _WHITE, 1) == 0 and stored.mode != "L" else grey


def _tag(image: Image.Image, number: int, otherwise: int) -> int:
    value = getattr(image, "tag_v2", {}).get(number, otherwise)
    value = value[0] if isinstance(value, tuple) else value
    return value if isinstance(value, int) else otherwise

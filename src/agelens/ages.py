"""The label space: ages in completed years, and the bands that reports group them by."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

MAX_AGE = 116
"""The oldest age, in completed years, that a label may have: UTKFace's oldest face."""
CLASSES = MAX_AGE + 1
"""How many ages there are: 0 to `MAX_AGE`."""
AGE_BANDS = (0, 3, 10, 20, 30, 40, 50, 60, 70, 80, CLASSES)
"""Where the bands of reports begin, in years; the last is where they end."""
BAND_NAMES = tuple(f"{low:02d}-{high - 1:02d}" for low, high in pairwise(AGE_BANDS))


def age_band(ages: ArrayLike) -> list[str]:
    """The name of the band that each of `ages` is in, as in "20-29"."""
    bands = np.searchsorted(AGE_BANDS, np.asarray(ages), side="right") - 1
    return [BAND_NAMES[band] for band in bands]

"""How long pictures will take: learnt by the size of their files, and safe until then."""

from __future__ import annotations

PICTURE_SECONDS, BYTE_SECONDS = 0.01, 1.5e-7
"""What a picture is thought to take, and each of its bytes; `Costs` learns how much more it is."""
SMOOTHING = 0.2
"""How much the newest picture counts in what is expected of the next ones."""
UNKNOWN = 12.0
"""How much more a picture may take whose file is larger than any before: the same bytes hold twelve
times as many pixels of a smooth picture as of a noisy one. Too much refuses a few; too little lets
a crowd in that cannot be answered in time."""


class Costs:
    """Seconds for pictures of one client, or of all: their thought seconds times what is learnt.

    Args:
        general: what is known of all clients' pictures, for sizes that this one has not sent yet.
    """

    def __init__(self, general: Costs | None = None) -> None:
        self._general = general
        self._ratios: dict[int, float] = {}  # by `_step`

    def learn(self, size: int, seconds: float) -> None:
        """A picture of so many bytes took so long."""
        step, ratio = _step(size), seconds / _thought(size)
        before = self._ratios.get(step, ratio)
        self._ratios[step] = before + SMOOTHING * (ratio - before)

    def seconds(self, size: int) -> float:
        """What a picture of so many bytes is expected to take."""
        return self._ratio(_step(size)) * _thought(size)

    def _ratio(self, step: int) -> float:
        """How much longer than thought pictures of a step of sizes take."""
        known = self._ratios.get(step)
        if known is not None:
            return known
        if self._general is not None:
            return self._general._ratio(step)
        larger = [one for one in self._ratios if one > step]
        if larger:
            return self._ratios[min(larger)]
        return UNKNOWN * self._ratios[max(self._ratios)] if self._ratios else 1.0


def _thought(size: int) -> float:
    return PICTURE_SECONDS + BYTE_SECONDS * size


def _step(size: int) -> int:
    """Sizes of one step differ by at most a factor of four."""
    return size.bit_length() // 2

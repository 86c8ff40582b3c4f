"""How long work tells what is done."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the number of things done and their total."""


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""

"""The command that made a report, as another machine can read it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def recorded_command(words: Sequence[str] = ()) -> str:
    """A command line without the absolute paths of this machine.

    A path below the working folder is written relative to it; of any other only the last part is.

    Args:
        words: of the command; by default those of this process, a script run by Python.
    """
    return shlex.join(map(_portable, words or ["python", *sys.argv]))


def _portable(word: str) -> str:
    before, equals, after = word.rpartition("=")  # as in --json=FILE and key=FILE
    path = Path(after)
    if not path.is_absolute():
        return word
    here = Path.cwd()
    inside = path.is_relative_to(here)
    return before + equals + str(path.relative_to(here) if inside else path.name)

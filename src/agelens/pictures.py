"""The pictures that arguments mean: files, folders, globs, and stdin."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agelens.pipeline.images import SUFFIXES

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to read. `name` is what is printed, `saved_as` its path below the --save folder."""

    name: str
    saved_as: Path
    problem: str | None = None


def find_pictures(path: str) -> Iterator[Picture]:
    """The pictures that one argument means; a folder's are found by their endings, at any depth."""
    if path == STDIN:
        yield Picture("<stdin>", Path("stdin.jpg"))
    elif os.path.isdir(path):
        found = False
        problems: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=problems.append):
            folders.sort()
            for name in sorted(names):
                if Path(name).suffix.lower() in SUFFIXES:
                    file = Path(folder, name)
                    found = True
                    yield Picture(str(file), file.relative_to(path))
        for error in problems:
            yield Picture(str(error.filename), Path(), error.strerror or str(error))
        if not found and not problems:
            yield Picture(path, Path(), "the folder holds no pictures")
    elif not os.path.lexists(path) and (matches := sorted(glob.glob(path, recursive=True))):
        for match in matches:
            yield from find_pictures(match)
    else:
        yield Picture(path, Path(Path(path).name))

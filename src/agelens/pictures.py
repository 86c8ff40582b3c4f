"""The pictures that arguments mean: files, folders, globs, and stdin."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agelens.files import NO_FILE, may_never_end, walk_files
from agelens.pipeline.images import SUFFIXES

STDIN = "-"
VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts"]
)
# fmt: off
RAW_SUFFIXES = frozenset([
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw",
    ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srw", ".x3f",
])
# fmt: on


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to read.

    Attributes:
        name: what is printed, and opened.
        saved_as: its path below a folder of results.
        problem: why it is not read; None where it is to be tried.
    """

    name: str
    saved_as: Path
    problem: str | None = None


def find_pictures(path: str) -> Iterator[Picture]:
    """The pictures that one argument means; a folder's are found by their endings, at any depth.

    Linked folders are followed, each folder once. What macOS leaves beside files (``._*`` and
    ``__MACOSX``) is passed over, and so is a raw photo with a picture of its name beside it, as
    cameras write both.
    """
    if path == STDIN:
        yield Picture("<stdin>", Path("stdin.jpg"))
    elif not path:
        yield Picture("''", Path(), "an empty name; name a picture, a folder or a glob")
    elif re.match(r"[a-z][a-z0-9+.-]+://", path, re.IGNORECASE) and not os.path.lexists(path):
        yield Picture(
            path, Path(), "an address is not fetched; try: curl -s URL | agelens predict -"
        )
    elif os.path.isdir(path):
        yield from _in_folder(path)
    elif not os.path.lexists(path) and (matches := sorted(glob.glob(path, recursive=True))):
        for match in matches:
            yield from find_pictures(match)
    elif Path(path).suffix.lower() in VIDEO_SUFFIXES and Path(path).exists():
        yield Picture(path, Path(), "a video; use `agelens video`")
    else:
        yield Picture(path, Path(Path(path).name))


def _of_macos(name: str) -> bool:
    return name == "__MACOSX" or name.startswith("._")


def _has_picture_beside(raw: Path) -> bool:
    return any(
        raw.with_suffix(case(suffix)).exists()
        for suffix in (".jpg", ".jpeg", ".heic", ".heif", ".hif", ".tif", ".png")
        for case in (str.lower, str.upper)
    )


def _in_folder(path: str) -> Iterator[Picture]:
    found = False
    problems: list[OSError] = []
    for file in walk_files(path, _of_macos, problems):
        suffix = file.suffix.lower()
        if suffix in SUFFIXES or (suffix in RAW_SUFFIXES and not _has_picture_beside(file)):
            found = True
            problem = NO_FILE if may_never_end(file) else None
            yield Picture(str(file), file.relative_to(path), problem)
    for error in problems:
        yield Picture(str(error.filename), Path(), error.strerror or str(error))
    if not found and not problems:
        yield Picture(path, Path(), "the folder holds no pictures")

"""One pass over the files: decode, measure, find the face. A row for every file, whatever it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.data.sources import list_files, parse_name
from agelens.errors import ImageError
from agelens.files import NO_FILE, may_never_end, printable, read_whole
from agelens.journal import Journal
from agelens.parallel import Progress
from agelens.pipeline.detect import FaceDetector, main_face
from agelens.pipeline.images import load_image

SCAN_VERSION = 2
"""Raised whenever a row's meaning changes, so that rows of an older scan are not reused."""
CHUNK = 256
Row = dict[str, Any]


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """256-bit DCT hash of a picture (Zauner, 2010: pHash), robust to compression and size.

    Args:
        image: RGB uint8 ``[H, W, 3]``.

    Returns:
        64 hexadecimal digits; the number of bits that differ measures how unlike two pictures are.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:16, :16]
    return np.packbits(low > np.median(low)).tobytes().hex()


def scan_file(root: Path, path: str, detector: FaceDetector) -> Row:
    """The facts of one file; labels come from its name, everything else from its bytes."""
    labels = parse_name(Path(path).name)
    row: Row = {
        "path": path,
        "age": labels.age,
        "gender": labels.gender,
        "ethnicity": labels.ethnicity,
        "bad_name": not labels.complete,
        "unreadable": False,
        "no_face": False,
        "grey": False,
    }
    row |= dict.fromkeys(("width", "height", "sha256", "phash", "score", "box", "landmarks"))
    if printable(path) != path:  # the manifest could not name it
        return row | {"unreadable": True, "reason": "its name is not valid Unicode; rename it"}
    try:
        if may_never_end(root / path):
            raise OSError(NO_FILE)
        data = read_whole(root / path)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        image = load_image(data)
    except (ImageError, OSError) as error:
        return row | {"unreadable": True, "reason": getattr(error, "reason", str(error))}
    height, width = image.shape[:2]
    red, green, blue = cv2.split(image)
    spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    row |= {"width": width, "height": height, "phash": perceptual_hash(image)}
    row["grey"] = float(spread.mean()) < 2
    face = main_face(detector.detect(image), width, height)
    if face is None:
        return row | {"no_face": True}
    box = face.box
    row |= {"score": face.score, "box": [box.x1, box.y1, box.x2, box.y2]}
    row["landmarks"] = face.landmarks.to_array().ravel().tolist()
    return row


def scan(
    root: Path,
    journal: Path,
    *,
    jobs: int,
    progress: Progress,
    files: Iterable[str] | None = None,
) -> list[Row]:
    """Scan the files below `root`, going on from an earlier scan's journal.

    Args:
        root: folder of the dataset.
        journal: file of the `Journal` to which finished rows are added; a row of it is used again
            when its file has not changed since (size and time).
        jobs: threads; decoding and detection run outside Python's lock.
        progress: called with the number of files done and their total.
        files: their paths below `root`; by default all.

    Returns:
        Rows, sorted by path.
    """
    paths = sorted(list_files(root) if files is None else files)
    stamps = {path: _stamp(root / path) for path in paths}
    rows = Journal(journal, {"version": SCAN_VERSION})
    done = {row["path"]: row for row in rows.records if stamps.get(row["path"]) == row["stamp"]}
    left = [path for path in paths if path not in done]
    progress(len(done), len(paths))
    detector = FaceDetector(threads=1)
    with ThreadPoolExecutor(jobs) as pool, rows:
        for start in range(0, len(left), CHUNK):
            chunk = left[start : start + CHUNK]
            for row in pool.map(lambda path: scan_file(root, path, detector), chunk):
                row["stamp"] = stamps[row["path"]]
                rows.add(row)
                done[row["path"]] = row
                progress(len(done), len(paths))
    return [done[path] for path in paths]


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing, or gone meanwhile
        return [0, 0]
    return [stat.st_size, stat.st_mtime_ns]

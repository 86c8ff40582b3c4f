"""What a video leaves behind: rows in JSON lines, CSV or Parquet, and the annotated frames."""

from __future__ import annotations

import csv
import enum
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.errors import OutputError
from agelens.files import atomic_path, parquet_writer
from agelens.video.sound import Sound
from agelens.video.tracker import TrackedFace

COLUMNS = (
    "frame", "time", "track", "age", "low", "high", "x1", "y1", "x2", "y2", "score", "quality",
)  # fmt: skip
KINDS = dict.fromkeys(COLUMNS, "double") | {
    "frame": "int64", "track": "int64", "quality": "string"
}  # fmt: skip
"""Types of the columns of Parquet."""
TIME_BASE = Fraction(1, 90_000)
"""Unit of the annotated video's times, in seconds: MPEG's own, so that each frame keeps its."""


class RowFormat(enum.StrEnum):
    """How the rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


Row = dict[str, Any]
WriteRow = Callable[[Row], None]


def to_row(frame: int, time: float, tracked: TrackedFace) -> Row:
    """One face of one frame, by `COLUMNS`.

    Args:
        frame: number of the frame, from 0, dropped ones included.
        time: seconds from the first frame.
        tracked: the face; its box is in pixels, its quality's reasons are joined by semicolons.
    """
    face = tracked.face
    box, ends = face.box, face.interval
    values = (
        frame, time, tracked.track, face.age, ends.low, ends.high,
        box.x1, box.y1, box.x2, box.y2, face.score, ";".join(face.quality.reasons),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


@contextmanager
def row_writer(form: RowFormat, place: Path | TextIO | None) -> Iterator[WriteRow]:
    """What writes a row. A stream gets each row at once, a file appears whole at the end.

    Args:
        form: of the rows.
        place: a file, or an open text stream, which Parquet cannot be written to; None leaves the
            rows out. What is there and no file, such as a pipe or a device, is taken as a stream.

    Raises:
        OutputError: Parquet without a file, or a file that cannot be written.
        MissingExtraError: Parquet without pyarrow.
    """
    if place is None:
        yield lambda _row: None
    elif form is RowFormat.PARQUET:
        if not isinstance(place, Path):
            raise OutputError("Parquet is not for the terminal: name a file with --rows FILE")
        with parquet_writer(place, KINDS) as write:
            yield write
    elif not isinstance(place, Path):
        yield _text_writer(form, place)
    elif place.exists() and not place.is_file():
        try:
            with place.open("w", encoding="utf-8", newline="") as stream:
                yield _text_writer(form, stream)
        except OSError as error:
            raise OutputError(f"{place}: cannot be written ({error.strerror})") from error
    else:
        with (
            atomic_path(place) as partial,
            partial.open("w", encoding="utf-8", newline="") as stream,
        ):
            yield _text_writer(form, stream)


def _text_writer(form: RowFormat, stream: TextIO) -> WriteRow:
    if form is RowFormat.CSV:
        rows = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        rows.writeheader()

    def write(row: Row) -> None:
        if form is RowFormat.CSV:
            rows.writerow(row)
        else:
            stream.write(json.dumps(row) + "\n")
        stream.flush()  # whoever reads along sees each row at once, and whole

    return write


class VideoWriter:
    """Writes H.264 that plays everywhere; each frame keeps its own time.

    Args:
        path: of the file to write; it is MP4 whatever its ending.
        fps: frames a second, about; what the encoder plans for.
        source: a video file whose sound and capture time are taken over.

    Attributes:
        whole: whether the sound is taken over to its end; to the last frame's, if false.
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float, source: Path | None = None
    ) -> None:
        options = {"movflags": "faststart"}
        self._container = av.open(f"file:{os.fspath(path)}", "w", format="mp4", options=options)
        rate = Fraction(fps if 1 <= fps <= 240 else 30).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "20"}
        self._stream.codec_context.time_base = TIME_BASE
        self._size: tuple[int, int] | None = None
        self._last = -1
        self.whole = True
        self._step = 1 / float(rate)
        self._sound = None if source is None else Sound(source, self._container)

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Append a frame, RGB uint8 ``[H, W, 3]``, that is shown from `time` in seconds on."""
        height, width = image.shape[:2]
        if self._size is None:
            self._size = (width, height)
            # The encoder halves the colours' resolution, and so needs even sides.
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
        if (width, height) != self._size:
            image = cv2.resize(image, self._size)  # type: ignore[assignment]
        width, height = self._size
        image = cv2.copyMakeBorder(  # type: ignore[assignment]
            image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
        )
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        self._last = max(self._last + 1, round(time / TIME_BASE))
        frame.pts, frame.time_base = self._last, TIME_BASE
        self._container.mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.copy_until(time)

    def close(self) -> None:
        """Write what the encoder still holds, and the index without which nothing plays."""
        try:
            if self._size is not None:
                self._container.mux(self._stream.encode(None))
                if self._sound is not None:
                    end = float(self._last * TIME_BASE) + self._step
                    self._sound.copy_until(float("inf") if self.whole else end)
        finally:
            if self._sound is not None:
                self._sound.close()
            self._container.close()


@contextmanager
def video_writer(
    path: Path | None, fps: float, source: Path | None = None
) -> Iterator[VideoWriter | None]:
    """A `VideoWriter` whose file appears whole at the end of the block; None without a path.

    Raises:
        OutputError: the path cannot be written.
    """
    if path is None:
        yield None
        return
    with atomic_path(path) as partial:
        writer = VideoWriter(partial, fps, source)
        try:
            yield writer
        finally:
            writer.close()

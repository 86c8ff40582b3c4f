"""Frames of a video file or a camera."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.errors import VideoError

Pixels = NDArray[np.uint8]
COMPLETE = 0.9
"""A file whose frames end before this share of what it claims is broken. What a container claims is
an estimate for some, so that a few frames less are none."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a video.

    Attributes:
        index: its number from 0; dropped ones are counted.
        time: seconds from the first frame, rising.
        image: RGB uint8 ``[H, W, 3]``, upright.
        arrived: when it was there, by `time.monotonic`.
    """

    index: int
    time: float
    image: Pixels
    arrived: float


class VideoFile:
    """The frames of a file, every one, as fast as they are asked for.

    Args:
        path: any container and codec that OpenCV's FFmpeg reads.

    Attributes:
        fps: frames a second, as the file says.

    Raises:
        VideoError: missing, empty, or no video.
    """

    dropped = 0

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise VideoError(f"{path}: no such file")
        if path.is_dir():
            raise VideoError(f"{path}: a folder; give a video file")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty")
        self._path = path
        with _quiet():
            self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise VideoError(f"{path}: no video, or one that is broken at its beginning")
        self.fps = _fps(self._capture)

    def __iter__(self) -> Iterator[Frame]:
        """Frame by frame.

        Raises:
            VideoError: no frame can be decoded, or the file ends long before it should; those
                before have been given.
        """
        claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        count, last = 0, 0.0
        while (image := _read(self._capture)) is not None:
            moment = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if count and not moment > last:  # some containers keep no times
                moment = last + 1 / self.fps
            last = moment
            yield Frame(count, moment, _to_rgb(image), time.monotonic())
            count += 1
        if count == 0:
            raise VideoError(f"{self._path}: holds no frame that can be decoded")
        if count < COMPLETE * claimed:
            raise VideoError(
                f"{self._path}: broken after {count} of about {claimed:.0f} frames; "
                "what was written ends there"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class Camera:
    """The newest frame of a live source, whenever one is asked for; older ones are dropped.

    A thread of its own reads without pause, so that nothing queues up in the driver. It reads into
    two buffers by turns: memory that one thread takes and another gives back would grow in steps. A
    file is played at its own speed, as if it were a camera.

    Args:
        source: number of a device, or a path or URL that OpenCV opens.

    Attributes:
        fps: frames a second that the source promises.
        dropped: frames that came and were never asked for.

    Raises:
        VideoError: it cannot be opened.
    """

    def __init__(self, source: str) -> None:
        with _quiet():
            self._capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
        if not self._capture.isOpened():
            raise VideoError(
                f"camera {source}: cannot be opened; it is not there, another program has it, or "
                "this one may not use it"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._source = source
        self._paced = Path(source).is_file()
        self.fps = _fps(self._capture)
        self.dropped = 0
        self._newest: Frame | None = None  # BGR: only what is asked for is converted
        self._spare: Pixels | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._grab, name="agelens-camera", daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        """Newest frames, until the source ends.

        Raises:
            VideoError: it gave none at all.
        """
        self._thread.start()
        given = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended, 10.0)
                if self._newest is None:
                    break
                frame = replace(self._newest, image=_to_rgb(self._newest.image))
                self._spare, self._newest = self._newest.image, None
            given += 1
            yield frame
        if not given:
            raise VideoError(f"camera {self._source}: gives no picture")

    def _grab(self) -> None:
        start = time.monotonic()
        free: Pixels | None = None
        for index in itertools.count():
            image = _read(self._capture, free)
            if self._ended or image is None:
                break
            if self._paced:
                due = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or index / self.fps
                time.sleep(max(0.0, start + due - time.monotonic()))
            now = time.monotonic()
            if index == 0:
                start = now
            with self._changed:
                if self._newest is None:
                    free, self._spare = self._spare, None
                else:
                    free = self._newest.image
                    self.dropped += 1
                self._newest = Frame(index, now - start, image, now)
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def close(self) -> None:
        """Let go of the device."""
        self._ended = True
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if not self._thread.is_alive():  # a read that hangs must not be freed underneath
            self._capture.release()


def _read(capture: cv2.VideoCapture, into: Pixels | None = None) -> Pixels | None:
    """The next frame, BGR; in the memory of `into` where that has its size."""
    good, image = capture.read(into)
    return image if good else None  # type: ignore[return-value]


def _to_rgb(image: Pixels) -> Pixels:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _fps(capture: cv2.VideoCapture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps < 1000 else 30.0  # absent and absurd values are common


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV and FFmpeg say nothing on stderr; the error that follows is a sentence of our own."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when the first file is opened
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)

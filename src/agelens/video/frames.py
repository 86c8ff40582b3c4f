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

import av
import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from agelens.errors import VideoError
from agelens.pipeline.images import MIN_SIDE
from agelens.video.media import is_cover, is_cut_riff, is_picture, open_media

Pixels = NDArray[np.uint8]
EXACT = frozenset(["mov", "mp4", "matroska", "webm", "avi", "flv"])
"""Containers that say how long they are; of others it is estimated."""
TOLERANCE = 0.3
"""A file that ends more seconds than these before the time that it claims is cut off."""


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
    """The frames of a file, every one that is shown, as fast as they are asked for.

    Args:
        path: any container and codec that FFmpeg reads. Of several pictures' streams the one that
            players choose is read.

    Attributes:
        path: of the file.
        fps: frames a second, on average.
        total: frames, about, as far as the container says; 0 where it does not.
        start: seconds from the file's beginning to its first frame, once that has been read.

    Raises:
        VideoError: missing, empty, or no video.
    """

    dropped = 0

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise VideoError(f"{path}: no such file")
        if self.path.is_dir():
            raise VideoError(f"{path}: a folder; give a video file")
        if self.path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty")
        try:
            self._container = open_media(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                f"{path}: no video, or one that was cut off before its index was written"
            ) from error
        if is_picture(self._container):
            raise VideoError(f"{path}: a picture; use `agelens predict`")
        pictures = [each for each in self._container.streams.video if not is_cover(each)]
        best = self._container.streams.best("video")
        if not pictures or pictures[0].codec_context is None:
            raise VideoError(f"{path}: no video in it that can be decoded")
        self._stream = best if best in pictures else pictures[0]
        width, height = self._stream.width, self._stream.height
        if 0 < min(width, height) < MIN_SIDE:
            raise VideoError(f"{path}: {width} x {height} pixels are too few to hold a face")
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 1000 else 30.0  # absent and absurd are common
        seconds = (self._container.duration or 0) / av.time_base
        guesses = [count for count in (self._stream.frames, round(seconds * self.fps)) if count > 0]
        self.total = min(guesses, default=0)
        self.start = 0.0

    def __iter__(self) -> Iterator[Frame]:
        """Frame by frame.

        Raises:
            VideoError: no frame can be decoded; the file ends before the time that it claims, by
                the times of what is in it; or places of it are damaged. The other frames have been
                given by then.
        """
        count, last = 0, -1.0
        reformatter = VideoReformatter()  # one for all frames: each new one is set up for 2 ms
        begin: float | None = None
        for frame in self._decoded():
            moment = frame.time
            if begin is None:
                begin = moment if moment is not None else 0.0
                self.start = max(0.0, begin - (self._container.start_time or 0) / av.time_base)
            # Some containers keep no times.
            moment = last + 1 / self.fps if moment is None else moment - begin
            if count and not moment > last:
                moment = last + 1 / self.fps
            last = max(moment, 0.0)
            yield Frame(count, last, _upright(frame, reformatter), time.monotonic())
            count += 1
        if count == 0:
            raise VideoError(f"{self.path}: holds no frame that can be decoded")
        if self._cut:
            raise VideoError(
                f"{self.path}: broken after {count} frames ({last:.1f} s); "
                "the file ends before the video does"
            )
        if self._damaged:
            places = f"{self._damaged} place{'s' * (self._damaged > 1)}"
            raise VideoError(f"{self.path}: damaged in {places}; the frames there are left out")

    def _decoded(self) -> Iterator[VideoFrame]:
        """Frames, while the damage and how far the file reaches are counted."""
        container = self._container
        self._damaged, self._cut = 0, False
        end, cut, given = 0.0, False, False
        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError):  # what FFmpeg cannot pass over
                cut = True
                break
            if packet is None:
                break
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not self._stream:
                continue
            if packet.size:  # the last one only asks for what the decoder still holds
                cut = packet.is_corrupt
            try:
                for frame in self._stream.codec_context.decode(packet):
                    given = True
                    yield frame
            except (FFmpegError, OSError, ValueError):
                self._damaged += (
                    given  # before its first whole picture, a stream may begin anywhere
                )
        if container.duration and EXACT & set(container.format.name.split(",")):
            missing = ((container.start_time or 0) + container.duration) / av.time_base - end
            self._cut = missing > TOLERANCE or (cut and missing > 0) or is_cut_riff(self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()


class Camera:
    """The newest frame of a live source, whenever one is asked for; older ones are dropped.

    A thread of its own reads without pause, so that nothing queues up in the driver. It reads into
    two buffers by turns: memory that one thread takes and another gives back would grow in steps. A
    file is played at its own speed, as if it were a camera.

    Args:
        source: number of a device, or a path or URL that OpenCV opens.

    Attributes:
        path: of a file that is played as if it were a camera; None of a camera.
        fps: frames a second that the source promises.
        dropped: frames that came and were never asked for.

    Raises:
        VideoError: it cannot be opened.
    """

    total = 0
    start = 0.0

    def __init__(self, source: str) -> None:
        file = not source.isdecimal() and Path(source).is_file()
        self.path = Path(source) if file else None
        address = source if self.path is None else f"file:{source}"  # its name may hold a colon
        with _quiet():
            self._capture = cv2.VideoCapture(int(source) if source.isdecimal() else address)
        if not self._capture.isOpened():
            raise VideoError(
                f"camera {source}: cannot be opened; it is not there, another program has it, or "
                "this one may not use it"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._source = source
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
            if self.path is not None:
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


def _upright(frame: VideoFrame, reformatter: VideoReformatter) -> Pixels:
    # The size stays, so that there is nothing to interpolate but colours.
    converted = reformatter.reformat(frame, format="rgb24", interpolation="FAST_BILINEAR")
    pixels: Pixels = converted.to_ndarray()  # type: ignore[assignment]
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


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

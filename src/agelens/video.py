"""`agelens video` and `agelens webcam`: frames in; tracked faces out, as rows and as pictures."""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.draw import draw_faces
from agelens.errors import VideoError
from agelens.estimator import AgeEstimator
from agelens.record import RowFormat, row_writer, to_row, video_writer
from agelens.track import FaceTracker

COMPLETE = 0.9
"""A file whose frames end before this share of what it claims is broken. What a container claims is
an estimate for some, so that a few frames less are none."""
WINDOW = "agelens"
RECENT = 256
"""Frames that the shown speed and latency are of."""


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
    image: NDArray[np.uint8]
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
            yield Frame(count, moment, image, time.monotonic())
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

    A thread of its own reads without pause, so that nothing queues up in the driver. A file is
    played at its own speed, as if it were a camera.

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
        self._newest: Frame | None = None
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
                frame, self._newest = self._newest, None
            if frame is None:
                break
            given += 1
            yield frame
        if not given:
            raise VideoError(f"camera {self._source}: gives no picture")

    def _grab(self) -> None:
        start, index = time.monotonic(), 0
        while not self._ended and (image := _read(self._capture)) is not None:
            if self._paced:
                due = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or index / self.fps
                time.sleep(max(0.0, start + due - time.monotonic()))
            now = time.monotonic()
            if index == 0:
                start = now
            with self._changed:
                self.dropped += self._newest is not None
                self._newest = Frame(index, now - start, image, now)
                self._changed.notify()
            index += 1
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


class Meter:
    """Speed, latency and drops, on stderr: each second on a terminal, and once at the end."""

    def __init__(self, source: VideoFile | Camera) -> None:
        self._source = source
        self._done: deque[float] = deque(maxlen=RECENT)
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._start = self._shown = time.monotonic()
        self.frames = 0

    def count(self, frame: Frame) -> None:
        """A frame is done."""
        now = time.monotonic()
        self.frames += 1
        self._done.append(now)
        self._latencies.append(now - frame.arrived)
        if now - self._shown >= 1 and sys.stderr.isatty():
            self._shown = now
            fps = (len(self._done) - 1) / max(now - self._done[0], 1e-9)
            sys.stderr.write(f"\r{self._text(fps)}\033[K")
            sys.stderr.flush()

    def finish(self) -> None:
        """Say how it went."""
        seconds = time.monotonic() - self._start
        begin = "\r\033[K" if sys.stderr.isatty() else ""
        sys.stderr.write(
            f"{begin}agelens: {self.frames} frames in {seconds:.1f} s, "
            f"{self._text(self.frames / max(seconds, 1e-9))}\n"
        )

    def _text(self, fps: float) -> str:
        latency = 1000 * statistics.median(self._latencies) if self._latencies else 0.0
        return f"{fps:.1f} fps, {self._source.dropped} dropped, latency {latency:.0f} ms"


def run(
    source: VideoFile | Camera,
    estimator: AgeEstimator,
    *,
    output: Path | None = None,
    form: RowFormat = RowFormat.JSONL,
    rows: Path | None = None,
    detect_every: int = 5,
    window: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Follow the faces of a video or camera to its end.

    Memory does not grow with the length of the video.

    Args:
        source: of the frames; it is closed.
        estimator: of the ages.
        output: annotated video to write, H.264 in MP4.
        form: of the rows, one for each face of each frame; see `agelens.record.COLUMNS`.
        rows: their file; None is stdout.
        detect_every: see `FaceTracker`.
        window: show the annotated frames; q, Esc or closing the window stops.
        stopped: asked after each frame; true ends the video there, with all files complete.

    Raises:
        VideoError: the source breaks. What came before is complete in every file.
        AgelensError: a file cannot be written.
    """
    tracker = FaceTracker(estimator, detect_every=detect_every)
    meter = Meter(source)
    broken: VideoError | None = None
    with ExitStack() as stack:
        stack.callback(source.close)
        write_row = stack.enter_context(row_writer(form, rows))
        video = stack.enter_context(video_writer(output, source.fps))
        if window:
            stack.callback(cv2.destroyAllWindows)
        try:
            for frame in source:
                faces = tracker.update(frame.image, frame.time)
                for face in faces:
                    write_row(to_row(frame.index, frame.time, face))
                if video or window:
                    drawn = draw_faces(frame.image, [tracked.face for tracked in faces])
                    if video:
                        video.write(drawn, frame.time)
                    if window and not _show(drawn):
                        break
                meter.count(frame)
                if stopped():
                    break
        except VideoError as error:
            if not meter.frames:
                raise
            broken = error  # once the files are complete
    meter.finish()
    if broken is not None:
        raise broken


def has_screen() -> bool:
    """Whether a window can be shown: there is a screen, and OpenCV is not the headless build."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False  # asked first, because Qt ends the process where it finds no screen
    try:
        cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    cv2.destroyWindow(WINDOW)
    return True


def _show(image: NDArray[np.uint8]) -> bool:
    """Show a frame; False when the user is done."""
    cv2.imshow(WINDOW, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return (
        cv2.waitKey(1) & 0xFF not in {ord("q"), 27}
        and cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1
    )


def _read(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    good, image = capture.read()
    if not good:
        return None
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

"""`agelens video` and `agelens webcam`: frames in; tracked faces out, as rows and as pictures."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.draw import draw_faces
from agelens.errors import VideoError
from agelens.estimator import AgeEstimator
from agelens.video.frames import Camera, Frame, VideoFile
from agelens.video.tracker import FaceTracker
from agelens.video.writers import RowFormat, row_writer, to_row, video_writer

WINDOW = "agelens"
RECENT = 256
"""Frames that the shown speed and latency are of."""


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
        form: of the rows, one for each face of each frame; see `agelens.video.writers.COLUMNS`.
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

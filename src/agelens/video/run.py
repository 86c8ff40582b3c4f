"""`agelens video` and `agelens webcam`: frames in; tracked faces out, as rows and as pictures."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.draw import draw_faces
from agelens.errors import OutputError, VideoError
from agelens.estimator import AgeEstimator
from agelens.files import Inputs
from agelens.types import Interval
from agelens.video.frames import Camera, Frame, VideoFile
from agelens.video.tracker import FaceTracker, TrackedFace
from agelens.video.writers import RowFormat, row_writer, to_row, video_writer

WINDOW = "agelens"
RECENT = 256
"""Frames that the shown speed and latency are of."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was seen in a video.

    Attributes:
        track: the person's number, from 1, as in the rows.
        first: seconds from the first frame to the one in which the person was first reported.
        last: likewise, of the last one.
        frames: in which the person was reported.
        age: when last seen, which is the best estimate.
        interval: likewise.
    """

    track: int
    first: float
    last: float
    frames: int
    age: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Report:
    """How far a video has come.

    Attributes:
        frames: that are done.
        total: frames of the whole, about; 0 where nobody knows.
        dropped: frames of a camera that came too fast.
        seconds: since the start.
        fps: frames a second, of the last `RECENT`; of all when it has ended.
        latency: seconds from a frame's arrival to its faces, median of the last `RECENT`.
        people: who was seen, by number.
        ended: nothing more follows.
    """

    frames: int
    total: int
    dropped: int
    seconds: float
    fps: float
    latency: float
    people: Mapping[int, Person]
    ended: bool = False


class Meter:
    """Counts what a `Report` says."""

    def __init__(self, source: VideoFile | Camera) -> None:
        self._source = source
        self._done: deque[float] = deque(maxlen=RECENT)
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._start = time.monotonic()
        self._people: dict[int, Person] = {}
        self.frames = 0

    def count(self, frame: Frame, faces: tuple[TrackedFace, ...]) -> None:
        """A frame is done."""
        now = time.monotonic()
        self.frames += 1
        self._done.append(now)
        self._latencies.append(now - frame.arrived)
        for tracked in faces:
            before = self._people.get(tracked.track)
            self._people[tracked.track] = Person(
                tracked.track,
                before.first if before else frame.time,
                frame.time,
                before.frames + 1 if before else 1,
                tracked.face.age,
                tracked.face.interval,
            )

    def report(self, *, ended: bool = False) -> Report:
        """As it stands now."""
        now = time.monotonic()
        seconds = now - self._start
        if ended or len(self._done) < 2:
            fps = self.frames / max(seconds, 1e-9)
        else:
            fps = (len(self._done) - 1) / max(now - self._done[0], 1e-9)
        return Report(
            self.frames,
            self._source.total,
            self._source.dropped,
            seconds,
            fps,
            statistics.median(self._latencies) if self._latencies else 0.0,
            MappingProxyType(self._people),
            ended,
        )


def run(
    source: VideoFile | Camera,
    estimator: AgeEstimator,
    *,
    output: str | os.PathLike[str] | None = None,
    form: RowFormat = RowFormat.JSONL,
    rows: str | os.PathLike[str] | TextIO | None = None,
    detect_every: int = 5,
    window: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[Report], None] = lambda _report: None,
) -> Report:
    """Follow the faces of a video or camera to its end.

    Memory does not grow with the length of the video, but for a few bytes for each person.

    Args:
        source: of the frames; it is closed.
        estimator: of the ages.
        output: annotated video to write, H.264 in MP4, with the sound of the source.
        form: of the rows, one for each face of each frame; see `agelens.video.writers.COLUMNS`.
        rows: their file, or an open text stream.
        detect_every: see `FaceTracker`.
        window: show the annotated frames; q, Esc or closing the window stops.
        stopped: asked after each frame; true ends the video there, with all files complete.
        progress: told about once a second how far it is, and once when the files are complete,
            before an error is raised, too.

    Returns:
        The last report.

    Raises:
        VideoError: the source breaks. What came before is complete in every file.
        OutputError: a file cannot be written, or is an input or the other output.
    """
    output = None if output is None else Path(output)
    place = Path(rows) if isinstance(rows, str | os.PathLike) else rows
    _check_places(source, estimator, output, place)
    tracker = FaceTracker(estimator, detect_every=detect_every)
    meter, shown = Meter(source), time.monotonic()
    broken: VideoError | BrokenPipeError | None = None
    with ExitStack() as stack:
        stack.callback(source.close)
        write_row = stack.enter_context(row_writer(form, place))
        original = source.path if isinstance(source, VideoFile) else None
        video = stack.enter_context(video_writer(output, source.fps, original))
        if window:
            stack.callback(cv2.destroyAllWindows)
        early = True
        try:
            for frame in source:
                faces = tracker.update(frame.image, frame.time)
                for face in faces:
                    write_row(to_row(frame.index, frame.time, face))
                if video or window:
                    numbers = [tracked.track for tracked in faces]
                    drawn = draw_faces(frame.image, [each.face for each in faces], numbers)
                    if video:
                        video.write(drawn, source.start + frame.time)
                    if window and not _show(drawn):
                        break
                meter.count(frame, faces)
                if time.monotonic() - shown >= 1:
                    shown = time.monotonic()
                    progress(meter.report())
                if stopped():
                    break
            else:
                early = False
        except (VideoError, BrokenPipeError) as error:
            if not meter.frames:
                raise
            broken = error  # once the files are complete
        if video:
            video.whole = not early
    report = meter.report(ended=True)
    progress(report)
    if broken is not None:
        raise broken
    return report


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


def _check_places(
    source: VideoFile | Camera,
    estimator: AgeEstimator,
    output: Path | None,
    rows: Path | TextIO | None,
) -> None:
    inputs = Inputs([estimator.model.path, *([source.path] if source.path is not None else [])])
    try:
        inputs.refuse(output, rows if isinstance(rows, Path) else None)
        if output is not None and output.exists() and not output.is_file():
            raise OutputError(f"{output}: no file; the video needs one of its own")
    except OutputError:
        source.close()
        raise


def _show(image: NDArray[np.uint8]) -> bool:
    """Show a frame; False when the user is done."""
    cv2.imshow(WINDOW, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return (
        cv2.waitKey(1) & 0xFF not in {ord("q"), 27}
        and cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1
    )

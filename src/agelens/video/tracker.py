"""Faces of a video: who is who from frame to frame, and an age that settles.

Ids come from OC-SORT (Cao et al., CVPR 2023) of the package ``trackers``: a Kalman filter and an
assignment by overlap, without a network. Between full detections a known face is only looked at
again where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from trackers import OCSORTTracker

from agelens.estimator import AgeEstimator
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.memory import (
    DETECT_EVERY,
    LOST_AFTER,
    MIN_OVERLAP,
    FaceMemory,
    frame_weight,
)
from agelens.types import Detection, Face

NOMINAL_FPS = 30.0
"""Frames a second that the settings of `trackers` are in; true times are given to it."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face of a frame.

    Attributes:
        track: the number of the person, from 1; it stays through `LOST_AFTER` seconds of absence.
        face: where the face is in this frame and how good its picture is; its distribution, age
            and interval are the track's.
    """

    track: int
    face: Face


class FaceTracker:
    """Follows the faces of one video and combines what its frames say of each.

    A track's age is the median of the mean of its frames' distributions, weighted by
    `frame_weight`; of long tracks the last good frames count (`agelens.pipeline.memory`).

    Its interval is that of the mean distribution under the calibration for single pictures. The
    frames of one face share the person, the light and the camera, so that their errors are far
    from independent: many frames remove the jitter, and not the error that they have in common.
    The interval therefore settles with the track and does not shrink as the number of frames
    grows. It is not calibrated on videos; where frames disagree the mean distribution is wider
    than each of them, and the interval errs on the safe side.

    Args:
        estimator: finds the faces and reads their ages.
        detect_every: every so many frames the whole frame is searched; in between, known faces
            are followed. It is also searched while no face is known, and when one gets lost. A
            detector of the caller's own searches every frame.

    Raises:
        ValueError: `detect_every` is below 1.
    """

    def __init__(self, estimator: AgeEstimator, *, detect_every: int = DETECT_EVERY) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, and is {detect_every}")
        self._estimator = estimator
        self._detect_every = detect_every
        self._since_detection = 0
        self._known: tuple[Detection, ...] = ()
        self._memories: dict[int, FaceMemory] = {}
        self._sort = OCSORTTracker(
            lost_track_buffer=round(LOST_AFTER * NOMINAL_FPS),
            frame_rate=NOMINAL_FPS,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=MIN_OVERLAP,
            high_conf_det_threshold=0.0,
        )

    def update(self, image: NDArray[np.uint8], time: float) -> tuple[TrackedFace, ...]:
        """Take the next frame.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            time: seconds since any moment, later than the frame before.

        Returns:
            The frame's faces, largest first. A face that has just appeared is first returned in
            its second frame.
        """
        self._known = self._find(image)
        tracks = self._identify(self._known, time)
        for track in [key for key, value in self._memories.items() if _lost(value, time)]:
            del self._memories[track]
        if not tracks:
            return ()
        detections = [self._known[index] for index in tracks]
        crops = self._estimator.preprocess(image, detections)
        means = [
            self._remember(track, row, frame_weight(quality), time)
            for track, row, quality in zip(
                tracks.values(), self._estimator.predict(crops), crops.qualities, strict=True
            )
        ]
        faces = self._estimator.postprocess(np.stack(means), crops)
        return tuple(map(TrackedFace, tracks.values(), faces))

    def _find(self, image: NDArray[np.uint8]) -> tuple[Detection, ...]:
        detector, min_score = self._estimator.detector, self._estimator.min_score
        self._since_detection += 1
        due = self._since_detection >= self._detect_every
        if self._known and not due and isinstance(detector, FaceDetector):
            found = detector.follow(image, self._known, min_score=min_score)
            if len(found) == len(self._known):
                return found
        self._since_detection = 0
        if isinstance(detector, FaceDetector):
            return detector.detect(image, min_score=min_score, turned=False)
        return detector.detect(image, min_score=min_score)

    def _identify(self, faces: tuple[Detection, ...], time: float) -> dict[int, int]:
        """Track numbers from 1, by index into `faces`; those without one yet are left out."""
        boxes = np.array([[f.box.x1, f.box.y1, f.box.x2, f.box.y2] for f in faces], np.float32)
        found = sv.Detections(
            xyxy=boxes.reshape(-1, 4),
            confidence=np.array([face.score for face in faces], np.float32),
            data={"index": np.arange(len(faces))},
        )
        named = self._sort.update(found, timestamp=time)
        if not len(named) or named.tracker_id is None:
            return {}
        pairs = zip(named.data["index"], named.tracker_id, strict=True)
        return {int(index): int(track) + 1 for index, track in sorted(pairs) if track >= 0}

    def _remember(
        self, track: int, distribution: NDArray[np.floating], weight: float, time: float
    ) -> NDArray[np.float64]:
        """Add a frame to a track; its mean distribution ``[K]``."""
        memory = self._memories.get(track)
        if memory is None:
            memory = self._memories[track] = FaceMemory.start(distribution, weight, time)
        else:
            memory.add(distribution, weight, time)
        return memory.mean


def _lost(memory: FaceMemory, time: float) -> bool:
    return time - memory.seen > 2 * LOST_AFTER  # the tracker's own count is a frame or so off

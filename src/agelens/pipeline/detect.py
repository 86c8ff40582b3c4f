"""Faces in a picture: box, landmarks, score.

The network is MediaPipe's BlazeFace full-range (Bazarevsky et al. 2019, Apache-2.0), fine-tuned by
``research/detector``: most faces need no border around, small and badly lit ones are found, and one
upside down is not taken for an upright one. It takes views whose sides are multiples of 32, and
answers for an anchor every 4 pixels.

It is used twice. A coarse pass over the views of `agelens.pipeline.views` gives candidates. Each
candidate is then looked at again in an upright view of its own, where every face has the same size:
this settles its score and makes its landmarks as good for a small face in a crowd as for a
portrait, so that ages do not change with the framing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.session import Workers, open_session, shipped
from agelens.pipeline.views import Pyramid, View, rounds
from agelens.types import Box, Detection, Face, Landmarks

Located = TypeVar("Located", Detection, Face)

STRIDE = 4
"""From one anchor to the next."""
COARSE_SCORE = 0.2
COARSE_LOGIT = math.log(COARSE_SCORE / (1 - COARSE_SCORE))
WEAK = 0.3
"""Candidates that score below this fraction of the best are dropped: beside a sure face they are
hardly ever faces, and each costs as much time."""
FACE = 64
"""Side of a candidate's box in its own view, in pixels of the view."""
AROUND = 2
"""Side of that view, in sides of the box (benchmarks/detection.py)."""
SURE = 0.5
"""Cap on `min_score` during the search; a higher one only filters the results."""
BOTH = 0.4
"""A face's score plus its candidate's must be at least `min_score` (`SURE` at most) plus this: 0.9
by default. False positives often score low in both."""
ASKEW = math.radians(20)
"""A face that is turned by more in its own view is looked at once more, upright."""
ENOUGH = 0.6
"""Where a face of this score is found, no further round of views is looked at. Faces of a lower one
may be turned ones, for which another round has a better answer."""
OVERLAP = 0.3
"""Boxes of a higher IoU than this are one face (MediaPipe's value)."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A face in picture pixels: box centre and side, keypoints ``[6]``, score."""

    centre: complex
    side: float
    points: NDArray[np.complex128]
    score: float

    @property
    def eyes(self) -> complex:
        """From the right eye to the left one, which is to the right in a picture."""
        return complex(self.points[1] - self.points[0])

    @classmethod
    def of(cls, face: Detection) -> _Candidate:
        """A face that is known to be one."""
        box = face.box
        points = face.landmarks.to_array().view(np.complex128)[:, 0]
        centre = complex(box.x1 + box.x2, box.y1 + box.y2) / 2
        return cls(centre, box.width, points, 1.0)

    def found(self) -> Detection:
        x, y, half = self.centre.real, self.centre.imag, self.side / 2
        points = np.stack([self.points.real, self.points.imag], axis=-1)
        box = Box(x - half, y - half, x + half, y + half)
        return Detection(box, Landmarks.from_array(points), self.score)


class FaceDetector:
    """Finds faces. Safe to share between threads.

    Args:
        device: where the network runs; see `agelens.pipeline.session.open_session`.
        threads: CPU threads for one picture; 0 takes one for each processor.
        crowd: also find the small faces of a crowd, for about five times the work on a picture.
    """

    def __init__(self, *, device: str = "auto", threads: int = 0, crowd: bool = False) -> None:
        self._reopen = partial(FaceDetector, device=device, threads=threads, crowd=crowd)
        self.crowd = crowd
        self._session = open_session(shipped("blazeface.onnx"), device=device)
        self._workers = Workers(threads, self._session)

    def close(self) -> None:
        """Let go of the network and its threads; the detector cannot be used any more."""
        self._workers.close()
        del self._session

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reopen, ()

    def detect(
        self,
        image: NDArray[np.uint8],
        *,
        min_score: float = 0.5,
        size: tuple[int, int] | None = None,
        turned: bool = True,
    ) -> tuple[Detection, ...]:
        """Find the faces of one picture.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            min_score: faces with a lower score, 0 to 1, are left out; below 0.2 are none at all.
            size: width and height of the picture that the faces are wanted in, where `image` is a
                reduction of it (see `agelens.pipeline.images.load_reduced`).
            turned: where no face of `ENOUGH` is found otherwise, look for faces upside down, and on
                their sides in the whole picture, which doubles the work there.

        Returns:
            Detections, largest box first. Heads turned in the picture's plane are found up to 40
            degrees for sure (tested).
        """
        width, height = size or (image.shape[1], image.shape[0])
        pyramid, kept = Pyramid(image, (width, height)), list[_Candidate]()
        for views in rounds(width, height, crowd=self.crowd, turned=turned):
            for view in sorted(views, key=lambda view: -view.scale):
                pyramid.reduce(view.scale)
            coarse = _suppress([face for found in self._look(pyramid, views) for face in found])
            likely = [face for face in coarse if face.score >= WEAK * coarse[0].score]
            kept += self._refined(pyramid, likely, min(min_score, SURE))
            if any(face.score >= ENOUGH for face in kept):
                break
        kept = _one_in_each_place(_suppress(kept))
        return _detections([face for face in kept if face.score >= min_score])

    def follow(
        self,
        image: NDArray[np.uint8],
        known: Sequence[Detection],
        *,
        min_score: float = 0.5,
    ) -> tuple[Detection, ...]:
        """Find known faces again in the next picture of a video, without looking for new ones.

        One look a face and none at the whole picture: half the work of `detect` where there is one
        face.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            known: faces of the picture before; one that has moved by more than half of its box's
                side since then is lost.
            min_score: as for `detect`.

        Returns:
            The faces that are still there, largest box first; two that meet in one are one.
        """
        candidates = [_Candidate.of(face) for face in known]
        pyramid = Pyramid(image, (image.shape[1], image.shape[0]))
        return _detections(self._refined(pyramid, candidates, min_score))

    def _refined(
        self, pyramid: Pyramid, candidates: Sequence[_Candidate], min_score: float
    ) -> list[_Candidate]:
        """Those candidates that a second look confirms, each face once.

        It is upright, with the candidate in the middle; another face may be nearer to the border.
        Those that turn out to be askew in it are looked at once more.
        """
        faces: list[_Candidate] = []
        for _ in range(2):
            views = []
            for candidate in candidates:
                eyes = candidate.eyes
                level = eyes.conjugate() / abs(eyes) if eyes else 1
                turn = complex(FACE / candidate.side * level)
                views.append(View(candidate.centre, turn, (AROUND * FACE, AROUND * FACE)))
            askew = []
            for candidate, found in zip(candidates, self._look(pyramid, views), strict=True):
                near = [
                    face
                    for face in found
                    if abs(face.centre - candidate.centre) < candidate.side / 2
                    and face.score + candidate.score >= min_score + BOTH
                ]
                faces += near[:1]  # the best score comes first
                if near and abs(np.angle(near[0].eyes * candidate.eyes.conjugate())) > ASKEW:
                    askew.append(near[0])
            candidates = askew
        return _suppress([face for face in faces if face.score >= min_score])

    def _look(self, pyramid: Pyramid, views: Sequence[View]) -> list[list[_Candidate]]:
        """What the network sees in each view of the picture."""
        pyramid.halve(min((view.scale for view in views), default=1.0))

        def see(view: View) -> list[_Candidate]:
            feed = {"images": pyramid.pixels(view)[None]}
            boxes, scores = self._session.run(["boxes", "scores"], feed)
            return _decode(view, boxes[0], scores[0])

        return self._workers.map(see, views)


def main_face(faces: Sequence[Located], width: int, height: int) -> Located | None:
    """The face that a cropped portrait is of: large, and near the middle."""

    def weight(face: Located) -> float:
        x, y = (face.box.x1 + face.box.x2) / 2, (face.box.y1 + face.box.y2) / 2
        away = np.hypot(x - width / 2, y - height / 2) / max(width, height)
        return face.box.width * float(np.exp(-4 * away))

    return max(faces, key=weight, default=None)


def _decode(
    view: View, boxes: NDArray[np.float32], logits: NDArray[np.float32]
) -> list[_Candidate]:
    """The network's answer for one view, in picture pixels."""
    chosen = np.flatnonzero(logits[:, 0] >= COARSE_LOGIT)
    if not len(chosen):
        return []
    scores = 1 / (1 + np.exp(-logits[chosen, 0]))
    rows, columns = np.divmod(chosen, view.size[0] // STRIDE)
    anchors = (columns + 0.5 + 1j * (rows + 0.5)) * STRIDE - complex(*view.size) / 2
    values = boxes[chosen].view(np.complex64)
    sizes = values[:, 1].astype(np.complex128)  # not a place: width + i height
    sides = (sizes.real + sizes.imag) / 2 / view.scale
    points = (values + anchors[:, None]) / view.turn + view.centre
    return [
        _Candidate(complex(points[i, 0]), float(sides[i]), points[i, 2:], float(scores[i]))
        for i in _apart(points[:, 0], sides, scores)
        if sides[i] > 0
    ]


def _detections(candidates: list[_Candidate]) -> tuple[Detection, ...]:
    """The candidates as results, largest first."""
    candidates.sort(key=lambda face: (-face.side, face.centre.real, face.centre.imag))
    return tuple(face.found() for face in candidates)


def _suppress(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """One candidate for each face, best first."""
    if len(candidates) < 2:
        return list(candidates)
    centres = np.array([face.centre for face in candidates])
    sides = np.array([face.side for face in candidates])
    scores = np.array([face.score for face in candidates], np.float32)
    return [candidates[index] for index in _apart(centres, sides, scores)]


def _one_in_each_place(faces: Sequence[_Candidate]) -> list[_Candidate]:
    """The faces without those that have a better one in their middle.

    A turned face, looked at as if it were upright, may seem to be one of twice its size.
    """
    return [
        face
        for face in faces
        if not any(
            better.score > face.score and abs(better.centre - face.centre) < face.side / 2
            for better in faces
        )
    ]


def _apart(
    centres: NDArray[np.complex128], sides: NDArray[np.float64], scores: NDArray[np.float32]
) -> Sequence[int]:
    """Greedy non-maximum suppression: of boxes that overlap, the best score stays; best first."""
    corners = [centres.real - sides / 2, centres.imag - sides / 2, sides, sides]
    return cv2.dnn.NMSBoxes(np.stack(corners, axis=-1).tolist(), scores.tolist(), 0.0, OVERLAP)

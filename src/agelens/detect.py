"""Faces in a picture: box, landmarks, score.

The network is MediaPipe's BlazeFace full-range (Bazarevsky et al. 2019, Apache-2.0), converted by
``tools/convert_blazeface.py``. It looks at a 192 x 192 view and answers for 48 x 48 anchors.

It is used twice. A coarse pass over the whole picture, with a border around because a face that
fills the picture is not found without one, and over overlapping tiles of large pictures, gives
candidates. Each candidate is then looked at again in an upright view of its own, where every face
has the same size: this settles its score and makes its landmarks as good for a small face in a
crowd as for a portrait, so that ages do not change with the framing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agelens.align import warp
from agelens.session import Workers, open_session, shipped
from agelens.types import Box, Detection, Landmarks

VIEW = 192
"""Side of the network's input in pixels."""
STRIDE = 4
COARSE_VIEWS = (1.5, 3.0)
"""Sides of the square views of the whole picture, in longer sides of the picture. A face that fills
the picture needs the border: of 500 UTKFace crops 12 % score over 0.5 without one, 98 % at 1.5. The
wider view is looked at only when the first shows nobody."""
COARSE_SCORE = 0.3
REFINE_SIDE = 3.0
"""Side of a candidate's own view, in sides of its box. Of 141 UTKFace crops that score under 0.5 at
2.0, 126 pass at 3.0, and the landmarks of the others spread no more."""
OVERLAP = 0.3
"""Boxes of a higher IoU than this are one face (MediaPipe's value)."""
TILE_FROM = 900
"""Pictures with a longer side than this, in pixels, are also searched in tiles."""
TILE_SIDE = 640
MAX_TILES_A_SIDE = 6

_ANCHORS = (np.stack(np.meshgrid(np.arange(48), np.arange(48)), -1).reshape(-1, 2) + 0.5) * STRIDE


@dataclass(frozen=True, slots=True)
class _View:
    """A square of the picture, turned: what the network sees."""

    centre: NDArray[np.float64]
    side: float
    angle: float = 0.0

    @property
    def turn(self) -> NDArray[np.float64]:
        """From directions in the picture to those in the view, ``[2, 2]``."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return VIEW / self.side * np.array([[cosine, sine], [-sine, cosine]])

    def square(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Its pixels ``[192, 192, 3]``."""
        turn = self.turn
        matrix = np.column_stack([turn, VIEW / 2 - turn @ self.centre])
        return warp(image, matrix, VIEW, reflect=False)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A face in picture pixels: box centre and side, keypoints ``[6, 2]``, score."""

    centre: NDArray[np.float64]
    side: float
    points: NDArray[np.float64]
    score: float

    @property
    def box(self) -> Box:
        half = self.side / 2
        x, y = (float(value) for value in self.centre)
        return Box(x - half, y - half, x + half, y + half)


class FaceDetector:
    """Finds faces. Safe to share between threads.

    Args:
        threads: CPU threads for one picture; 0 takes one for each processor.
    """

    def __init__(self, *, threads: int = 0) -> None:
        self._session = open_session(shipped("blazeface.onnx"))
        self._workers = Workers(threads, self._session)

    def detect(self, image: NDArray[np.uint8], *, min_score: float = 0.5) -> tuple[Detection, ...]:
        """Find the faces of one picture.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            min_score: faces with a lower score, 0 to 1, are left out; below 0.3 are none at all.

        Returns:
            Detections, largest box first. Heads turned in the picture's plane are found up to 40
            degrees for sure (tested), upside down not.
        """
        height, width = image.shape[:2]
        kept: list[_Candidate] = []
        for times in COARSE_VIEWS:
            views = [_View(np.array([width / 2, height / 2]), times * max(width, height))]
            if times == COARSE_VIEWS[0]:
                views += _tiles(width, height)
            coarse = [face for found in self._look(image, views) for face in found]
            kept = self._refined(image, _suppress(coarse), min_score)
            if kept:
                break
        return _detections(kept)

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
        candidates = [
            _Candidate(
                np.array([(face.box.x1 + face.box.x2) / 2, (face.box.y1 + face.box.y2) / 2]),
                face.box.width,
                face.landmarks.to_array(),
                face.score,
            )
            for face in known
        ]
        return _detections(self._refined(image, candidates, min_score))

    def _refined(
        self, image: NDArray[np.uint8], candidates: list[_Candidate], min_score: float
    ) -> list[_Candidate]:
        """Those candidates that a second look confirms, each face once.

        It is upright, with the candidate in the middle; another face may be nearer to the border.
        """
        views = []
        for candidate in candidates:
            eyes = candidate.points[1] - candidate.points[0]
            angle = math.atan2(eyes[1], eyes[0])
            views.append(_View(candidate.centre, REFINE_SIDE * candidate.side, angle))
        refined = []
        for candidate, found in zip(candidates, self._look(image, views), strict=True):
            near = [
                face
                for face in found
                if np.hypot(*(face.centre - candidate.centre)) < candidate.side / 2
            ]
            best = max(near, key=lambda face: face.score, default=None)
            if best is not None and best.score >= min_score:
                refined.append(best)
        return _suppress(refined)

    def _look(self, image: NDArray[np.uint8], views: Sequence[_View]) -> list[list[_Candidate]]:
        """What the network sees in each view of the picture."""

        def see(view: _View) -> list[_Candidate]:
            feed = {"images": view.square(image)[None]}
            boxes, scores = self._session.run(["boxes", "scores"], feed)
            return _decode(view, boxes[0], scores[0])

        return self._workers.map(see, views)


def _decode(
    view: _View, boxes: NDArray[np.float32], logits: NDArray[np.float32]
) -> list[_Candidate]:
    """The network's answer for one view, in picture pixels."""
    scores = 1 / (1 + np.exp(-logits[:, 0].clip(-80, 80)))
    chosen = np.flatnonzero(scores >= COARSE_SCORE)
    values = boxes[chosen].reshape(-1, 8, 2).astype(np.float64)
    back = np.linalg.inv(view.turn)
    candidates = []
    for value, anchor, score in zip(values, _ANCHORS[chosen], scores[chosen], strict=True):
        points = (value + anchor - VIEW / 2) @ back.T + view.centre  # row 1 is a size, not a place
        side = float(value[1].mean()) * view.side / VIEW
        if side > 0:
            candidates.append(_Candidate(points[0], side, points[2:], float(score)))
    return _suppress(candidates)


def _detections(candidates: list[_Candidate]) -> tuple[Detection, ...]:
    """The candidates as results, largest first."""
    candidates.sort(key=lambda face: (-face.side, *face.centre))
    return tuple(
        Detection(face.box, Landmarks.from_array(face.points), face.score) for face in candidates
    )


def _tiles(width: int, height: int) -> list[_View]:
    """The overlapping squares in which a large picture is searched."""
    longer = max(width, height)
    if longer <= TILE_FROM:
        return []
    side = max(float(TILE_SIDE), longer / (0.75 * (MAX_TILES_A_SIDE - 1) + 1))
    return [
        _View(np.array([x, y]), side)
        for y in _tile_centres(height, side)
        for x in _tile_centres(width, side)
    ]


def _tile_centres(length: int, side: float) -> NDArray[np.float64]:
    """Centres along one axis, so that neighbours overlap by a quarter or more."""
    if length <= side:
        return np.array([length / 2])
    count = math.ceil((length - side) / (0.75 * side)) + 1
    return np.linspace(side / 2, length - side / 2, count)


def _suppress(candidates: list[_Candidate]) -> list[_Candidate]:
    """Greedy non-maximum suppression: of boxes that overlap, the best score stays."""
    kept: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda face: -face.score):
        if all(_iou(candidate.box, other.box) <= OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def _iou(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.area + b.area - shared)

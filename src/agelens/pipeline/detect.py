"""Faces in a picture: box, landmarks, score.

The network is MediaPipe's BlazeFace full-range (Bazarevsky et al. 2019, Apache-2.0), converted by
``tools/convert_blazeface.py``. It was trained on views of 192 x 192 pixels, but takes any whose
sides divide by 32, and answers for an anchor every 4 pixels.

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
from functools import partial
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.session import Workers, open_session, shipped
from agelens.types import Box, Detection, Face, Landmarks

Located = TypeVar("Located", Detection, Face)

UNIT = 32
"""What the sides of a view divide by, in pixels of the view."""
STRIDE = 4
"""From one anchor to the next."""
COARSE_VIEW = 192
"""Longer side in pixels of the view of the whole picture."""
BORDERS = (0.25, 1.0)
"""Around the whole picture, in its longer sides. A face that fills the picture needs a border: of
500 UTKFace crops 12 % score over 0.5 without one, 98 % with the first. The wider one is looked at
only when the first shows nobody."""
COARSE_SCORE = 0.3
COARSE_LOGIT = math.log(COARSE_SCORE / (1 - COARSE_SCORE))
FACE = 64
"""Side of a candidate's box in its own view, in pixels of the view."""
SURROUNDINGS = (2, 3)
"""Side of that view, in sides of the box: what is around a face helps to be sure of it, but few
faces need more than the first (benchmarks/detection.py)."""
SURE = 0.5
"""A candidate of a lower score is looked at once more, with more around it."""
OVERLAP = 0.3
"""Boxes of a higher IoU than this are one face (MediaPipe's value)."""
TILE_SIDE = 640
"""Pictures with a longer side than this, in pixels, are also searched in tiles, in which so many
pixels, or more in the largest pictures, are `COARSE_VIEW` of the view."""
LONGEST_TILE = 256
"""In pixels of the view."""
MAX_TILES_A_SIDE = 6


@dataclass(frozen=True, slots=True)
class _View:
    """A rectangle of the picture, turned: what the network sees.

    Places and directions are complex numbers, x + iy.

    Attributes:
        centre: in the picture.
        turn: what directions in the picture are multiplied by to be those in the view. Its size is
            the scale, in pixels of the view per pixel of the picture.
        size: width and height in pixels of the view.
    """

    centre: complex
    turn: complex
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        return abs(self.turn)


class _Pyramid:
    """A picture and reductions of it, by area: a view is sampled from the smallest that is larger.

    Of each reduction there are its scale across and down, which rounding makes differ, and pixels.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        size: width and height of the picture, where `image` is a reduction of it already.
    """

    def __init__(self, image: NDArray[np.uint8], size: tuple[int, int]) -> None:
        height, width = image.shape[:2]
        self._levels = [(width / size[0], height / size[1], image)]

    def halve(self, scale: float) -> None:
        """Halve the smallest reduction until half of it were below a scale."""
        across, down, image = self._levels[-1]
        while scale <= across / 2 and min(image.shape[:2]) > 1:
            height, width = (length // 2 for length in image.shape[:2])
            image, across, down = image[: 2 * height, : 2 * width], across / 2, down / 2
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            self._levels.append((across, down, image))

    def reduce(self, scale: float) -> None:
        """Add the picture at just this scale, for views of large parts of it."""
        self.halve(scale)
        across, down, image = self._levels[-1]
        height, width = image.shape[:2]
        size = max(1, round(width * scale / across)), max(1, round(height * scale / down))
        if scale < across and size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            self._levels.append((across * size[0] / width, down * size[1] / height, image))

    def pixels(self, view: _View) -> NDArray[np.uint8]:
        """What a view shows, ``[height, width, 3]``; black beside the picture."""
        enough = [level for level in self._levels if level[0] >= 0.98 * view.scale]
        across, down, image = enough[-1] if enough else self._levels[0]
        turn = view.turn
        # OpenCV puts whole numbers at pixel centres; agelens at their corners.
        middle = complex(0.5 / across, 0.5 / down)
        shift = complex(*view.size) / 2 - turn * (view.centre - middle) - (0.5 + 0.5j)
        matrix = np.array(
            [
                [turn.real / across, -turn.imag / down, shift.real],
                [turn.imag / across, turn.real / down, shift.imag],
            ]
        )
        return cv2.warpAffine(image, matrix, view.size, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A face in picture pixels: box centre and side, keypoints ``[6]``, score."""

    centre: complex
    side: float
    points: NDArray[np.complex128]
    score: float

    @classmethod
    def of(cls, face: Detection) -> _Candidate:
        box = face.box
        points = face.landmarks.to_array().view(np.complex128)[:, 0]
        centre = complex(box.x1 + box.x2, box.y1 + box.y2) / 2
        return cls(centre, box.width, points, face.score)

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
    """

    def __init__(self, *, device: str = "auto", threads: int = 0) -> None:
        self._reopen = partial(FaceDetector, device=device, threads=threads)
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
    ) -> tuple[Detection, ...]:
        """Find the faces of one picture.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            min_score: faces with a lower score, 0 to 1, are left out; below 0.3 are none at all.
            size: width and height of the picture that the faces are wanted in, where `image` is a
                reduction of it (see `agelens.pipeline.images.load_reduced`).

        Returns:
            Detections, largest box first. Heads turned in the picture's plane are found up to 40
            degrees for sure (tested), upside down not.
        """
        width, height = size or (image.shape[1], image.shape[0])
        pyramid, kept = _Pyramid(image, (width, height)), list[_Candidate]()
        for border in BORDERS:
            views = [_whole(width, height, border)]
            if border == BORDERS[0]:
                views += _tiles(width, height)
            for view in sorted(views, key=lambda view: -view.scale):
                pyramid.reduce(view.scale)
            coarse = [face for found in self._look(pyramid, views) for face in found]
            kept = self._refined(pyramid, _suppress(coarse), min_score)
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
        candidates = [_Candidate.of(face) for face in known]
        pyramid = _Pyramid(image, (image.shape[1], image.shape[0]))
        return _detections(self._refined(pyramid, candidates, min_score))

    def _refined(
        self, pyramid: _Pyramid, candidates: Sequence[_Candidate], min_score: float
    ) -> list[_Candidate]:
        """Those candidates that a second look confirms, each face once.

        It is upright, with the candidate in the middle; another face may be nearer to the border.
        """
        refined: list[_Candidate] = []
        for sides in SURROUNDINGS:
            views = []
            for candidate in candidates:
                eyes = candidate.points[1] - candidate.points[0]
                level = eyes.conjugate() / abs(eyes) if eyes else 1
                turn = complex(FACE / candidate.side * level)
                views.append(_View(candidate.centre, turn, (sides * FACE, sides * FACE)))
            unsure = []
            for candidate, found in zip(candidates, self._look(pyramid, views), strict=True):
                near = [
                    face
                    for face in found
                    if abs(face.centre - candidate.centre) < candidate.side / 2
                ]
                refined += near[:1]  # the best score comes first
                if not near or near[0].score < SURE:
                    unsure.append(candidate)
            candidates = unsure
        return _suppress([face for face in refined if face.score >= min_score])

    def _look(self, pyramid: _Pyramid, views: Sequence[_View]) -> list[list[_Candidate]]:
        """What the network sees in each view of the picture."""
        pyramid.halve(min((view.scale for view in views), default=1.0))

        def see(view: _View) -> list[_Candidate]:
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
    view: _View, boxes: NDArray[np.float32], logits: NDArray[np.float32]
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


def _whole(width: int, height: int, border: float) -> _View:
    """The view of the whole picture with a border around."""
    longer = max(width, height)
    scale = COARSE_VIEW / (longer * (1 + 2 * border))
    size = (
        _units((width + 2 * border * longer) * scale),
        _units((height + 2 * border * longer) * scale),
    )
    return _View(complex(width, height) / 2, scale, size)


def _tiles(width: int, height: int) -> list[_View]:
    """The overlapping rectangles in which a large picture is searched."""
    longer = max(width, height)
    if longer <= TILE_SIDE:
        return []
    side = max(float(TILE_SIDE), longer / (0.75 * (MAX_TILES_A_SIDE - 1) + 1))
    scale = COARSE_VIEW / side
    tall, rows = _spread(height, scale)
    wide, columns = _spread(width, scale)
    return [_View(complex(x, y), scale, (wide, tall)) for y in rows for x in columns]


def _spread(length: int, scale: float) -> tuple[int, NDArray[np.float64]]:
    """Tiles along one axis: their length in the view, and their centres in the picture.

    Neighbours overlap by a quarter of `COARSE_VIEW` or more, so that a face is whole in one.
    """
    needed, shared = length * scale, COARSE_VIEW / 4
    count = max(1, math.ceil((needed - shared) / (LONGEST_TILE - shared)))
    view = _units((needed + (count - 1) * shared) / count)
    half = min(view / scale, length) / 2
    return view, np.linspace(half, length - half, count)


def _units(length: float) -> int:
    """The next side that a view can have."""
    return UNIT * math.ceil(round(length / UNIT, 6))


def _suppress(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """One candidate for each face, best first."""
    if len(candidates) < 2:
        return list(candidates)
    centres = np.array([face.centre for face in candidates])
    sides = np.array([face.side for face in candidates])
    scores = np.array([face.score for face in candidates], np.float32)
    return [candidates[index] for index in _apart(centres, sides, scores)]


def _apart(
    centres: NDArray[np.complex128], sides: NDArray[np.float64], scores: NDArray[np.float32]
) -> Sequence[int]:
    """Greedy non-maximum suppression: of boxes that overlap, the best score stays; best first."""
    corners = [centres.real - sides / 2, centres.imag - sides / 2, sides, sides]
    return cv2.dnn.NMSBoxes(np.stack(corners, axis=-1).tolist(), scores.tolist(), 0.0, OVERLAP)

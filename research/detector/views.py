"""Made views of faces, as the detector has them, and what it should answer.

Faces come from prepared datasets, whose manifests say where BlazeFace finds each in its own upright
view. That is the truth for every other view of the same face: smaller, turned, moved, badly lit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.data.manifest import Dataset
from agelens.pipeline.detect import FACE, FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.views import Pyramid, View

Image = NDArray[np.uint8]
Shown = tuple[Image, list[tuple[NDArray[np.float64], float, float]]]
"""A view, and of each face in it the points ``[7, 2]``, the side of the box, and the score."""
SMALLEST, LARGEST = 5.0, 110.0
"""Sides of faces in scenes, in pixels of the view."""
CLOSE = 128
"""Side of the views of one face, as the second look has them."""
SCENES = (128, 160, 192, 256)
"""Sides of views of many: were all alike, sizes of faces would be guessed from the view's."""
PIXELS = 16 * 192**2
"""Of a batch."""
MISTAKES = 0.4
LEAST_BESIDE = 12
"""Pixels of a piece beside a face; where there are fewer, a photo without a face stands for it."""


@dataclass(frozen=True)
class Known:
    """A picture with one known face.

    Attributes:
        picture: RGB uint8 ``[H, W, 3]``.
        points: ``[7, 2]``: the box's centre, then six keypoints.
        side: of the box.
        score: BlazeFace's.
    """

    picture: Image
    points: NDArray[np.float64]
    side: float
    score: float


def known_faces(
    folders: Sequence[Path], count: int, rng: np.random.Generator, looks: int = 0
) -> list[Known]:
    """So many faces of the training parts of each prepared dataset.

    Args:
        folders: of the datasets.
        count: of each.
        rng: which faces.
        looks: where each face is, is the mean of so many looks at it; 0 takes the manifest's one.
    """
    faces, detector = [], FaceDetector(threads=1)
    for folder in folders:
        dataset = Dataset.load(folder)
        rows = dataset.manifest
        rows = rows[(rows["split"] == "train") & rows["landmarks"].notna()]
        chosen = rows.sample(min(count, len(rows)), random_state=int(rng.integers(2**31)))
        for row in chosen.itertuples():
            x0, y0, x1, y1 = row.box
            points = np.array([[(x0 + x1) / 2, (y0 + y1) / 2], *np.reshape(row.landmarks, (6, 2))])
            known = Known(load_image(dataset.root / row.path), points, x1 - x0, row.score)
            faces.append(steadied(detector, known, looks, rng) if looks else known)
    return faces


MIRRORED = [0, 2, 1, 3, 4, 6, 5]
"""The points of a face in the mirror: right and left eye and ear change places."""


def steadied(detector: FaceDetector, known: Known, looks: int, rng: np.random.Generator) -> Known:
    """The face where the mean of several looks has it, each moved a little, half of them mirrored.

    One look alone depends on where its view is centred, by about a pixel of `FACE`.
    """
    found = []
    width = known.picture.shape[1]
    mirror = np.ascontiguousarray(known.picture[:, ::-1])
    for look in range(looks):
        picture, points = known.picture, known.points
        if look % 2:
            picture, points = mirror, ([width, 0] + [-1, 1] * points)[MIRRORED]
        pyramid = Pyramid(picture, (width, len(picture)))
        eyes = complex(*(points[2] - points[1]))
        away = complex(*rng.normal(0, 0.05 * known.side, 2))
        turn = FACE / known.side * eyes.conjugate() / abs(eyes)
        turn *= np.exp(rng.normal(0, 0.05) + 1j * rng.normal(0, 0.05))
        view = View(complex(*points[0]) + away, complex(turn), (2 * FACE, 2 * FACE))
        (candidates,) = detector._look(pyramid, [view])
        near = [one for one in candidates if abs(one.centre - complex(*points[0])) < known.side / 4]
        if near:
            best = near[0]
            seen = np.array([best.centre, *best.points]).view(np.float64).reshape(-1, 2)
            if look % 2:
                seen = ([width, 0] + [-1, 1] * seen)[MIRRORED]
            found.append((seen, best.side))
    if len(found) < looks / 2:
        return known
    points, sides = zip(*found, strict=True)
    return replace(known, points=np.mean(points, axis=0), side=float(np.mean(sides)))


def scenery(folder: Path) -> list[Image]:
    """Photos in which there is nobody."""
    return [load_image(path) for path in sorted(folder.iterdir())]


def background(
    faces: Sequence[Known], nobody: Sequence[Image], side: int, rng: np.random.Generator
) -> Image:
    """A picture without a face: a part of a photo, of what is beside a face, or nothing much."""
    kind = rng.random()
    if kind < 0.1:
        return np.full((side, side, 3), rng.integers(0, 256, 3) * (rng.random() < 0.4), np.uint8)
    if kind < 0.2:
        cells = int(rng.integers(2, side))
        noise = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        way = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_CUBIC
        return _enlarged(noise, side, way)
    known = faces[rng.integers(len(faces))]
    beside = _beside(known)
    if kind < 0.55 or (kind >= 0.75 and (beside[2:] - beside[:2]).min() < LEAST_BESIDE):
        photo = nobody[rng.integers(len(nobody))]
        return _enlarged(_part(photo, np.array([0, 0, *photo.shape[1::-1]]), rng), side)
    if kind < 0.62:
        wide = cv2.resize(known.picture, (side, side))
        return cv2.GaussianBlur(wide, (0, 0), side / rng.uniform(5, 12))
    if kind < 0.75:  # a face in the wrong order
        (x, y), half = known.points[0], known.side / 2
        x0, y0 = max(0, int(x - half)), max(0, int(y - half))
        face = known.picture[y0 : int(y + half), x0 : int(x + half)]
        count = int(rng.integers(3, 6))
        cell = max(1, min(face.shape[:2]) // count)
        cells = [
            face[cell * row : cell * (row + 1), cell * column : cell * (column + 1)]
            for row in range(count)
            for column in range(count)
        ]
        order = rng.permutation(len(cells)).reshape(count, count)
        mixed = np.concatenate([np.concatenate([cells[i] for i in row], axis=1) for row in order])
        repeats = int(rng.integers(1, 5))
        return _enlarged(np.tile(mixed, (repeats, repeats, 1)), side)
    return _enlarged(_part(known.picture, beside, rng), side)


def _beside(known: Known) -> NDArray[np.float64]:
    """The largest piece of hair, clothes or surroundings above, below or beside the face."""
    (x, y), half = known.points[0], 0.4 * known.side
    height, width = known.picture.shape[:2]
    free = np.array(
        [
            [0, 0, x - half, height],
            [x + half, 0, width, height],
            [0, 0, width, y - half],
            [0, y + half, width, height],
        ]
    ).clip(0, [width, height, width, height])
    return free[np.minimum(free[:, 2] - free[:, 0], free[:, 3] - free[:, 1]).argmax()]


def _part(photo: Image, area: NDArray[np.floating], rng: np.random.Generator) -> Image:
    """A random square of an area ``x0, y0, x1, y1`` of a photo, mirrored or not."""
    x0, y0, x1, y1 = (int(edge) for edge in area)
    most = max(1, min(x1 - x0, y1 - y0))
    part = int(np.exp(rng.uniform(np.log(max(1, min(most, max(10, most / 6)))), np.log(most))))
    x, y = rng.integers(x0, x1 - part + 1), rng.integers(y0, y1 - part + 1)
    found = photo[y : y + part, x : x + part]
    return found[:, ::-1] if rng.random() < 0.5 else found


def _enlarged(picture: Image, side: int, way: int = cv2.INTER_CUBIC) -> Image:
    shrinks = picture.shape[0] > side
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else way)


def placed(known: Known, side: float, centre: Sequence[float], angle: float) -> NDArray[np.float64]:
    """The matrix ``[2, 3]`` that brings a face to this side, centre and angle in a view."""
    scale = side / known.side
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, np.asarray(centre) - turn @ known.points[0]])


def drawn(
    canvas: Image, known: Known, matrix: NDArray[np.float64], *, over: bool, soft: bool = False
) -> Image:
    """The view with the face's picture in it; what is beside the picture stays or is black.

    A `soft` picture fades from the face to its border, so that faces are not told by the border.
    """
    picture, scale = known.picture, float(np.hypot(*matrix[:, 0]))
    if scale < 0.7:
        size = [max(1, round(length * scale)) for length in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        grown = np.array(known.picture.shape[1::-1]) / size
        matrix = np.column_stack([matrix[:, :2] * grown, matrix[:, 2]])
    shift = matrix[:, :2] @ (0.5, 0.5) - 0.5 + matrix[:, 2]
    size = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpAffine(picture, np.column_stack([matrix[:, :2], shift]), size)
    if not over:
        return warped
    shape = _faded(known, picture.shape[:2]) if soft else np.full(picture.shape[:2], 255, np.uint8)
    mask = cv2.warpAffine(shape, np.column_stack([matrix[:, :2], shift]), size)
    if not soft:
        return np.where(mask[..., None] > 127, warped, canvas)
    kept = mask[..., None] / 255
    return (kept * warped + (1 - kept) * canvas).round().astype(np.uint8)


def _faded(known: Known, shape: tuple[int, int]) -> Image:
    """A mask of a picture: 255 at the face, down to 0 at the border, ``[H, W]``."""
    height, width = shape
    x, y = known.points[0] * (width, height) / known.picture.shape[1::-1]
    across = (np.arange(width) + 0.5 - x) / np.where(np.arange(width) < x, x, width - x)
    down = (np.arange(height) + 0.5 - y) / np.where(np.arange(height) < y, y, height - y)
    away = np.hypot(across[None], down[:, None])
    faded: Image = (255 * np.clip((1 - away) / 0.25, 0, 1)).astype(np.uint8)
    return faded


def spoiled(view: Image, rng: np.random.Generator) -> Image:
    """As a camera might have had it: light, contrast, noise, blur, compression; half untouched."""
    if rng.random() < 0.5:
        return view
    if rng.random() < 0.5:
        levels = np.linspace(0, 1, 256)
        curve = levels ** np.exp(rng.normal(0, 0.5)) * np.exp(rng.normal(0, 0.4))
        contrast = np.exp(-abs(rng.normal(0, 0.8)))
        curve = (curve - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)
        view = (curve.clip(0, 1) * 255).round().astype(np.uint8)[view]
    if rng.random() < 0.3:
        view = np.repeat(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.3:
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.4:
        noise = rng.normal(0, rng.uniform(2, 30), view.shape)
        view = (view + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        view = cv2.imdecode(cv2.imencode(".jpg", view, quality)[1], cv2.IMREAD_COLOR)
    return view


def close_view(faces: Sequence[Known], rng: np.random.Generator) -> Shown:
    """One face: as the second look has it, or in a picture that it fills more or less."""
    known = faces[rng.integers(len(faces))]
    if rng.random() < 0.6:  # from a candidate that was not quite right
        side = np.exp(rng.uniform(np.log(40), np.log(90)))
        eyes = known.points[2] - known.points[1]
        angle = rng.normal(0, 0.12) - np.arctan2(eyes[1], eyes[0])
        matrix = placed(known, side, CLOSE / 2 + rng.normal(0, 0.06 * side, 2), angle)
    else:
        most = min(known.picture.shape[:2])
        shown = np.exp(rng.uniform(np.log(min(0.9 * known.side, 0.7 * most)), np.log(most)))
        room = np.array(known.picture.shape[1::-1]) - shown
        around = known.points[0] - shown + 0.3 * known.side, known.points[0] - 0.3 * known.side
        low, high = (np.clip(edge, 0, room) for edge in around)
        scale = CLOSE / shown
        shift = -scale * rng.uniform(np.minimum(low, high), np.maximum(low, high))
        matrix, side = np.column_stack([scale * np.eye(2), shift]), scale * known.side
    view = drawn(np.zeros((CLOSE, CLOSE, 3), np.uint8), known, matrix, over=False)
    points = known.points @ matrix[:, :2].T + matrix[:, 2]
    return spoiled(view, rng), [(points, side, known.score)]


def scene(
    faces: Sequence[Known], nobody: Sequence[Image], extent: int, rng: np.random.Generator
) -> Shown:
    """Up to eight faces of any sizes, or none."""
    view = np.ascontiguousarray(background(faces, nobody, extent, rng))
    shown: list[tuple[NDArray[np.float64], float, float]] = []
    taken: list[NDArray[np.float64]] = []
    for _ in range(int(rng.choice([0, 1, 2, 4, 8], p=[0.4, 0.2, 0.1, 0.15, 0.15]))):
        known = faces[rng.integers(len(faces))]
        largest = min(LARGEST, 0.7 * extent)
        side = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(largest))))
        angle = rng.normal(0, 0.35)
        centre = rng.uniform(0.3 * side, extent - 0.3 * side, 2)
        matrix = placed(known, side, centre, angle)
        height, width = known.picture.shape[:2]
        frame = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        corners = frame @ matrix[:, :2].T + matrix[:, 2]
        covered = np.array([*corners.min(axis=0), *corners.max(axis=0)])
        if any(
            (covered[:2] < other[2:]).all() and (other[:2] < covered[2:]).all() for other in taken
        ):
            continue
        taken.append(covered)
        view = drawn(view, known, matrix, over=True, soft=rng.random() < 0.6)
        points = known.points @ matrix[:, :2].T + matrix[:, 2]
        shown.append((points, side, known.score))
    return spoiled(view, rng), shown


def targets(
    shown: Sequence[tuple[NDArray[np.float64], float, float]], side: int, stride: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each anchor should answer.

    Anchors near a face's centre have its score, those a little farther away are not asked (-1),
    all others have none.

    Returns:
        Scores ``[h, w]``, and values ``[h, w, 17]``: the sixteen of a box, and its side.
    """
    count = side // stride
    axis = (np.arange(count) + 0.5) * stride
    anchors = np.stack(np.meshgrid(axis, axis), axis=-1)
    scores = np.zeros((count, count), np.float32)
    values = np.zeros((count, count, 17), np.float32)
    nearest = np.full((count, count), np.inf)
    for points, size, score in shown:
        away = np.hypot(*np.moveaxis(anchors - points[0], -1, 0)) / max(0.15 * size, 0.75 * stride)
        near = (away <= 1) & (away < nearest)
        scores[near] = score
        scores[(away > 1) & (away <= 2) & (scores == 0)] = -1
        own = np.concatenate([points[:1], np.full((1, 2), size), points[1:]]) - np.where(
            np.arange(8)[:, None] == 1, 0, anchors[near][:, None]
        )
        values[near, :16], values[near, 16] = own.reshape(-1, 16), size
        nearest = np.minimum(nearest, away)
    return scores, values


def moved(view: Image, rng: np.random.Generator) -> Image:
    """A view from a little elsewhere, mirrored or not, and as a camera might have had it."""
    matrix = np.column_stack([np.eye(2) * np.exp(rng.normal(0, 0.08)), rng.normal(0, 4, 2)])
    found = cv2.warpAffine(view, matrix, view.shape[1::-1])
    return spoiled(found[:, ::-1] if rng.random() < 0.5 else found, rng)


def batches(
    faces: Sequence[Known],
    nobody: Sequence[Image],
    stride: int,
    seed: int,
    mistakes: Mapping[str, NDArray[np.uint8]] | None = None,
) -> Iterator[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]:
    """Views, scores and values, without end: close views and scenes in turn.

    Args:
        faces: that are seen.
        nobody: photos without a face.
        stride: from one anchor to the next, in pixels.
        seed: of what is drawn.
        mistakes: by their side, views ``[N, side, side, 3]`` of what was taken for a face and is
            none: `MISTAKES` of all views of that side.
    """
    rng = np.random.default_rng(seed)
    known = mistakes or {}

    def made(side: int, *, close: bool) -> Shown:
        wrong = known.get(str(side))
        if wrong is not None and rng.random() < MISTAKES:
            return moved(wrong[rng.integers(len(wrong))], rng), []
        return close_view(faces, rng) if close else scene(faces, nobody, side, rng)

    while True:
        extent = int(rng.choice(SCENES))
        for side, close in ((CLOSE, True), (extent, False)):
            yield _batch([made(side, close=close) for _ in range(PIXELS // side**2)], stride)


def _batch(
    made: Sequence[Shown], stride: int
) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
    views, shown = zip(*made, strict=True)
    scores, values = zip(*(targets(each, len(views[0]), stride) for each in shown), strict=True)
    return np.stack(views), np.stack(scores), np.stack(values)

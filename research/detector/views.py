"""Made views of faces, as the detector has them, and what it should answer.

Faces come from prepared datasets, whose manifests say where BlazeFace finds each in its own upright
view. That is the truth for every other view of the same face: smaller, turned, moved, badly lit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.data.manifest import Dataset
from agelens.pipeline.detect import FACE, FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.views import Pyramid, View

Image = NDArray[np.uint8]
Placed = tuple[NDArray[np.float64], float]
"""Of a face in a view, the points ``[7, 2]`` and the side of the box."""
Shown = tuple[Image, list[Placed]]
SMALLEST, LARGEST = 5.0, 110.0
"""Sides of faces in scenes, in pixels of the view."""
NOTHING = 0.45
"""Of second looks, how many are at something that is no face."""
MISTAKES = 0.5
"""Of those, how many are at what a network took for one, if such views are given."""
SCORE, PLAIN = 0.95, 8
"""What is asked for a face; less for one of a smaller side than the latter, at least half of it."""
UPSIDE_DOWN = 0.2
"""Of the other second looks without a face, and of pictures that one face fills, how many show a
face upside down. It is labelled as no face: the detector turns the picture to look for it."""
CLOSE = 2 * FACE
"""Side of the views of one face, as the second look has them."""
PIXELS = 12 * 192**2
"""Of a batch."""
FIRST_LOOKS = (128, 128, 128, 160, 192, 256)
"""Sides of views of whole pictures and of tiles: were all alike, sizes of faces would be guessed
from the view's."""
LEAST_BESIDE = 12
"""Pixels of a piece beside a face; where there are fewer, a photo without a face stands for it."""


@dataclass(frozen=True)
class Known:
    """A picture with one known face.

    Attributes:
        picture: RGB uint8 ``[H, W, 3]``.
        points: ``[7, 2]``: the box's centre, then six keypoints.
        side: of the box.
    """

    picture: Image
    points: NDArray[np.float64]
    side: float


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
            known = Known(load_image(dataset.root / row.path), points, x1 - x0)
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


def tilt(rng: np.random.Generator) -> float:
    """How far a head is turned in the picture's plane, in radians."""
    return float(rng.normal(0, 0.3) if rng.random() < 0.6 else rng.uniform(-0.9, 0.9))


def spoiled(view: Image, rng: np.random.Generator) -> Image:
    """As a camera might have had it: light, colour, noise, blur, compression; half untouched."""
    if rng.random() < 0.5:
        return view
    if rng.random() < 0.5:
        levels = np.linspace(0, 1, 256)
        curve = levels ** np.exp(rng.normal(0, 0.5)) * np.exp(rng.normal(0, 0.4))
        contrast = np.exp(-abs(rng.normal(0, 0.8)))
        curve = (curve - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)
        view = (curve.clip(0, 1) * 255).round().astype(np.uint8)[view]
    if rng.random() < 0.3:
        cast = view * rng.uniform(0.4, 1.4, 3) + rng.uniform(-15, 25)
        view = cast.clip(0, 255).round().astype(np.uint8)
    if rng.random() < 0.2:
        view = np.round(view / np.exp(rng.uniform(0, 3.2))).astype(np.uint8)
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


def close_view(
    faces: Sequence[Known],
    nobody: Sequence[Image],
    rng: np.random.Generator,
    upside_down: bool = False,
) -> Shown:
    """One face as the second look has it, from a candidate that was not quite right.

    Upside down it counts as none.
    """
    known = faces[rng.integers(len(faces))]
    side = CLOSE / 2 * np.exp(rng.normal(0, 0.12))
    eyes = known.points[2] - known.points[1]
    angle = rng.normal(0, 0.2) - np.arctan2(eyes[1], eyes[0]) + np.pi * upside_down
    matrix = placed(known, side, CLOSE / 2 + rng.normal(0, 0.06 * side, 2), angle)
    if rng.random() < 0.4:
        view = drawn(np.zeros((CLOSE, CLOSE, 3), np.uint8), known, matrix, over=False)
    else:
        view = np.ascontiguousarray(background(faces, nobody, CLOSE, rng))
        view = drawn(view, known, matrix, over=True, soft=rng.random() < 0.7)
    points = known.points @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        view = np.ascontiguousarray(view[:, ::-1])
        points = ([CLOSE, 0] + [-1, 1] * points)[MIRRORED]
    return spoiled(view, rng), [] if upside_down else [(points, side)]


def filled(
    faces: Sequence[Known], nobody: Sequence[Image], extent: int, rng: np.random.Generator
) -> Shown:
    """A picture that one face fills more or less, as the first look has it."""
    upside_down = rng.random() < UPSIDE_DOWN
    known = faces[rng.integers(len(faces))]
    height, width = known.picture.shape[:2]
    longer = max(height, width)
    shown = np.exp(rng.uniform(np.log(min(1.1 * known.side, longer)), np.log(1.3 * longer)))
    scale = extent / shown
    side = scale * known.side
    reach = min(0.35 * extent, abs(extent - side) / 2 + 0.1 * side)
    centre = extent / 2 + rng.uniform(-reach, reach, 2)
    matrix = placed(known, side, centre, tilt(rng) + np.pi * upside_down)
    canvas = np.full((extent, extent, 3), rng.integers(0, 256, 3) * (rng.random() < 0.5), np.uint8)
    if rng.random() < 0.6:
        canvas = np.ascontiguousarray(background(faces, nobody, extent, rng))
    view = drawn(canvas, known, matrix, over=True, soft=rng.random() < 0.5)
    points = known.points @ matrix[:, :2].T + matrix[:, 2]
    return spoiled(view, rng), [] if upside_down else [(points, side)]


def mosaic(
    faces: Sequence[Known], nobody: Sequence[Image], extent: int, rng: np.random.Generator
) -> Shown:
    """Whole pictures side by side: small faces with what is around them; some show nobody."""
    count = int(rng.integers(2, 7))
    view = np.zeros((extent, extent, 3), np.uint8)
    shown: list[Placed] = []
    edges = np.linspace(0, extent, count + 1).round().astype(int)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            size = (int(right - left), int(bottom - top))
            if rng.random() < 0.25:
                photo = nobody[rng.integers(len(nobody))]
                view[top:bottom, left:right] = cv2.resize(
                    _part(photo, np.array([0, 0, *photo.shape[1::-1]]), rng),
                    size,
                    interpolation=cv2.INTER_AREA,
                )
                continue
            known = faces[rng.integers(len(faces))]
            height, width = known.picture.shape[:2]
            ratio = np.array(size) / (width, height)
            view[top:bottom, left:right] = cv2.resize(
                known.picture, size, interpolation=cv2.INTER_AREA
            )
            points = known.points * ratio + (left, top)
            shown.append((points, known.side * float(ratio.mean())))
    return spoiled(view, rng), shown


def scene(
    faces: Sequence[Known], nobody: Sequence[Image], extent: int, rng: np.random.Generator
) -> Shown:
    """Up to eight faces of any sizes, or none."""
    view = np.ascontiguousarray(background(faces, nobody, extent, rng))
    shown: list[Placed] = []
    taken: list[NDArray[np.float64]] = []
    for _ in range(int(rng.choice([0, 1, 2, 4, 8], p=[0.4, 0.2, 0.1, 0.15, 0.15]))):
        known = faces[rng.integers(len(faces))]
        largest = min(LARGEST, 0.7 * extent)
        side = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(largest))))
        angle = tilt(rng)
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
        shown.append((points, side))
    return spoiled(view, rng), shown


def first_view(
    faces: Sequence[Known], nobody: Sequence[Image], extent: int, rng: np.random.Generator
) -> Shown:
    """A picture, or a part of one, that a first look has."""
    draw = rng.random()
    if draw < 0.35:
        return filled(faces, nobody, extent, rng)
    if draw < 0.5:
        return mosaic(faces, nobody, extent, rng)
    if draw < 0.8:
        return scene(faces, nobody, extent, rng)
    photo = nobody[rng.integers(len(nobody))]
    part = _part(photo, np.array([0, 0, *photo.shape[1::-1]]), rng)
    side = int(extent * rng.choice([1, rng.uniform(0.3, 1)]))
    x, y = rng.integers(extent - side + 1, size=2)
    view = np.full((extent, extent, 3), rng.integers(0, 256, 3) * (rng.random() < 0.5), np.uint8)
    view[y : y + side, x : x + side] = _enlarged(part, side)
    return spoiled(view, rng), []


def targets(
    shown: Sequence[Placed], side: int, stride: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each anchor should answer.

    Anchors near a face's centre have a score, those a little farther away are not asked (-1), all
    others have none.

    Returns:
        Scores ``[h, w]``, and values ``[h, w, 17]``: the sixteen of a box, and its side.
    """
    count = side // stride
    axis = (np.arange(count) + 0.5) * stride
    anchors = np.stack(np.meshgrid(axis, axis), axis=-1)
    scores = np.zeros((count, count), np.float32)
    values = np.zeros((count, count, 17), np.float32)
    nearest = np.full((count, count), np.inf)
    for points, size in shown:
        away = np.hypot(*np.moveaxis(anchors - points[0], -1, 0)) / (0.75 * stride)
        near = (away <= 1) & (away < nearest)
        scores[near] = SCORE * min(1.0, max(0.5, size / PLAIN))
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
    mistakes: Image | None = None,
) -> Iterator[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]:
    """Views, scores and values, without end: close views and scenes in turn.

    Args:
        faces: that are seen.
        nobody: photos without a face.
        stride: from one anchor to the next, in pixels.
        seed: of what is drawn.
        mistakes: second looks ``[N, CLOSE, CLOSE, 3]`` at what was taken for a face and is none.
    """
    rng = np.random.default_rng(seed)

    def close() -> Shown:
        if rng.random() >= NOTHING:
            return close_view(faces, nobody, rng)
        if mistakes is not None and rng.random() < MISTAKES:
            return moved(mistakes[rng.integers(len(mistakes))], rng), []
        if rng.random() < UPSIDE_DOWN:
            return close_view(faces, nobody, rng, upside_down=True)
        return spoiled(background(faces, nobody, CLOSE, rng), rng), []

    while True:
        side = int(rng.choice(FIRST_LOOKS))
        yield _batch([close() for _ in range(PIXELS // CLOSE**2)], stride)
        yield _batch(
            [first_view(faces, nobody, side, rng) for _ in range(PIXELS // side**2)], stride
        )


def _batch(
    made: Sequence[Shown], stride: int
) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
    views, shown = zip(*made, strict=True)
    scores, values = zip(*(targets(each, len(views[0]), stride) for each in shown), strict=True)
    return np.stack(views), np.stack(scores), np.stack(values)

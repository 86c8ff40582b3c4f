"""In how many pictures the detector finds nobody, and in how many photos without a face somebody.

    python -m research.detector.missed DATA [DATA ...] --nobody PHOTOS [--network RUN/detector.onnx]

With `--network` another network is the detector's. DATA are prepared datasets; of the validation
part of each, the same pictures are looked at as they are, turned, small on a plain ground, and in
bad conditions (severity 3); then on their sides and upside down, to see how often the main face's
eyes are found that way, too. The photos are looked at as they are, reduced to 160 pixels, and some
enlarged to 3,000. PHOTOS is described in README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.data.manifest import Dataset
from agelens.evaluation.robustness.corruptions import corrupt
from agelens.pipeline import detect
from agelens.pipeline.detect import FaceDetector, main_face
from agelens.pipeline.images import load_image

Image = NDArray[np.uint8]
CONDITIONS = (
    "low_light",
    "contrast",
    "gaussian_noise",
    "shot_noise",
    "jpeg",
    "over_exposure",
    "colour_cast",
)
GROUND = (900, 600)
REDUCED, ENLARGED = 160, 3000
"""Longer sides, in pixels, at which photos without a face are looked at besides their own."""
FEW = 60
"""Photos that are enlarged, which takes long."""
MOST_ASKEW = 35
"""Degrees between the eyes as they are found and as they are, where they count as found."""


def turned(picture: Image, angle: float) -> Image:
    """On grey, four fifths as large."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.8)
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderValue=(90, 90, 90)), np.uint8
    )


def small(picture: Image, side: int, rng: np.random.Generator) -> Image:
    """Somewhere on a plain ground, of this side."""
    width, height = GROUND
    ground = np.full((height, width, 3), rng.integers(60, 200, 3), np.uint8)
    x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
    ground[y : y + side, x : x + side] = cv2.resize(
        picture, (side, side), interpolation=cv2.INTER_AREA
    )
    return ground


def level(detector: FaceDetector, picture: Image, quarters: int) -> bool:
    """Whether the main face's eyes are found turned as an upright picture was, by quarters."""
    turned = np.ascontiguousarray(np.rot90(picture, quarters))
    face = main_face(detector.detect(turned), turned.shape[1], turned.shape[0])
    if face is None:
        return False
    right, left, *_ = face.landmarks.to_array().view(np.complex128)[:, 0]
    return bool(abs(np.angle((left - right) * 1j**quarters, deg=True)) < MOST_ASKEW)


def resized(picture: Image, side: int) -> Image:
    """The picture with a longer side of so many pixels."""
    factor = side / max(picture.shape[:2])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=way), np.uint8)


def main() -> None:
    """Print a row for each condition."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--nobody", type=Path, required=True)
    parser.add_argument("--network", type=Path, help="in the shipped detector's place")
    parser.add_argument("--sample", type=int, default=200, help="pictures of each set")
    options = parser.parse_args()
    network = mock.patch.object(detect, "shipped", return_value=options.network)
    with network if options.network else nullcontext():
        detector = FaceDetector(threads=1)
    count(detector, options.data, options.nobody, options.sample)


def count(detector: FaceDetector, data: Sequence[Path], nobody: Path, sample: int) -> None:
    """Print the counts of the detector as it is."""
    rng = np.random.default_rng(0)
    kinds: dict[str, Callable[[Image], Image]] = {"as they are": lambda picture: picture}
    for angle in (-40, 25, 40):
        kinds[f"turned by {angle} degrees"] = lambda picture, angle=angle: turned(picture, angle)
    for side in (110, 70):
        kinds[f"{side} pixels on 900 x 600"] = lambda picture, side=side: small(picture, side, rng)
    kinds["a sixteenth of the light"] = lambda picture: picture // 16
    for kind in CONDITIONS:
        kinds[kind] = lambda picture, kind=kind: corrupt(picture, kind, 3, rng)
    sets = []
    for folder in data:
        dataset = Dataset.load(folder)
        rows = dataset.manifest
        rows = rows[(rows["split"] == "validation") & ~rows["unreadable"]]
        paths = rows["path"].sample(sample, random_state=7)
        sets.append([load_image(dataset.root / path) for path in paths])
    for kind, changed in kinds.items():
        missed = [
            sum(not detector.detect(np.ascontiguousarray(changed(picture))) for picture in pictures)
            for pictures in sets
        ]
        print(f"{kind}: nobody in {missed} of {sample} each", flush=True)
    for quarters in range(4):
        right = [sum(level(detector, picture, quarters) for picture in each) for each in sets]
        turn = f"turned by {90 * quarters} degrees"
        print(f"{turn}: eyes turned as much in {right} of {sample} each", flush=True)
    photos = [load_image(path) for path in sorted(nobody.iterdir())]
    few = [photos[k] for k in np.random.default_rng(3).permutation(len(photos))[:FEW]]
    for what, shown in (
        ("as they are", photos),
        (f"at {REDUCED} pixels", [resized(photo, REDUCED) for photo in photos]),
        (f"at {ENLARGED} pixels", (resized(photo, ENLARGED) for photo in few)),
    ):
        found = [bool(detector.detect(photo)) for photo in shown]
        print(f"photos without a face, {what}: somebody in {sum(found)} of {len(found)}")


if __name__ == "__main__":
    main()

"""In how many pictures the detector finds nobody, and in how many photos without a face somebody.

    python -m research.detector.missed DATA [DATA ...] --nobody PHOTOS [--network RUN/detector.onnx]

With `--network` another network is the detector's. DATA are prepared datasets; of the validation
part of each, the same pictures are looked at as they are, turned, small on a plain ground, and in
bad conditions (severity 3). PHOTOS is described in README.md.
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
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image

Image = NDArray[np.uint8]
CONDITIONS = ("low_light", "contrast", "gaussian_noise", "shot_noise", "jpeg", "over_exposure")
GROUND = (900, 600)


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


def main() -> None:
    """Print a row for each condition."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--nobody", type=Path, required=True)
    parser.add_argument("--network", type=Path, help="in BlazeFace's place")
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
    photos = [load_image(path) for path in sorted(nobody.iterdir())]
    found = sum(bool(detector.detect(photo)) for photo in photos)
    print(f"photos without a face: somebody in {found} of {len(photos)}")


if __name__ == "__main__":
    main()

"""How wide a border the detector's view of the whole picture needs: faces found, work, ages.

    python research/borders.py DATA [DATA ...] --json research/results/borders.json

Training pictures as they are, cut to their middle, partly outside of a larger one, and with a small
face beside: how many show nobody, how many faces are found, how many pixels the network sees. Then,
on the validation pictures, by how much ages and errors differ from those of the first way.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.benchmark.machine import machine
from agelens.data.bands import bands_of, distance
from agelens.data.manifest import Dataset
from agelens.files import write_json
from agelens.pipeline import views
from agelens.pipeline.detect import FaceDetector, main_face
from agelens.pipeline.images import load_image
from agelens.reporting.command import recorded_command

Image = NDArray[np.uint8]
WAYS = {
    "a quarter": ((0.25, 192), (1.0, 192)),
    "an eighth, then a quarter": ((0.125, 160), (0.25, 192), (1.0, 192)),
    "an eighth": ((0.125, 160), (1.0, 192)),
    "none, then a quarter": ((0.0, 128), (0.25, 192), (1.0, 192)),
}
"""Borders around the whole picture, in its longer sides, and longer sides of their views in pixels;
the first are `agelens.pipeline.views.BORDERS`."""
SMALL = 110


def middle(picture: Image) -> Image:
    edge = round(0.12 * min(picture.shape[:2]))
    return np.ascontiguousarray(picture[edge:-edge, edge:-edge])


def cut_off(picture: Image) -> Image:
    """In the upper left corner of a grey picture, a fifth of it outside on both sides."""
    height, width = picture.shape[:2]
    whole = np.full((3 * height, 3 * width, 3), 110, np.uint8)
    seen = picture[height // 5 :, width // 5 :]
    whole[: seen.shape[0], : seen.shape[1]] = seen
    return whole


def with_a_small_one(picture: Image) -> Image:
    """Of 600 pixels, with itself, small and mirrored, in a corner."""
    large = cv2.resize(middle(picture), (600, 600))
    large[:SMALL, :SMALL] = cv2.resize(cv2.flip(picture, 1), (SMALL, SMALL))
    return large  # type: ignore[return-value]


def way_of_looking(way: tuple[tuple[float, int], ...]) -> Any:
    """A block in which the whole picture is looked at in this way."""
    sides, whole = dict(way), views._whole

    def sized(width: int, height: int, border: float) -> views.View:
        with mock.patch.object(views, "COARSE_VIEW", sides[border]):
            return whole(width, height, border)

    return mock.patch.multiple(views, BORDERS=tuple(sides), _whole=sized)


KINDS: dict[str, Callable[[Image], Image]] = {
    "as they are": lambda picture: picture,
    "cut to the middle": middle,
    "a fifth cut off": cut_off,
    "with a small one": with_a_small_one,
}


def found(dataset: Dataset, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """What each way finds in each kind of picture."""
    rows = dataset.part("train", missed=True, bands=True)
    rows = rows.sample(min(count, len(rows)), random_state=5)
    pictures = [load_image(dataset.picture(row)) for row in rows.itertuples()]
    detector = FaceDetector(threads=1)
    seen, look = [0], FaceDetector._look

    def counted(self: FaceDetector, pyramid: views.Pyramid, shown: list[views.View]) -> Any:
        seen[0] += sum(view.size[0] * view.size[1] for view in shown)
        return look(self, pyramid, shown)

    table: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in KINDS}
    for kind, change in KINDS.items():
        changed = [change(picture) for picture in pictures]
        for name, way in WAYS.items():
            seen[0] = 0
            with way_of_looking(way), mock.patch.object(FaceDetector, "_look", counted):
                faces = [len(detector.detect(picture)) for picture in changed]
            table[kind][name] = {
                "nobody": faces.count(0),
                "faces": sum(faces),
                "thousand pixels seen": round(seen[0] / len(pictures) / 1000, 1),
            }
    return table


def ages(dataset: Dataset, count: int) -> dict[str, dict[str, float]]:
    """How ages change, and their distance from the label, with its standard error."""
    rows = dataset.part("validation", bands=True)
    rows = rows.sample(min(count, len(rows)), random_state=1)
    estimator, labels = AgeEstimator(threads=1), bands_of(rows)
    every = []
    for way in WAYS.values():
        with way_of_looking(way):
            results = [estimator.estimate(dataset.picture(row)) for row in rows.itertuples()]
        main = [main_face(list(faces), faces.width, faces.height) for faces in results]
        every.append(np.array([np.nan if face is None else face.age for face in main]))
    known = ~np.isnan(every).any(axis=0)
    first, table = every[0][known], {}
    for name, estimated in zip(WAYS, every, strict=True):
        change = estimated[known] - first
        worse = distance(estimated[known], labels[known]) - distance(first, labels[known])
        table[name] = {
            "mean change of an age": round(float(change.mean()), 3),
            "mean absolute change": round(float(np.abs(change).mean()), 3),
            "change of the error": round(float(worse.mean()), 3),
            "its standard error": round(float(worse.std() / np.sqrt(len(worse))), 3),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--aged", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {"command": recorded_command(), "machine": machine()}
    for folder in options.data:
        dataset = Dataset.load(folder)
        name = " and ".join(source.name for source in dataset.sources)
        report[name] = {
            "found": found(dataset, options.pictures),
            "ages": ages(dataset, options.aged),
        }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

"""What the detector finds, and what the size of its second look at a face costs or brings.

    python benchmarks/detection.py DATA --json benchmarks/results/detection.json

First, the second look: for each size of a face in it and width around, how many validation pictures
show nobody, clean and in bad conditions (severity 3), and the error of the default model on those
in which every way finds somebody. Then, training pictures pasted into larger ones: the share of
faces that is found, by the sizes of both.
"""

from __future__ import annotations

import argparse
import json
import timeit
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.benchmark.machine import machine
from agelens.data.manifest import Dataset
from agelens.evaluation.robustness.corruptions import corrupt
from agelens.files import write_json
from agelens.pipeline import detect
from agelens.pipeline.images import load_image
from agelens.reporting.command import recorded_command
from agelens.training.crops import draw_seed

LOOKS = ((64, 2), (64, 3), (32, 3), (32, 4), (96, 2))
CONDITIONS = ("low_light", "contrast", "gaussian_noise", "shot_noise", "jpeg", "over_exposure")
PICTURES = ((640, 480), (900, 600), (1000, 700), (1920, 1080))
PASTED = (60, 80, 110, 150, 200)
"""Sides in pixels of the UTKFace crops; the box of a face is about half as wide."""


def looks(dataset: Dataset, count: int) -> dict[str, Any]:
    """The second look in every way."""
    rows = dataset.part("validation", missed=True).sample(count, random_state=0)
    estimator = AgeEstimator()
    clean = [load_image(dataset.root / path) for path in rows["path"]]
    kinds = {"clean": clean}
    for kind in CONDITIONS:
        kinds[kind] = [
            corrupt(picture, kind, 3, np.random.default_rng(draw_seed(0, index)))
            for index, picture in enumerate(clean)
        ]
    table: dict[str, Any] = {}
    ages: dict[str, NDArray[np.float64]] = {}
    for pixels, around in LOOKS:
        with mock.patch.multiple(detect, FACE=pixels, AROUND=around):
            found = {kind: [estimator.estimate(each) for each in kinds[kind]] for kind in kinds}
            name = f"face of {pixels} pixels, view of {around} faces"
            ages[name] = np.array([faces[0].age if faces else np.nan for faces in found["clean"]])
            missed = {kind: sum(not faces for faces in found[kind]) for kind in kinds}
            times = timeit.repeat(lambda: estimator.detector.detect(clean[0]), number=1, repeat=200)
            median = round(1e3 * float(np.median(times)), 2)
            table[name] = {"missed": missed, "milliseconds": median}
    everywhere = ~np.isnan(np.stack(list(ages.values()))).any(axis=0)
    for name, estimated in ages.items():
        errors = np.abs(estimated - rows["age"].to_numpy(float))[everywhere]
        table[name]["mae"] = round(float(errors.mean()), 3)
    return table


def crowd(
    faces: list[NDArray[np.uint8]], width: int, height: int, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """Six faces, each somewhere in its own sixth of a blurred picture, and their centres."""
    background = cv2.resize(faces[-1], (width, height))
    picture = np.ascontiguousarray(cv2.GaussianBlur(background, (0, 0), width / 25))
    centres = []
    for index, face in enumerate(faces[:6]):
        left, top = width // 3 * (index % 3), height // 2 * (index // 3)
        x = left + int(rng.integers(width // 3 - side + 1))
        y = top + int(rng.integers(height // 2 - side + 1))
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        picture[y : y + side, x : x + side] = small
        centres.append((x + side / 2, y + side / 2))
    return picture, centres


def recall(dataset: Dataset, crowds: int) -> dict[str, dict[str, float]]:
    """Share of pasted faces that is found, by picture and by side."""
    rows: pd.DataFrame = dataset.part("train")
    detector = detect.FaceDetector()
    table: dict[str, dict[str, float]] = {}
    for width, height in PICTURES:
        shares = table[f"{width} x {height}"] = {}
        for side in PASTED:
            rng, hits = np.random.default_rng(draw_seed(0, width, side)), 0
            for _ in range(crowds):
                chosen = rows["path"].iloc[rng.integers(len(rows), size=7)]
                faces = [load_image(dataset.root / path) for path in chosen]
                picture, centres = crowd(faces, width, height, side, rng)
                boxes = [face.box for face in detector.detect(picture)]
                hits += sum(
                    any(box.x1 < x < box.x2 and box.y1 < y < box.y2 for box in boxes)
                    for x, y in centres
                )
            shares[str(side)] = round(hits / (6 * crowds), 3)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--crowds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    report = {
        "command": recorded_command(),
        "machine": machine(),
        "manifest": dataset.digest,
        "second_look": looks(dataset, options.pictures),
        "found": recall(dataset, options.crowds),
    }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

"""Errors of models averaged: all groups of them, two in every share, and of more views.

    python research/join_shares.py DIR light resnet50 [FILE.onnx ...]

On the validation crops of a prepared dataset, each model's own: what more networks would bring.
Shares and views are of the first two. A view of 1.08 shows that much more around the face.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np

from agelens.data.manifest import Dataset
from agelens.pipeline.calibration import quantile
from agelens.pipeline.model import AgeModel
from agelens.training.crops import MARGIN, aligned_crops

SHARES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)
VIEWS = ((1.0,), (1.0, 1.08), (0.92, 1.0, 1.08))


def view(crops: np.ndarray, zoom: float, size: int) -> np.ndarray:
    side = round(size * zoom)
    start = (crops.shape[1] - side) // 2
    cut = crops[:, start : start + side, start : start + side]
    how = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(crop, (size, size), interpolation=how) for crop in cut])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="at least two")
    options = parser.parse_args()
    if len(options.models) < 2:
        parser.error("name at least two models")
    models = [AgeModel(name) for name in options.models]
    dataset = Dataset.load(options.data)
    parts = {
        size: aligned_crops(dataset, "validation", size, margin=MARGIN)
        for size in {model.size for model in models}
    }
    ages = parts[models[0].size][1]["age"].to_numpy(np.int64)

    def error(distributions: np.ndarray) -> str:
        errors = np.abs(quantile(distributions, models[0].ages, 0.5) - ages)
        old = errors[(ages >= 60) & (ages < 80)].mean()
        near = f"within 5 years {(errors <= 5).mean():.1%}"
        return f"{errors.mean():.3f}, {near}, 60 to 79 {old:.2f}"

    def answers_to(model: AgeModel, zoom: float) -> np.ndarray:
        return model.predict(view(np.array(parts[model.size][0]), zoom, model.size))

    zooms = sorted({zoom for zooms in VIEWS for zoom in zooms})
    whole = [answers_to(model, 1.0) for model in models]
    for count in range(1, len(models) + 1):
        for chosen in itertools.combinations(range(len(models)), count):
            names = " + ".join(options.models[index] for index in chosen)
            print(f"{names}: {error(np.mean([whole[index] for index in chosen], 0))}")
    answers = {zoom: [answers_to(model, zoom) for model in models[:2]] for zoom in zooms}
    first, second = answers[1.0]
    for share in SHARES:
        mixed = (1 - share) * first + share * second
        print(f"share of {options.models[1]} {share}: {error(mixed)}")
    for several in VIEWS:
        mean = np.mean([answers[zoom] for zoom in several], (0, 1))
        print(f"views {several}: {error(mean)}")


if __name__ == "__main__":
    main()

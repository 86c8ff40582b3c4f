"""How far an age moves when the crop moves by a hair: the jitter of a model's arithmetic.

    python benchmarks/stability.py DATA MODEL [MODEL ...] --pictures 200

Each picture's face is aligned again with landmarks that are shifted together by so many pixels of
the picture, in directions drawn at random, and its age compared with that of the unmoved crop. A
smooth function moves by nothing at 0.001 pixels; what is left is rounding.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset
from agelens.files import write_json
from agelens.pipeline.align import align_face
from agelens.pipeline.calibration import quantile
from agelens.pipeline.images import load_image
from agelens.pipeline.model import AgeModel
from agelens.types import Landmarks

SHIFTS = (0.0, 0.001, 0.1, 0.5, 1.0)


def shifted(landmarks: Landmarks, x: float, y: float) -> Landmarks:
    return Landmarks.from_array(landmarks.to_array() + np.array([x, y]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    rows = dataset.part("validation").sample(options.pictures, random_state=0)
    turns = np.random.default_rng(0).uniform(0, 2 * np.pi, len(rows))
    models = {name: AgeModel(name) for name in options.models}
    ages: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for row, turn in zip(rows.itertuples(), turns, strict=True):
        image, landmarks = load_image(dataset.root / row.path), landmarks_of(row)
        moved = [shifted(landmarks, s * np.cos(turn), s * np.sin(turn)) for s in SHIFTS]
        for name, model in models.items():
            crops = [align_face(image, each, model.template, model.size) for each in moved]
            # One crop a call: what is compared must not share a batch.
            rows_of = np.concatenate([model.predict(crop[None]) for crop in crops])
            ages[name].append(quantile(rows_of, model.ages, 0.5))
    report = {}
    for name, own in ages.items():
        moves = np.abs(np.stack(own)[:, 1:] - np.stack(own)[:, :1])
        report[name] = {
            str(shift): {
                "mean": round(float(moves[:, i].mean()), 3),
                "p95": round(float(np.quantile(moves[:, i], 0.95)), 3),
            }
            for i, shift in enumerate(SHIFTS[1:])
        }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

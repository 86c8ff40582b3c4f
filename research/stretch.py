"""How much of a picture's stretching shows in where a face's landmarks are found.

    python research/stretch.py DIR ... --sample 200

Validation pictures of each dataset are stretched by known ratios of width to height, and their
faces found anew. The logarithm of the ratio is fitted, by least squares, to what `STRETCH` of
`agelens.pipeline.quality` weighs; printed are the weights, the area under the ROC curve against the
pictures as they are, and how many are told at a false positive rate of 3 %: each by weights that
were fitted to other faces (five folds).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from agelens.data.manifest import Dataset
from agelens.parallel import default_jobs, map_in_order
from agelens.pipeline.detect import FaceDetector, main_face
from agelens.pipeline.images import load_image
from agelens.pipeline.quality import MAX_YAW, stretch_evidence, yaw

RATIOS = (1.0, 0.67, 0.75, 0.87, 1.15, 4 / 3, 1.5)
FOLDS, FALSE_POSITIVES = 5, 0.03


def stretched(image: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    """The picture, as large as before, with a width of `ratio` times its share of the height."""
    height, width = image.shape[:2]
    size = (max(16, round(width * ratio**0.5)), max(16, round(height / ratio**0.5)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def evidence(dataset: Dataset, sample: int) -> pd.DataFrame:
    """A row for each face and ratio: what the landmarks say; turned heads are left out."""
    detector = FaceDetector(threads=1)
    rows = dataset.part("validation", bands=True)
    rows = rows.sample(min(sample, len(rows)), random_state=0)

    def found(path: str) -> list[dict[str, object]]:
        image, known = load_image(dataset.root / path), []
        for ratio in RATIOS:
            copy = stretched(image, ratio)
            face = main_face(detector.detect(copy, min_score=0.5), copy.shape[1], copy.shape[0])
            if face is not None and abs(yaw(face.landmarks)) <= MAX_YAW:
                values = stretch_evidence(face.landmarks)
                known.append({"path": path, "ratio": ratio, "values": values})
        return known

    results = map_in_order(found, rows["path"].tolist(), jobs=default_jobs())
    return pd.DataFrame([row for _, known in results for row in known])


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="+", help="prepared datasets")
    parser.add_argument("--sample", type=int, default=200, help="pictures of each")
    options = parser.parse_args()
    tables = [evidence(Dataset.load(folder), options.sample) for folder in options.data]
    table = pd.concat(tables, ignore_index=True)
    values, target = np.stack(table["values"].to_list()), np.log(table["ratio"].to_numpy())
    names, numbers = np.unique(table["path"], return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[numbers] % FOLDS
    told = np.empty(len(table))
    for out in (fold == each for each in range(FOLDS)):
        told[out] = values[out] @ np.linalg.lstsq(values[~out], target[~out])[0]
    print("weights", np.round(np.linalg.lstsq(values, target)[0], 3).tolist())
    ratios = table["ratio"].to_numpy()
    clean = told[ratios == 1]
    print(
        "as they are: 1, 3, 50, 97, 99 %",
        np.quantile(clean, [0.01, 0.03, 0.5, 0.97, 0.99]).round(3),
    )
    for ratio in RATIOS[1:]:
        own, sign = told[ratios == ratio], np.sign(ratio - 1)
        area = mannwhitneyu(sign * own, sign * clean).statistic / len(own) / len(clean)
        limit = np.quantile(sign * clean, 1 - FALSE_POSITIVES)
        print(f"{ratio:.2f}: area {area:.3f}, told {(sign * own > limit).mean():.0%}")


if __name__ == "__main__":
    main()

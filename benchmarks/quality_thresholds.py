r"""When a face's picture makes its age worse: error against each measure of `Quality`.

    python benchmarks/quality_thresholds.py light DIR \
        --json benchmarks/results/quality-thresholds.json

Two looks, both on validation; test pictures are not looked at. The split as it is: the error of
each decile of a measure, over what is expected of faces with those estimates, since the error grows
with age. And degraded copies of a sample, found and aligned anew, because UTKFace has few bad
pictures: their error over that of the same faces as they were. Turned heads are looked at as they
occur, for a picture cannot be turned.

The rule: a threshold stands where the error, made monotone (isotonic regression), reaches `RAISED`
times what it should be. Intervals are too wide from where errors are `DOUBLED` times those of all
faces. `agelens.pipeline.quality` holds the thresholds, rounded; where the error
never reaches that, it says what its threshold stands on.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression

from agelens import AgeEstimator
from agelens.data.manifest import Dataset
from agelens.evaluation.predictions import predict_split
from agelens.files import atomic_path
from agelens.parallel import default_jobs, map_in_order
from agelens.pipeline.detect import main_face
from agelens.pipeline.images import load_image
from agelens.pipeline.quality import (
    BRIGHTNESS,
    MAX_CUT_OFF,
    MAX_STRETCH,
    MAX_WIDTH,
    MAX_YAW,
    MIN_SCORE,
    MIN_SHARPNESS,
    MIN_SIZE,
)

Image = NDArray[np.uint8]
RAISED = 1.3
DOUBLED = 2.0
"""An interval is too wide to be of use where the error is so many times that of all faces."""
MEASURES = ("size", "sharpness", "brightness", "contrast", "yaw", "cut_off", "stretch", "texture")
BINS = 14
"""Of degraded copies, by their measure; each holds as many."""


def exposed(image: Image, stops: float) -> Image:
    """The picture as with `stops` more light, in linear light (sRGB), clipped."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = (linear * 2**stops).clip(0, 1)
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255).astype(np.uint8)[image]


def shrunk(image: Image, side: float) -> Image:
    return cv2.resize(image, (round(side), round(side)), interpolation=cv2.INTER_AREA)


def blurred(image: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def cut(image: Image, share: float) -> Image:
    """Without a `share` of its width, from the left, or from the right where it is negative."""
    gone = round(abs(share) * image.shape[1])
    kept = image[:, gone:] if share > 0 else image[:, : image.shape[1] - gone]
    return np.ascontiguousarray(kept)


def stretched(image: Image, ratio: float) -> Image:
    """The picture with a width of `ratio` times its share of the height."""
    height, width = image.shape[:2]
    return cv2.resize(image, (round(width * ratio**0.5), round(height / ratio**0.5)))


@dataclass(frozen=True)
class Family:
    """One way to spoil a picture: by how much, what measures it, and where the bad end is."""

    spoil: Callable[[Image, float], Image]
    levels: tuple[float, ...]
    measure: str
    low_is_bad: bool
    now: float


FAMILIES = {
    "small": Family(shrunk, (128, 96, 72, 56, 44, 36, 28, 22), "size", True, MIN_SIZE),
    "blurred": Family(
        blurred, (0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8), "sharpness", True, MIN_SHARPNESS
    ),
    "dark": Family(exposed, (-1, -2, -3, -4, -5, -6, -7), "brightness", True, BRIGHTNESS[0]),
    "bright": Family(exposed, (0.5, 1, 1.5, 2, 2.5, 3, 4), "brightness", False, BRIGHTNESS[1]),
    "cut off": Family(
        cut, (0.15, -0.2, 0.25, -0.3, 0.35, -0.4, 0.45, -0.5), "cut_off", False, MAX_CUT_OFF
    ),
    "narrow": Family(stretched, (0.9, 0.8, 0.7, 0.6), "stretch", True, MAX_STRETCH[0]),
    "wide": Family(stretched, (1.15, 4 / 3, 1.5, 16 / 9), "stretch", False, MAX_STRETCH[1]),
}  # fmt: skip


def measured(found: pd.DataFrame) -> pd.DataFrame:
    """The measures of faces as columns, yaw without its sign, and the absolute error."""
    table = pd.DataFrame(
        [{name: getattr(face.quality, name) for name in MEASURES} for face in found["face"]],
        index=found.index,
        columns=list(MEASURES),
    )
    table["yaw"] = table["yaw"].abs()
    error = (found["predicted"] - found["age"].astype(float)).abs()
    return table.assign(error=error, reasons=[face.quality.reasons for face in found["face"]])


def expected_error(predicted: pd.Series, error: pd.Series) -> pd.Series:
    """Mean error of faces with about this estimate: a Gaussian window over 4 % of the faces."""
    order = np.argsort(predicted.to_numpy())
    smooth = gaussian_filter1d(error.to_numpy()[order], 0.02 * len(error), mode="nearest")
    result = np.empty(len(error))
    result[order] = smooth
    return pd.Series(result, index=error.index)


def curve(values: pd.Series, error: pd.Series, reference: pd.Series, bins: int) -> pd.DataFrame:
    """Error over its reference in bins of as many faces each, from low values to high."""
    frame = pd.DataFrame({"value": values, "error": error, "reference": reference})
    frame["bin"] = pd.qcut(values.rank(method="first"), bins, labels=False)
    groups = frame.groupby("bin")
    table = groups["value"].agg(["min", "median", "max", "count"])
    table["mae"], table["reference_mae"] = groups["error"].mean(), groups["reference"].mean()
    return table.assign(ratio=table["mae"] / table["reference_mae"])


def threshold(table: pd.DataFrame, *, low_is_bad: bool) -> float | None:
    """Where the monotone ratio reaches `RAISED`; None where it never does."""
    weights = (table["count"] * table["reference_mae"]).to_numpy()
    ratio = isotonic_regression(
        table["ratio"].to_numpy(), weights=weights, increasing=not low_is_bad
    ).x
    place = table["median"].to_numpy()
    if low_is_bad:
        ratio, place = ratio[::-1], place[::-1]
    if ratio.max() < RAISED:
        return None
    first = int(np.argmax(ratio >= RAISED))
    if first == 0:
        return float(place[0])
    return float(np.interp(RAISED, ratio[first - 1 : first + 1], place[first - 1 : first + 1]))


def widths_and_scores(found: pd.DataFrame, error: pd.Series, expected: pd.Series) -> dict[str, Any]:
    """Errors by the width of intervals over those of all faces, and by the detector's score."""
    everyone = pd.Series(error.mean(), index=error.index)
    width = found["high"] - found["low"]
    widths = curve(width, error, everyone, 40)
    scores = curve(
        pd.Series([face.score for face in found["face"]], error.index), error, expected, 40
    )
    over = widths[widths["ratio"] >= DOUBLED]["min"]
    place = over.min() if len(over) else None
    wide = width > MAX_WIDTH
    unsure = {"share": float(wide.mean()), "ratio": float(error[wide].mean() / error.mean())}
    print(f"unsure     width        now {MAX_WIDTH:6g} {unsure}, by the rule {place}")
    print(f"unlike     score        now {MIN_SCORE:6g}, of the lowest {scores.iloc[0].to_dict()}")
    return {"width": records(widths), "score": records(scores), "wider than now": unsure}


def spoiled(
    estimator: AgeEstimator, dataset: Dataset, sample: pd.DataFrame, family: Family
) -> tuple[pd.DataFrame, list[dict[str, float]]]:
    """Estimates of the sample's copies at every level, those as they are too; and the misses."""
    parts, levels = [], []
    whole = measured(sample)
    parts.append(whole.assign(whole=whole["error"]))
    for level in family.levels:

        def estimate(path: str, level: float = level) -> Any:
            image = family.spoil(load_image(dataset.root / path), level)
            return main_face(estimator.estimate(image), image.shape[1], image.shape[0])

        faces = [face for _, face in map_in_order(estimate, sample["path"], jobs=default_jobs())]
        copies = sample.assign(face=pd.Series(faces, index=sample.index, dtype=object))
        copies = copies[copies["face"].notna()]
        copies["predicted"] = [face.age for face in copies["face"]]
        part = measured(copies)
        part["whole"] = whole["error"]
        parts.append(part)
        levels.append(
            {
                "level": level,
                "missed": 1 - len(part) / len(sample),
                "median_measure": float(part[family.measure].median()),
                "mae": float(part["error"].mean()),
                "ratio": float(part["error"].sum() / part["whole"].sum()),
            }
        )
    return pd.concat(parts, ignore_index=True), levels


def records(table: pd.DataFrame) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = table.round(4).to_dict("records")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a shipped model's name or a model file")
    parser.add_argument("data", type=Path, help="a prepared dataset")
    parser.add_argument("--sample", type=int, default=200, help="faces that are degraded")
    parser.add_argument("--limit", type=int, help="only so many faces of the split, for a trial")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    if options.limit:
        rows = dataset.part("validation", missed=True).sample(options.limit, random_state=0)
        keep = dataset.manifest["path"].isin(rows["path"])
        dataset = replace(dataset, manifest=dataset.manifest[keep])
    found = predict_split(AgeEstimator(options.model, threads=1), dataset, "validation")
    found = found[found["predicted"].notna()]
    natural = measured(found)
    expected = expected_error(found["predicted"], natural["error"])
    report: dict[str, Any] = {
        "model": options.model,
        "faces": len(found),
        "mae": float(natural["error"].mean()),
        "raised": RAISED,
        "natural": {
            name: records(curve(natural[name], natural["error"], expected, 10)) for name in MEASURES
        },
    }
    turned = curve(natural["yaw"], natural["error"], expected, 40)
    report["turned"] = {
        "now": MAX_YAW,
        "threshold": threshold(turned, low_is_bad=False),
        "bins": records(turned),
    }
    report["natural"] |= widths_and_scores(found, natural["error"], expected)
    estimator = AgeEstimator(options.model, threads=1)
    sample = found.sample(min(options.sample, len(found)), random_state=0)
    report["sample"] = len(sample)
    report["degraded"] = {}
    for name, family in FAMILIES.items():
        copies, levels = spoiled(estimator, dataset, sample, family)
        bins = curve(copies[family.measure], copies["error"], copies["whole"], BINS)
        place = threshold(bins, low_is_bad=family.low_is_bad)
        report["degraded"][name] = {
            "measure": family.measure,
            "now": family.now,
            "threshold": place,
            "levels": levels,
            "bins": records(bins),
        }
        print(f"{name:10} {family.measure:12} now {family.now:6g}, by the rule {place}", flush=True)
    print(f"{'turned':10} {'yaw':12} now {MAX_YAW:6g}, by the rule {report['turned']['threshold']}")

    flagged = pd.Series([bool(reasons) for reasons in natural["reasons"]], index=natural.index)
    report["flagged"] = {"share": float(flagged.mean())}
    if flagged.any():
        ratio = natural.loc[flagged, "error"].sum() / expected[flagged].sum()
        report["flagged"] |= {"mae": float(natural.loc[flagged, "error"].mean()), "ratio": ratio}
    shown = [name for name in FAMILIES if name not in ("narrow", "wide")]
    for reason in (*shown, "stretched", "drawn", "unlike a face", "unsure", "turned"):
        own = np.array([reason in reasons for reasons in natural["reasons"]])
        ratio = natural["error"][own].sum() / expected[own].sum() if own.any() else None
        report["flagged"][reason] = {"share": float(own.mean()), "ratio": ratio}
    print(f"flagged of the split: {flagged.mean():.1%} with the thresholds of now")
    report["load_before"] = os.getloadavg()[0]
    if options.json:
        with atomic_path(options.json) as partial:
            partial.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

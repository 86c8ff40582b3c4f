"""How long each step of an estimate takes, and how many pictures a second there are."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agelens.benchmark.process import BenchmarkError
from agelens.estimator import AgeEstimator
from agelens.parallel import map_in_order
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image, load_reduced
from agelens.pipeline.preprocess import crop_faces, too_small

STEPS = ("decode", "detect", "align", "model", "postprocess")
"""The steps of `AgeEstimator.estimate`, in order; "decode" reads the file, "align" cuts the faces
out and measures their quality, "postprocess" is calibration and interval."""
PERCENTILES = (50, 90, 99)


def time_steps(
    files: Sequence[str], model: str, repeat: int
) -> tuple[dict[str, dict[str, float]], list[int]]:
    """Time each step of `estimate` on one thread, in the pictures that show a face.

    Returns:
        For each of `STEPS` and "total" a `summary`; and the number of each picture's faces.

    Raises:
        BenchmarkError: no picture shows a face.
        ImageError: a picture cannot be read.
    """
    detector = FaceDetector(threads=1)
    estimator = AgeEstimator(model, threads=1, detector=detector)
    template, side = estimator.model.template, estimator.model.size
    faces = [len(estimator.estimate(file)) for file in files]
    if not any(faces):
        raise BenchmarkError(f"{files[0]}: shows no face, so that there is no age to time")
    rows = []
    for file in [file for file, count in zip(files, faces, strict=True) if count] * repeat:
        marks = [time.perf_counter()]
        pixels, size = load_reduced(file)
        marks.append(time.perf_counter())
        found = detector.detect(pixels, min_score=estimator.min_score, size=size)
        marks.append(time.perf_counter())
        if too_small(found, pixels, size, side):
            pixels = load_image(file)
        crops = crop_faces(pixels, found, template, side, whole=size)
        marks.append(time.perf_counter())
        distributions = estimator.predict(crops)
        marks.append(time.perf_counter())
        estimator.postprocess(distributions, crops)
        rows.append(np.diff([*marks, time.perf_counter()]))
    table = 1000 * np.array(rows)
    columns = [*table.T, table.sum(axis=1)]
    return {
        name: summary(values) for name, values in zip((*STEPS, "total"), columns, strict=True)
    }, faces


def time_totals(files: Sequence[str], model: str, repeat: int) -> dict[str, float]:
    """Time `estimate` as a user has it who chooses no threads, from a file to its ages."""
    estimator = AgeEstimator(model)
    for file in files:
        estimator.estimate(file)
    marks = [time.perf_counter()]
    for file in [*files] * repeat:
        estimator.estimate(file)
        marks.append(time.perf_counter())
    return summary(1000 * np.diff(marks))


def throughput(estimator: AgeEstimator, files: Sequence[str], threads: int, repeat: int) -> float:
    """Pictures a second, from their files to their ages, of threads that share one estimator."""
    work = [*files] * repeat
    estimator.estimate(files[0])  # the first call is slower
    start = time.perf_counter()
    for _ in map_in_order(estimator.estimate, work, jobs=threads):
        pass
    return round(len(work) / (time.perf_counter() - start), 2)


def summary(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and percentiles of some milliseconds."""
    figures = {"mean": values.mean()} | {
        f"p{level}": np.percentile(values, level) for level in PERCENTILES
    }
    return {name: round(float(value), 3) for name, value in figures.items()}

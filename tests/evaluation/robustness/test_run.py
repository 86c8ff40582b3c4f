"""The evaluation in bad conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agelens import AgeEstimator, DataError
from agelens.data.manifest import Dataset
from agelens.evaluation.measured import Corruptions
from agelens.evaluation.robustness.conditions import KINDS
from agelens.evaluation.robustness.run import JitteredDetector, evaluate_corruptions
from agelens.pipeline.detect import FaceDetector
from agelens.types import Detection

Pixels = NDArray[np.uint8]
FEW = ("gaussian_noise", "mouth_hidden", "detector_jitter")


@pytest.fixture(scope="module")
def face(photo: Pixels) -> Detection:
    return FaceDetector(threads=1).detect(photo)[0]


def test_a_jittered_detector_moves_landmarks_alone(photo: Pixels, face: Detection) -> None:
    detector = FaceDetector(threads=1)
    first, again = (
        JitteredDetector(detector, 0.05, seed=2).detect(photo, min_score=0.5)[0] for _ in range(2)
    )
    assert first == again
    assert first.box == face.box
    moved = np.abs(first.landmarks.to_array() - face.landmarks.to_array()) / face.box.width
    assert 0.01 < moved.mean() < 0.15
    clean = AgeEstimator(detector=detector).estimate(photo)[0].age
    jittery = AgeEstimator(detector=JitteredDetector(detector, 0.05)).estimate(photo)[0].age
    assert clean != jittery


def test_clean_figures_are_those_of_the_estimator(dataset: Dataset) -> None:
    estimator = AgeEstimator()
    report = evaluate_corruptions(estimator, dataset, "train", kinds=["grey"], severities=[5])
    rows = dataset.part("train", missed=True)
    errors = []
    for row in rows.itertuples():
        faces = estimator.estimate(dataset.root / str(row.path))
        errors += [faces[0].age - row.age for _ in faces[:1]]
    assert report.pictures == len(rows)
    assert report.clean.count == len(errors)
    assert report.clean.miss_rate == pytest.approx(1 - len(errors) / len(rows))
    assert report.clean.mae == pytest.approx(np.abs(errors).mean(), abs=1e-3)
    assert report.clean.bias == pytest.approx(np.mean(errors), abs=1e-3)
    worse = report.kinds["grey"].severities[5]
    assert worse.ratio == pytest.approx(worse.mae / report.clean.mae)
    assert report.means == {"1-3": None, "1-5": None}


def test_a_run_that_was_killed_goes_on_and_ends_the_same(
    dataset: Dataset, estimator: AgeEstimator, tmp_path: Path
) -> None:
    def run(folder: Path | None, **options: Any) -> Corruptions:
        return evaluate_corruptions(
            estimator, dataset, "train", folder=folder, sample=8, kinds=FEW, jobs=2, **options
        )

    whole = run(None)
    seen: list[tuple[int, int]] = []

    def kill(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 8 * 6:  # the clean pictures, and the first kind
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=kill)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 0 < len(kept) < 1 + 5 * len(FEW)
    (tmp_path / sorted(kept)[-1]).unlink()  # as if the kill had come between two files
    assert run(tmp_path) == whole
    left = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(left) == 1 + 5 * len(FEW)
    assert all(left[name] == stamp for name, stamp in sorted(kept.items())[:-1])
    assert seen[-1][1] == 8 * 16
    assert Corruptions.model_validate_json(whole.model_dump_json()) == whole
    assert run(tmp_path, seed=1) != whole  # nothing of another seed is taken
    means = whole.means["1-5"]
    assert means is not None
    conditions = [row for kind in whole.kinds.values() for row in kind.severities.values()]
    known = [row.ratio for row in conditions if row.ratio is not None]
    assert means.ratio == pytest.approx(np.mean(known))
    assert means.miss_rate == pytest.approx(np.mean([row.miss_rate for row in conditions]))


def test_what_cannot_be_done_is_named(dataset: Dataset, estimator: AgeEstimator) -> None:
    with pytest.raises(DataError, match="fog"):
        evaluate_corruptions(estimator, dataset, "train", kinds=["fog"])
    with pytest.raises(DataError, match="1 to 5"):
        evaluate_corruptions(estimator, dataset, "train", severities=[6])
    assert len(KINDS) == 19

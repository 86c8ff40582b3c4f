"""Predictions that outlive a kill."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pytest

from agelens import AgeEstimator, DataError
from agelens.data.manifest import Dataset
from agelens.evaluation.evaluate import evaluate
from agelens.evaluation.predictions import predict_split
from agelens.evaluation.results import Subject
from agelens.evaluation.robustness.run import evaluate_corruptions


def test_an_evaluation_goes_on_where_it_was_cut_off(
    dataset: Dataset, estimator: AgeEstimator, tmp_path: Path
) -> None:
    seen: list[int] = []

    def predict(folder: Path | None) -> pd.DataFrame:
        return predict_split(
            estimator,
            dataset,
            "train",
            jobs=2,
            folder=folder,
            progress=lambda done, _: seen.append(done),
        )

    whole = predict(None)
    predict(tmp_path)
    (journal,) = tmp_path.iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:11]) + lines[11][:20])  # as a kill leaves it
    seen.clear()
    again = predict(tmp_path)
    assert seen[0] == 10  # the first line says what the estimates depend on
    pd.testing.assert_frame_equal(again.drop(columns="face"), whole.drop(columns="face"))
    assert len(journal.read_bytes().splitlines()) == 1 + len(whole)
    subject = Subject(model="light", model_sha256="0", dataset=dataset.digest, split="train")
    result = evaluate(again, subject, thresholds=(18,))
    assert result.thresholds[18].reliability.bins
    assert result.cumulative_score[-1] >= result.overall["within_10"].value
    assert 0 <= result.overall["coverage"].value <= 1
    labels = again["age"][again["predicted"].notna()].astype(float)
    guess = result.constant_guess
    assert guess is not None
    assert guess.mae == (labels - labels.median()).abs().mean()


def test_a_picture_that_changed_is_not_estimated(
    dataset: Dataset, estimator: AgeEstimator, tmp_path: Path
) -> None:
    root = tmp_path / "pictures"
    shutil.copytree(dataset.root, root)
    moved = dataclasses.replace(dataset, root=root)
    first, second = dataset.part("validation")["path"][:2]
    shutil.copy(root / second, root / first)
    changed = f"{first}: not the file that `agelens data prepare` read"
    with pytest.raises(DataError, match=changed):
        predict_split(estimator, moved, "validation")
    with pytest.raises(DataError, match=changed):
        evaluate_corruptions(estimator, moved, "validation", kinds=["grey"], severities=[1])
    (root / first).unlink()
    with pytest.raises(DataError, match=f"{first}: No such file"):
        predict_split(estimator, moved, "validation")


def test_estimates_of_other_intervals_are_not_taken(
    dataset: Dataset, estimator: AgeEstimator, tmp_path: Path
) -> None:
    predict_split(estimator, dataset, "validation", folder=tmp_path)
    wide = AgeEstimator(estimator.model, coverage=0.99)
    found = predict_split(wide, dataset, "validation", folder=tmp_path).dropna(subset="predicted")
    assert {face.interval.coverage for face in found["face"]} == {0.99}
    assert len(list(tmp_path.iterdir())) == 2

"""Groups of unlike ages, two models compared, and predictions that outlive a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from agelens import DataError
from agelens.cli import calibrate as _  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.data.manifest import Dataset
from agelens.evaluation.calibrate import calibrate
from agelens.evaluation.compare import compare, paired
from agelens.evaluation.evaluate import evaluate, predict_split
from agelens.evaluation.groups import standardised
from agelens.evaluation.journal import Journal
from agelens.evaluation.metrics import mae, measure
from agelens.pipeline.model import AgeModel, file_of


def test_standardised_errors_by_hand() -> None:
    """Two groups that err alike at every age, one of them with more of the hard ages."""
    ages = np.array([25] * 10 + [65] * 10 + [25] * 30 + [65] * 10)
    errors = np.where(ages == 25, 2.0, 8.0)
    group = np.array(["a"] * 20 + ["b"] * 40)
    table = standardised(errors, ages, group)
    assert table is not None
    crude = [np.abs(errors[group == name]).mean() for name in "ab"]
    assert crude == [5.0, 3.5]
    for name in "ab":  # 40 of 60 faces are young
        assert table["groups"][name]["value"] == pytest.approx((40 * 2 + 20 * 8) / 60)
    assert table["widest"]["difference"]["value"] == pytest.approx(0)
    assert table["share"] == 1
    assert table["groups"]["a"]["small"]
    assert not table["groups"]["b"]["small"]


def test_bands_that_a_group_lacks_are_left_out_for_all() -> None:
    ages = np.array([25] * 20 + [65] * 10)
    group = np.array((["a", "b"] * 10) + ["a"] * 10)
    table = standardised(np.ones(30), ages, group)
    assert table is not None
    assert table["bands"] == ["20-29"]
    assert table["share"] == pytest.approx(20 / 30)
    assert standardised(np.ones(3), np.array([5, 25, 65]), np.array(["a", "b", "c"])) is None


def test_coverage_and_width_by_hand() -> None:
    true = pd.Series([10.0, 20, 30, 40])
    low, high = pd.Series([8.0, 21, 30, 30]), pd.Series([12.0, 25, 30, 39.0])
    overall = measure(true, true, pd.DataFrame(index=true.index), low=low, high=high)["overall"]
    assert overall["coverage"]["value"] == 0.5  # the ends belong to an interval
    assert overall["width"]["value"] == pytest.approx((4 + 4 + 0 + 9) / 4)


def test_a_paired_difference_is_surer_than_its_sides() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 6, 400)
    better = paired(first, first * 0.95, mae)["difference"]
    assert better["high"] < 0  # though each side alone is known only to about half a year
    assert better["value"] == pytest.approx(-0.05 * np.abs(first).mean())


def table_of(paths: list[str], predicted: list[float]) -> pd.DataFrame:
    count = len(paths)
    return pd.DataFrame(
        {"path": paths, "age": [30] * count, "gender": ["male"] * count,
         "ethnicity": ["Asian"] * count, "predicted": predicted}
    )  # fmt: skip


def test_models_are_compared_where_both_found_a_face() -> None:
    first, second = table_of(["a", "b"], [31, np.nan]), table_of(["b", "a"], [30, 33])
    report = compare(first, second)
    assert report["count"] == 1
    assert report["overall"]["mae"]["difference"]["value"] == 2
    with pytest.raises(DataError, match="in common"):
        compare(first.iloc[:1], second.iloc[:1])


def test_an_evaluation_goes_on_where_it_was_cut_off(dataset: Dataset, tmp_path: Path) -> None:
    whole = predict_split("light", dataset, "train", jobs=2)

    def journal() -> Journal:
        return Journal(tmp_path, "light", dataset, "train", 0.9)

    predict_split("light", dataset, "train", jobs=2, journal=journal())
    lines = journal().path.read_bytes().splitlines(keepends=True)
    journal().path.write_bytes(b"".join(lines[:10]) + lines[10][:20])  # as a kill leaves it
    assert len(journal().read()) == 10
    again = predict_split("light", dataset, "train", jobs=2, journal=journal())
    pd.testing.assert_frame_equal(again.drop(columns="face"), whole.drop(columns="face"))
    assert len(journal().read()) == len(whole)
    report = evaluate(again, thresholds=(18,))
    assert report["thresholds"]["18"]["reliability"]["bins"]
    assert report["cumulative_score"][-1] >= report["overall"]["within_10"]["value"]
    assert 0 <= report["overall"]["coverage"]["value"] <= 1


def test_a_model_is_calibrated_on_several_parts(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agelens.evaluation.calibrate.MIN_FACES", 1)
    model = tmp_path / "model.onnx"
    shutil.copy(file_of("light"), model)
    parts = {"train": len(predict_split("light", dataset, "train")["predicted"].dropna())}
    parts["validation"] = len(predict_split("light", dataset, "validation")["predicted"].dropna())
    calibrate(model, dataset, splits=["train"])
    alone = AgeModel(model).metadata["calibration"]
    done = CliRunner().invoke(
        commands,
        ["calibrate", str(model), str(dataset.folder), "--split", "train", "--split", "validation"],
    )
    assert done.exit_code == 0, done.output
    both = AgeModel(model).metadata["calibration"]
    assert (alone["faces"], both["faces"]) == (parts["train"], sum(parts.values()))
    for name in ("class_bias", "score_quantiles"):
        assert np.isfinite([both[name], alone[name]]).all()
        assert both[name] != alone[name]
    assert AgeModel(model).metadata["training"] == AgeModel("light").metadata["training"]

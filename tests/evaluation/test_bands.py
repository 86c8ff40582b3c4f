"""Estimates against bands of ages: by hand, and as `agelens evaluate` prints and writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from agelens import AgeEstimator, DataError
from agelens.cli import app
from agelens.data.manifest import Dataset, Source, save
from agelens.evaluation.bands import measure_bands
from agelens.evaluation.calibrate import calibrate
from agelens.evaluation.predictions import predict_split
from agelens.evaluation.results import Evaluation
from agelens.pipeline.model import AgeModel, file_of

FOUND = pd.DataFrame(
    {
        "predicted": [25.0, 29.4, 29.6, 32.0, 50.0, 12.0],
        "age_low": [20, 20, 20, 20, 3, 3],
        "age_high": [29, 29, 29, 29, 9, 9],
        "gender": ["female", "male", None, "female", "male", "female"],
        "ethnicity": [None] * 6,
        "source": ["A", "A", "A", "B", "B", "B"],
    }
)


def test_bands_by_hand() -> None:
    report = measure_bands(FOUND)
    overall = report.overall
    assert (overall.count, overall.small) == (6, True)
    assert overall.in_band.value == pytest.approx(2 / 6)  # 29.6 years are 30 in whole ones
    away = [0, 0.4, 0.6, 3, 41, 3]
    assert overall.distance.value == pytest.approx(np.mean(away))
    outside = overall.outside
    assert outside is not None
    assert outside.value == pytest.approx(np.mean(away[2:]))
    assert outside.low < outside.value < outside.high
    assert list(report.groups["band"]) == ["3-9", "20-29"]
    assert report.groups["band"]["20-29"].in_band.value == pytest.approx(0.5)
    assert {name: row.count for name, row in report.groups["gender"].items()} == {
        "female": 3,
        "male": 2,
    }
    assert "ethnicity" not in report.groups
    assert report.groups["source"]["A"].distance.value == pytest.approx(1 / 3)
    inside = measure_bands(FOUND[:2])
    assert inside.overall.outside is None
    assert "source" not in inside.groups


def test_the_command_measures_ages_and_bands(several: Dataset, tmp_path: Path) -> None:
    file, rows = tmp_path / "figures.json", tmp_path / "rows.csv"
    options = ["--split", "train", "--json", str(file), "--predictions", str(rows)]
    done = CliRunner().invoke(app, ["evaluate", "light", str(several.folder), *options])
    assert done.exit_code == 0, done.output
    assert "Labels that are bands of ages" in done.output
    result, table = Evaluation.model_validate_json(file.read_text()), pd.read_csv(rows)
    assert result.bands is not None
    banded = table["age"].isna() & table["predicted"].notna()
    assert result.images == len(table) == len(several.part("train", missed=True, bands=True))
    assert result.bands.overall.count == banded.sum() > 10
    assert result.overall.count == (table["age"].notna() & table["predicted"].notna()).sum()
    assert set(table["source"]) == {"Exact", "Bands"}
    assert (table["age_low"] == table["age_high"]).tolist() == table["age"].notna().tolist()


def test_bands_alone(several: Dataset, tmp_path: Path) -> None:
    rows = several.manifest[several.manifest["source"] == "Bands"]
    source = Source("Bands", "CC BY 4.0")
    dataset = save(tmp_path, several.root, rows, several.template, [source], made_from="a test")
    file = tmp_path / "figures.json"
    options = [str(tmp_path), "--split", "train", "--json", str(file)]
    done = CliRunner().invoke(app, ["evaluate", "light", *options])
    assert done.exit_code == 0, done.output
    result = Evaluation.model_validate_json(file.read_text())
    assert result.overall.count == 0
    assert result.bands is not None
    assert result.bands.overall.count > 10
    with pytest.raises(DataError, match="age in years"):
        predict_split(AgeEstimator(), dataset, "train", jobs=1)
    page = CliRunner().invoke(app, ["evaluate", "light", *options, "--report", str(tmp_path / "r")])
    assert page.exit_code == 1
    assert isinstance(page.exception, DataError)
    assert "ages in years" in str(page.exception)


def test_bands_are_calibrated_on_too(
    several: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agelens.evaluation.calibrate.MIN_FACES", 1)
    model = tmp_path / "model.onnx"
    shutil.copy(file_of("light"), model)
    done = calibrate(model, several, splits=["train"], jobs=1)
    fitted, found = done.calibration, done.found
    assert fitted.faces == len(found) == found["predicted"].notna().sum()
    assert 10 < found["age"].isna().sum() < len(found) - 10
    assert AgeModel(model).calibration.to_dict() == fitted.to_dict()

"""Learning from several sets at once, some of whose labels are bands of ages."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agelens import RecipeError
from agelens.data.bands import bands_of, distance, inside, mean_over_sources
from agelens.data.manifest import Dataset
from agelens.pipeline.calibration import quantile
from agelens.pipeline.model import AgeModel
from agelens.training.crops import aligned_crops
from agelens.training.export import export
from agelens.training.fit import fit
from agelens.training.recipe import Recipe

VALUES = {
    "name": "sources",
    "workers": 0,
    "epoch_faces": 16,
    "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 32},
    "augment": {"mixup": 0.3},
    "imbalance": {"sampling": "sqrt_groups", "sources": {"Exact": 1, "Bands": 2}},
    "optimiser": {"batch_size": 8, "warmup_steps": 3, "precision": "float32"},
    "stages": [{"epochs": 2, "size": 32}],
}


def test_distances_by_hand() -> None:
    bands = np.array([[30, 30], [30, 39], [30, 39], [30, 39], [0, 2]])
    years = np.array([28.5, 27.0, 39.4, 41.0, 2.6])
    np.testing.assert_allclose(distance(years, bands), [1.5, 3, 0.4, 2, 0.6])
    assert inside(years, bands).tolist() == [False, False, True, False, False]
    rows = pd.DataFrame({"source": ["A", "B", "B", "B", "A"]})
    assert mean_over_sources(distance(years, bands), rows) == pytest.approx((2.1 / 2 + 5.4 / 3) / 2)


@pytest.fixture(scope="module")
def run(several: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sources"
    fit(Recipe.model_validate(VALUES), several, folder)
    return folder


def logged(run: Path, name: str) -> list[dict[str, str]]:
    with (run / "logs" / "csv" / "metrics.csv").open() as lines:
        return [row for row in csv.DictReader(lines) if row.get(name)]


def test_each_source_is_measured_and_counts_alike(run: Path) -> None:
    measured = logged(run, "val_mae")
    assert len(measured) == 2
    for row in measured:
        errors = [float(row["val_Exact"]), float(row["val_Bands"])]
        assert float(row["val_mae"]) == pytest.approx(np.mean(errors), rel=1e-5)
        assert errors[0] != errors[1]


def test_the_file_says_what_it_learnt_from(run: Path, several: Dataset, tmp_path: Path) -> None:
    export(run / "best.ckpt", tmp_path / "model.onnx")
    model = AgeModel(tmp_path / "model.onnx")
    assert model.metadata["data"] == [source._asdict() for source in several.sources]
    licence = model.metadata["licence"]
    assert licence.startswith("Trained on Exact (for research), Bands (CC BY 4.0).")
    crops, rows = aligned_crops(several, "validation", 32, margin=0.0)
    estimates = quantile(model.predict(np.array(crops)), model.ages, 0.5)
    expected = mean_over_sources(distance(estimates, bands_of(rows)), rows)
    metrics = model.metadata["metrics"]
    assert metrics["validation_mae"] == pytest.approx(expected, abs=1e-3)
    assert list(metrics["validation_by_source"]) == ["Bands (bands)", "Exact"]
    assert np.mean(list(metrics["validation_by_source"].values())) == pytest.approx(expected, 1e-3)


def test_every_choice_of_loss_and_weights_learns_bands(several: Dataset, tmp_path: Path) -> None:
    for name in ("corn", "l1", "mean_variance"):
        changes = {"name": name, "loss": {"name": name}}
        changes["imbalance"] = {"weights": "sqrt_lds", "group_adjustment": float(name == "l1")}
        recipe = Recipe.model_validate(VALUES | changes)
        fit(recipe, several, tmp_path / name)
        losses = [float(row["train_loss"]) for row in logged(tmp_path / name, "train_loss")]
        assert np.isfinite(losses).all()
        assert len(losses) == 2


def test_sources_that_are_not_the_data_s_are_refused(several: Dataset, tmp_path: Path) -> None:
    wrong = VALUES | {"imbalance": {"sources": {"Exact": 1}}}
    with pytest.raises(RecipeError, match="Bands, Exact"):
        fit(Recipe.model_validate(wrong), several, tmp_path)

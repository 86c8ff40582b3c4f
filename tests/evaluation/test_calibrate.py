"""`agelens calibrate`: a model file learns its calibration from held-out faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agelens import AgeEstimator
from agelens.cli import calibrate as _  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.data.manifest import Dataset
from agelens.evaluation.calibrate import calibrate
from agelens.evaluation.predictions import predict_split
from agelens.pipeline.model import AgeModel, file_of


def test_a_model_is_calibrated_on_several_parts(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agelens.evaluation.calibrate.MIN_FACES", 1)
    model = tmp_path / "model.onnx"
    shutil.copy(file_of("light"), model)
    estimator = AgeEstimator("light")
    parts = {
        split: len(predict_split(estimator, dataset, split)["predicted"].dropna())
        for split in ("train", "validation")
    }
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

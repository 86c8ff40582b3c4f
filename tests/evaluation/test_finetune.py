"""`agelens finetune`: from a shipped model and one's own pictures to a model file, compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agelens import DataError
from agelens.cli import app as commands
from agelens.data.manifest import Dataset, save
from agelens.errors import OutputError
from agelens.evaluation import calibrate, finetune
from agelens.pipeline.model import AgeModel

QUICK = [
    "--set", "model.size=32", "--set", "stages=[{epochs=1, size=32}]",
    "--set", "optimiser.batch_size=8", "--set", "workers=0", "--accelerator", "cpu",
]  # fmt: skip


def test_a_model_of_ones_own_is_compared_on_faces_that_it_has_not_seen(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (calibrate, finetune):
        monkeypatch.setattr(module, "MIN_FACES", 1)
    output = tmp_path / "mine.onnx"
    options = ["-o", str(output), "--run", str(tmp_path / "run"), *QUICK]
    done = CliRunner().invoke(commands, ["finetune", str(dataset.folder), *options])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())  # lines are broken where the name of the file ends
    found = re.search(r"on (\d+) faces, calibrated on (\d+); compared with light on (\d+)", said)
    assert found
    learnt, calibrated, compared = map(int, found.groups())
    parts = {split: dataset.part(split) for split in ("train", "validation", "calibration", "test")}
    sizes = {split: len(rows) for split, rows in parts.items()}
    assert learnt == sizes["train"]
    assert calibrated == sum(sizes.values()) - sizes["train"]
    assert compared == sizes["calibration"] + sizes["test"]  # validation chose the epoch
    assert "mean absolute error, years" in done.output
    model = AgeModel(output)
    assert model.calibration.faces == calibrated
    assert model.calibrated_on(parts["test"]["sha256"]).all()
    assert not model.calibrated_on(parts["train"]["sha256"]).any()


def test_what_would_fail_at_the_end_is_refused_before_anything_is_learnt(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "MIN_FACES", 1)
    run, recipe = tmp_path / "run", tmp_path / "own.toml"
    recipe.write_text('extends = "fine-tune"\n')
    options = ["--recipe", str(recipe), "--run", str(run), *QUICK]
    for output in (run / "model.onnx", run / "best.ckpt", recipe):
        done = CliRunner().invoke(
            commands, ["finetune", str(dataset.folder), "-o", str(output), *options]
        )
        assert isinstance(done.exception, OutputError)
        assert str(output) in str(done.exception)
    # Of a table of labels that knows a training and a validation part alone, for example.
    rows = dataset.manifest.replace({"split": {"calibration": "validation", "test": "validation"}})
    alone = save(
        tmp_path / "data", dataset.root, rows, dataset.template, dataset.sources, made_from="a test"
    )
    output = tmp_path / "mine.onnx"
    done = CliRunner().invoke(
        commands, ["finetune", str(alone.folder), "-o", str(output), *options]
    )
    assert "no face is left to compare" in str(done.exception)
    assert not run.exists()


def test_a_part_that_is_empty_is_left_out(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (calibrate, finetune):
        monkeypatch.setattr(module, "MIN_FACES", 1)
    rows = dataset.manifest.replace({"split": {"calibration": "test"}})
    some = save(
        tmp_path / "data", dataset.root, rows, dataset.template, dataset.sources, made_from="a test"
    )
    options = ["-o", str(tmp_path / "mine.onnx"), "--run", str(tmp_path / "run"), *QUICK]
    done = CliRunner().invoke(commands, ["finetune", str(some.folder), *options])
    assert done.exit_code == 0, done.output
    assert f"compared with light on {len(some.part('test'))}" in " ".join(done.output.split())


def test_too_few_are_refused_before_anything_is_learnt(dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["-o", str(tmp_path / "mine.onnx"), "--run", str(run)]
    done = CliRunner().invoke(commands, ["finetune", str(dataset.folder), *options])
    assert isinstance(done.exception, DataError)
    assert re.search(r"too few to tell .* 100 are needed", str(done.exception))
    assert not run.exists()

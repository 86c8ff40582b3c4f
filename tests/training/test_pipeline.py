"""The Makefile: the steps that make the shipped models; each finds what its recipe names."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

from agelens import AgeEstimator
from agelens.cli import app
from agelens.data.manifest import Dataset
from agelens.evaluation import calibrate as calibrate_module
from agelens.training import export as export_module
from agelens.training.recipe_files import load_recipe, shipped_recipes

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

TOY = """
extends = "{name}"
workers = 0
[model]
backbone = "test_efficientnet"
pretrained = false
size = 32
{initial}
[augment]
mixup = 0.1
[optimiser]
batch_size = 8
warmup_steps = 3
precision = "float32"
[[stages]]
epochs = 1
size = 32
"""


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("model", ["light", "resnet50", "open"])
def test_every_step_finds_what_its_recipe_names(model: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done = make("-n", model, f"RUNS={runs}", f"DATA={tmp_path / 'data'}")
    assert done.returncode == 0, done.stderr
    made: set[str] = {"agelens/resnet50-half"}
    trained = []
    for line in done.stdout.splitlines():
        words = shlex.split(line)
        if words[:2] == ["agelens", "train"]:
            recipe = load_recipe(words[2])
            named = [*recipe.teacher.runs, *recipe.teacher.models]
            if recipe.model.initial_weights:
                named.append(recipe.model.initial_weights)
            assert set(named) <= made, line
            trained.append(recipe.name)
            made.add(recipe.name)
        elif words[:2] in (["agelens", "average"], ["agelens", "export"]):
            target = Path(words[-1])
            assert Path(words[2]).parent.name in made, line
            made.add(str(target.parent.name if words[1] == "average" else target.relative_to(runs)))
        elif words[:1] == ["python"]:
            made.add(str(Path(words[-1]).relative_to(runs)))
    assert trained[-1] == model
    assert len(set(trained)) == len(trained)
    assert set(trained) <= set(shipped_recipes())


def test_open_is_made_of_fairface_and_imagenet_weights_alone(tmp_path: Path) -> None:
    steps = make("-n", "open", f"RUNS={tmp_path}", "FAIRFACE=faces").stdout
    assert "prepare faces " in steps
    assert "UTKFace" not in steps
    assert "APPA" not in steps
    for name, start in (("open-128", None), ("open", "open-128")):
        recipe = load_recipe(name)
        assert recipe.model.pretrained
        assert recipe.model.initial_weights == start
        assert not recipe.teacher.runs
        assert not recipe.teacher.models


def test_a_whole_pipeline_ends_with_a_model_file(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "INT8_COST", 5.0)  # a tiny network is no easy one to round
    monkeypatch.setattr(calibrate_module, "MIN_FACES", 5)
    recipes, runs = tmp_path / "recipes", tmp_path / "runs"
    recipes.mkdir()
    for name in shipped_recipes():
        start = load_recipe(name).model.initial_weights or ""
        another = 'initial_weights = "efficientnet-mean"' if start.startswith("agelens/") else ""
        (recipes / f"{name}.toml").write_text(TOY.format(name=name, initial=another))
    settings = [f"RUNS={runs}", f"DATA={dataset.folder}", f"RECIPES={recipes}"]
    assert make("-q", "resnet50", *settings).returncode == 1
    for line in make("-n", "resnet50", *settings).stdout.splitlines():
        words = shlex.split(line)
        if words[0] == "agelens":  # in this process, which has imported torch
            app(words[1:], standalone_mode=False)
        else:
            subprocess.run(words, check=True)
    assert make("-q", "resnet50", *settings).returncode == 0  # nothing is left to do
    estimator = AgeEstimator(runs / "age-resnet50.onnx")
    assert estimator.model.metadata["name"] == "resnet50"
    assert estimator.model.metadata["calibration"]["faces"] > 0
    for made in ("resnet50/finished.json", "resnet50/model.onnx", "age-resnet50.onnx"):
        (runs / made).unlink()  # as if the last run had been cut off
    (left, *_) = make("-n", "resnet50", *settings).stdout.splitlines()
    assert left.split()[:3] == ["agelens", "train", f"{recipes}/resnet50.toml"]

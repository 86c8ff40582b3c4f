"""What a run writes down, and what stops it with a sentence and blocks nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agelens import AgelensError, CheckpointError, DataError, RecipeError
from agelens.data.manifest import Dataset
from agelens.pipeline.model import file_of
from agelens.training.epochs import Epoch
from agelens.training.fit import fit
from agelens.training.recipe import Recipe
from training.conftest import TINY

SHORT = {"stages": [{"epochs": 1, "size": 32}]}


def changed(**sections: Any) -> Recipe:
    """The tiny recipe in one epoch, with some keys of its sections changed."""
    values = TINY.model_dump() | SHORT
    for name, keys in sections.items():
        values[name] = values[name] | keys if isinstance(keys, dict) else keys
    return Recipe.model_validate(values)


STOPS: dict[str, tuple[Recipe, dict[str, Any], type[AgelensError], str]] = {
    "a batch that devices cannot share": (
        changed(optimiser={"batch_size": 5}),
        {"accelerator": "cpu", "devices": 2},
        RecipeError,
        "batch_size",
    ),
    "fewer pictures than a batch": (
        changed(optimiser={"batch_size": 64}),
        {},
        RecipeError,
        "training part|an epoch has",
    ),
    "a run that does not exist": (
        changed(model={"initial_weights": "nowhere"}),
        {},
        RecipeError,
        "initial_weights: .* no run named 'nowhere'",
    ),
    "a teacher that does not exist": (
        changed(teacher={"runs": ["nobody"]}),
        {},
        RecipeError,
        "teacher.runs: .* no run named 'nobody'",
    ),
    "a model file that does not exist": (
        changed(teacher={"models": ["nobody/model.onnx"]}),
        {},
        RecipeError,
        r"teacher.models: .*model\.onnx does not exist",
    ),
    "a shipped model that does not exist": (
        changed(model={"initial_weights": "agelens/heavy"}),
        {},
        RecipeError,
        "no shipped model is named 'heavy'",
    ),
    "no such accelerator": (changed(), {"accelerator": "abacus"}, RecipeError, "abacus"),
    "a loss that is not a number": (
        changed(optimiser={"learning_rate": 1e30, "clip_norm": 1e30, "warmup_steps": 0}),
        {},
        RecipeError,
        "epoch 1, step .*: the loss is not a number",
    ),
    "a size that a backbone does not read": (
        changed(
            model={"backbone": "coat_tiny", "size": 64},
            stages=[
                {"epochs": 1, "size": 40},
                {"epochs": 1, "size": 64},
            ],
        ),
        {},
        RecipeError,
        "stages: .* 40 pixels",
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_start_that_failed_says_why_and_blocks_nothing(
    name: str, dataset: Dataset, tmp_path: Path
) -> None:
    recipe, options, error, said = STOPS[name]
    with pytest.raises(error, match=said):
        fit(recipe, dataset, tmp_path / "run", **options)
    assert not list((tmp_path / "run").glob("*.ckpt"))
    assert fit(changed(), dataset, tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_was_asked_for_is_not_replaced(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="accelerator gpu"):
        fit(changed(), dataset, tmp_path, accelerator="gpu")


def test_pictures_that_moved_are_named(dataset: Dataset, tmp_path: Path) -> None:
    moved = replace(dataset, folder=tmp_path / "data", root=tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"elsewhere.*\.jpg is gone"):
        fit(changed(), moved, tmp_path / "run")


@pytest.mark.parametrize("kept", [0, 3000])
def test_a_checkpoint_that_was_cut_off_is_named(
    kept: int, run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "finished.json").unlink()
    last = tmp_path / "run" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: empty, cut off"):
        fit(TINY, dataset, tmp_path / "run")


def test_a_run_folder_belongs_to_one_recipe(run: Path, dataset: Dataset) -> None:
    with pytest.raises(RecipeError, match="another recipe"):
        fit(TINY.model_copy(update={"seed": 5}), dataset, run)


def test_a_checkpoint_of_no_run_is_not_overwritten(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    averaged = shutil.copy(run / "best.ckpt", tmp_path / "best.ckpt")
    before = averaged.read_bytes()
    with pytest.raises(RecipeError, match="no run of its own"):
        fit(TINY, dataset, tmp_path)
    assert averaged.read_bytes() == before


def test_a_run_knows_what_it_learnt_from(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    recipe = changed(
        model={"initial_weights": "other"}, teacher={"runs": ["other"], "models": ["light"]}
    )
    fit(recipe, dataset, tmp_path / "mine")
    facts = json.loads((tmp_path / "mine" / "run.json").read_text("utf-8"))

    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    other = digest(tmp_path / "other" / "best.ckpt")
    assert facts["data"] == dataset.digest
    assert facts["initial_weights"] == {"other": other}
    assert facts["teachers"] == {"other": other, "light": digest(file_of("light"))}
    ended = json.loads((tmp_path / "mine" / "finished.json").read_text("utf-8"))
    assert ended["best.ckpt"] == digest(tmp_path / "mine" / "best.ckpt")
    whole = torch.load(run / "best.ckpt", weights_only=True)
    torch.save(whole | {"epoch": 7}, tmp_path / "other" / "best.ckpt")
    with pytest.raises(RecipeError, match="another initial weights and teachers"):
        fit(recipe, dataset, tmp_path / "mine")


def test_epochs_are_told_and_a_run_that_has_ended_learns_no_more(
    dataset: Dataset, tmp_path: Path
) -> None:
    epochs: list[Epoch] = []
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        fit(
            TINY, dataset, tmp_path, report=epochs.append,
            progress=lambda done, total: steps.append((done, total)),
        )  # fmt: skip
    assert [(epoch.number, epoch.epochs) for epoch in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert steps == [(step, 15) for step in range(1, 16)]
    assert [epoch.best for epoch in epochs] == [
        pytest.approx(min(one.error for one in epochs[:number])) for number in (1, 2, 3)
    ]
    assert all(epoch.images_per_s > 0 for epoch in epochs)
    assert epochs[0].seconds_left > epochs[2].seconds_left == 0

"""Training where processes cannot fork, as on macOS and Windows."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

from agelens.data.manifest import Dataset
from agelens.training.fit import fit
from agelens.training.module import load_checkpoint
from agelens.training.recipe import Recipe


def test_workers_that_are_spawned_load_the_same_data(dataset: Dataset, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "spawned",
            "workers": 1,
            "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 32},
            "optimiser": {"batch_size": 16, "warmup_steps": 1, "precision": "float32"},
            "stages": [{"epochs": 1, "size": 32}],
        }
    )
    alone = recipe.model_copy(update={"workers": 0})
    wanted = load_checkpoint(fit(alone, dataset, tmp_path / "alone"))
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        got = load_checkpoint(fit(recipe, dataset, tmp_path / "spawned"))
    finally:
        multiprocessing.set_start_method(before, force=True)
    for name, weights in wanted.state_dict().items():
        torch.testing.assert_close(got.state_dict()[name], weights, rtol=0, atol=0)

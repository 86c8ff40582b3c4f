"""Tiny runs that the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from agelens.data.manifest import Dataset
from agelens.training.fit import fit
from agelens.training.module import AgeModule, load_checkpoint
from agelens.training.recipe import Recipe

TINY = Recipe.model_validate(
    {
        "name": "tiny",
        "workers": 0,
        "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 32},
        "optimiser": {"batch_size": 8, "warmup_steps": 3, "precision": "float32"},
        "stages": [{"epochs": 1, "size": 24}, {"epochs": 2, "size": 32}],
    }
)


VARIANTS = {
    "goes on": {"model": {"initial_weights": "run"}},
    "frozen": {"model": {"initial_weights": "run", "frozen_epochs": 3}},
    "swa": {"optimiser": {"average": "swa", "swa_epochs": 2}},
    "no average": {"optimiser": {"average": "none"}},
    "bfloat16": {"optimiser": {"precision": "bfloat16"}},
    "sampling": {"imbalance": {"sampling": "sqrt", "weights": "sqrt_lds", "from_epoch": 1}},
    "groups": {"imbalance": {"sampling": "sqrt_groups"}},
    "adjusted": {"imbalance": {"group_adjustment": 0.5}, "augment": {"mixup": 0.3}},
    "mixup": {"augment": {"mixup": 0.4}},
    "knots": {"model": {"knots": [0, 20, 40, 60]}},
    "corn": {"loss": {"name": "corn"}},
    "distilled": {"teacher": {"runs": ["run", "run"]}, "augment": {"mixup": 0.2}},
}


def variant(name: str) -> Recipe:
    values = TINY.model_dump() | {"name": name}
    for section, changes in VARIANTS[name].items():
        values[section] = values[section] | changes
    return Recipe.model_validate(values)


@pytest.fixture(scope="session")
def trained(
    run: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Every choice of a recipe, trained, beside the plain run that some of them begin with."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "run").symlink_to(run)
    return {name: fit(variant(name), dataset, folder / name) for name in VARIANTS}


@pytest.fixture(scope="session")
def variants(trained: dict[str, Path]) -> dict[str, AgeModule]:
    return {name: load_checkpoint(path) for name, path in trained.items()}

"""Recipes: those that ship, what extends and overrides them, and faults by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from agelens import RecipeError
from agelens.training.recipe import Recipe
from agelens.training.recipe_files import load_recipe, shipped_recipes
from training.conftest import TINY

RESEARCH = sorted(ROOT.glob("research/configs/*.toml"))


@pytest.mark.parametrize("name", [*shipped_recipes(), *RESEARCH], ids=lambda name: Path(name).stem)
def test_every_recipe_is_valid_and_says_what_it_is(name: str | Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == Path(name).stem
    assert recipe.summary.endswith(".")
    assert not any(Path(model).is_absolute() for model in recipe.teacher.models)


def test_recipes_are_listed_with_a_line_each() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agelens", "recipes"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "300"},
    )  # fmt: skip
    lines = [line.split(None, 1) for line in done.stdout.splitlines()]
    assert [(name, said.rstrip()) for name, said in lines] == [
        (name, load_recipe(name).summary) for name in shipped_recipes()
    ]


def test_a_recipe_extends_another_key_by_key(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.toml", tmp_path / "mine.toml"
    base.write_text('extends = "light"\nseed = 3\n[augment]\nflip = 0.0\n')
    mine.write_text(
        '# Mine.\nextends = "base.toml"\nstages = [{epochs = 1, size = 160}]\n'
        "[augment]\nblur = 0.5\n"
    )
    recipe, light = load_recipe(mine), load_recipe("light")
    assert (recipe.name, recipe.summary, recipe.seed, recipe.epochs) == ("mine", "Mine.", 3, 1)
    assert recipe.augment == light.augment.model_copy(update={"flip": 0.0, "blur": 0.5})
    assert recipe.teacher == light.teacher
    base.write_text('extends = "mine.toml"')
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(mine)
    base.write_text("extends = 3")
    with pytest.raises(RecipeError, match="extends"):
        load_recipe(mine)
    base.write_text('extends = "heavy"')
    with pytest.raises(RecipeError, match=r"heavy.*agelens recipes"):
        load_recipe(mine)


def test_what_is_no_recipe_is_named(tmp_path: Path) -> None:
    for name, kind in (("best.ckpt", "a checkpoint"), ("model.onnx", "a model file")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(RecipeError, match=f"{name}: {kind} where a recipe belongs"):
            load_recipe(tmp_path / name)


def test_keys_of_old_checkpoints_are_read() -> None:
    old = {"name": "old", "model": {"start": "run"}, "teacher": {"share": 0.25}}
    recipe = Recipe.model_validate(old)
    assert (recipe.model.initial_weights, recipe.teacher.weight) == ("run", 0.25)


def test_overrides_and_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 1\n[optimiser]\nbatch_size = 16\n")
    recipe = load_recipe(path, ("optimiser.batch_size=4", "model.backbone=resnet18", "name=other"))
    assert (recipe.seed, recipe.optimiser.batch_size, recipe.name) == (1, 4, "other")
    assert recipe.model.backbone == "resnet18"
    for override, named in (
        ("optimiser.bach_size=4", "optimiser.bach_size"),
        ("optimiser.batch_size=0", "optimiser.batch_size"),
        ("loss.name=l3", "loss.name"),
        ("model.size=96", "last stage"),
        ("imbalance.group_adjustment=2", "group_adjustment"),
        ("model.knots=[0, 20, 10]", "each higher"),
        ("model.knots=[30]", "at least two"),
        ("model.knots=[0, 200]", "model.knots"),
        ("seed", "key=value"),
        ("seed.x=1", "not a section"),
    ):
        with pytest.raises(RecipeError, match=named):
            load_recipe(path, (override,))
    with pytest.raises(RecipeError, match="corn"):
        load_recipe(path, ("imbalance.group_adjustment=0.5", "loss.name=corn"))
    with pytest.raises(RecipeError, match="knots"):
        load_recipe(path, ("model.knots=[0, 20]", "loss.name=corn"))
    path.write_text("seed = ")
    with pytest.raises(RecipeError, match="TOML"):
        load_recipe(path)
    with pytest.raises(RecipeError, match=r"nowhere\.toml"):
        load_recipe(tmp_path / "nowhere.toml")


def test_stages_give_the_size_of_each_epoch() -> None:
    assert [TINY.size_at(epoch) for epoch in range(4)] == [24, 32, 32, 32]
    assert TINY.epochs == 3

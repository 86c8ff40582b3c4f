"""What a recipe begins with and learns from: other runs and model files, found by name.

Runs are neighbours: a recipe's run lies in the folder of runs, and the other runs and the model
files that it names are looked for there, wherever the command is given.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from agelens.errors import RecipeError
from agelens.pipeline.model import SHIPPED, file_of
from agelens.training.initial_weights import open_nsfw_file, packaged_efficientnet
from agelens.training.network import HALF_RESNET50
from agelens.training.recipe import Recipe

PACKAGE = "agelens/"
"""Before the name of a shipped model, where the name of a run could stand."""


def initial_file(reference: str, runs: Path) -> Path | None:
    """The file that ``model.initial_weights`` names.

    Args:
        reference: ``agelens/NAME`` for a shipped model; a model file (.onnx), relative to `runs`;
            or the name of a run, whose best checkpoint is meant.
        runs: the folder of runs.

    Returns:
        Its path; None for weights that come with a package (`HALF_RESNET50`).

    Raises:
        RecipeError: there is no such file.
    """
    if reference == HALF_RESNET50:
        return None
    if reference.startswith(PACKAGE):
        return _shipped(reference, "model.initial_weights")
    if reference.endswith(".onnx"):
        return _model_file(reference, runs, "model.initial_weights")
    return _checkpoint(reference, runs, "model.initial_weights")


def teacher_files(recipe: Recipe, runs: Path) -> tuple[list[Path], list[Path]]:
    """The checkpoints and the model files of a recipe's teachers.

    Raises:
        RecipeError: one does not exist.
    """
    checkpoints = [_checkpoint(name, runs, "teacher.runs") for name in recipe.teacher.runs]
    models = [
        _model_file(name, runs, "teacher.models")
        if name.endswith(".onnx")
        else _shipped(name, "teacher.models")
        for name in recipe.teacher.models
    ]
    return checkpoints, models


def digests(recipe: Recipe, runs: Path) -> dict[str, dict[str, str]]:
    """The SHA-256 of the files that a recipe begins with and learns from, by its names for them.

    Initial weights that a library downloads by itself are not among them.

    Raises:
        RecipeError: one does not exist.
    """
    model = recipe.model
    name = model.initial_weights or (model.backbone if model.pretrained else None)
    initial: Path | str | None = None
    if name == HALF_RESNET50:
        initial = open_nsfw_file()
    elif model.initial_weights:
        initial = initial_file(model.initial_weights, runs)
    elif name:
        initial = packaged_efficientnet(name)
    found: dict[str, dict[str, str]] = {}
    if name and initial is not None:
        found["initial_weights"] = {name: sha256(Path(initial))}
    checkpoints, models = teacher_files(recipe, runs)
    names = [*recipe.teacher.runs, *recipe.teacher.models]
    if names:
        files = [*checkpoints, *models]
        found["teachers"] = {who: sha256(file) for who, file in zip(names, files, strict=True)}
    return found


def sha256(path: Path) -> str:
    """Of a file's contents, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shipped(reference: str, key: str) -> Path:
    name = reference.removeprefix(PACKAGE)
    if name not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise RecipeError(
            f"{key}: no shipped model is named {name!r} ({known}); a model file ends in .onnx"
        )
    return file_of(name)


def _model_file(reference: str, runs: Path, key: str) -> Path:
    path = runs / reference
    if not path.is_file():
        raise RecipeError(
            f"{key}: {path} does not exist; write it first with `agelens export`, or give a path "
            f"relative to {runs}"
        )
    return path


def _checkpoint(name: str, runs: Path, key: str) -> Path:
    path = runs / name / "best.ckpt"
    if not path.is_file():
        raise RecipeError(
            f"{key}: {runs} holds no run named {name!r}; train it first, or put its best.ckpt there"
        )
    return path

"""Where recipes are read from: those that ship, by name, and anybody's TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agelens.errors import RecipeError
from agelens.training.recipe import Recipe

FOLDER = Path(__file__).parent / "recipes"


def shipped_recipes() -> list[str]:
    """Names of the recipes inside the package, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe_file(name: str | Path) -> Path:
    """The file of a recipe.

    Args:
        name: of a shipped recipe, or the path of a TOML file.

    Raises:
        RecipeError: there is neither, or the file is a model's or a checkpoint.
    """
    path = Path(name)
    if path.suffix in (".ckpt", ".onnx"):
        kind = "checkpoint" if path.suffix == ".ckpt" else "model file"
        raise RecipeError(f"{name}: a {kind} where a recipe belongs; `agelens recipes` lists some")
    if str(name) in shipped_recipes():
        return FOLDER / f"{name}.toml"
    if not path.exists():
        raise RecipeError(
            f"{name}: no such recipe; give a TOML file, or a name that `agelens recipes` lists"
        )
    return path


def load_recipe(name: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe.

    Its key ``extends`` names another, shipped or a TOML file beside it, whose values it changes:
    keys of a section one by one, everything else as a whole. Its default name is the file's stem,
    its default summary the file's first line, where that is a comment.

    Args:
        name: of a shipped recipe, or the path of a TOML file.
        overrides: ``key=value``, dotted keys and TOML values, as in ``optimiser.batch_size=32``.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, or an impossible value, by name.
    """
    path = recipe_file(name)
    values = _read(path, ())
    for override in overrides:
        _set(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'recipe'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise RecipeError(f"{name}: " + "; ".join(problems)) from error


def _read(path: Path, within: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file, with those of what it extends. `within`: the files that extend it."""
    if path.resolve() in within:
        raise RecipeError(f"{path}: extends itself")
    try:
        text = path.read_text("utf-8")
        own: dict[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML ({error})") from error
    base = own.pop("extends", None)
    values: dict[str, Any] = {}
    if base is not None:
        if not isinstance(base, str):
            raise RecipeError(f"{path}: extends: write the name of one recipe")
        other = path.parent / base if base.endswith(".toml") else base
        values = _read(recipe_file(other), (*within, path.resolve()))
    first = text.partition("\n")[0]
    own.setdefault("name", path.stem)
    own.setdefault("summary", first.lstrip("# ").rstrip() if first.startswith("#") else "")
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = values[key] | value if both else value
    return values


def _set(values: dict[str, Any], override: str) -> None:
    key, found, text = override.partition("=")
    if not found:
        raise RecipeError(f"--set {override}: write key=value, for example seed=1")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {section} is not a section")
    values[last] = value

"""The model card: the verdict, and every number from a measurement or a model file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import agelens

from agelens import DataError, ModelError
from agelens.evaluation.groups import standardised
from agelens.evaluation.report import words
from agelens.evaluation.report.card import write_card
from agelens.evaluation.results import Evaluation
from agelens.pipeline.model import AgeModel

ON_REQUEST = ("intervals", "thresholds", "compared", "corruptions", "command", "constant_guess")


@pytest.fixture(scope="module")
def numbers(evaluated: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((evaluated / "numbers.json").read_text("utf-8"))
    return values


TOKEN = re.compile(r"(?<![\w.])([+-]?\d+(?:,\d{3})*(?:\.(\d+))?)(%?)(?!\w)")


def known_numbers(value: Any) -> Iterator[float]:
    """Every number of a JSON value, and those within its keys and short strings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from map(float, re.findall(r"\d+", key))
            yield from known_numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from known_numbers(item)
    elif isinstance(value, str) and len(value) < 40:
        yield from map(float, re.findall(r"\d+", value))
    elif isinstance(value, int | float):
        yield float(value)


def unknown_numbers(card: str, *sources: Any) -> tuple[list[str], int]:
    """Numbers in a card's tables that no source holds, and how many numbers there are."""
    known = {number for source in sources for number in known_numbers(source)}
    lines = [line for line in card.splitlines() if line.startswith("|")]
    tokens = [match for line in lines for match in TOKEN.finditer(line)]
    rounded: dict[str, set[float]] = {}
    unknown = []
    for match in tokens:
        digits, decimals, percent = match.groups()
        form = f".{len(decimals or '')}{'%' if percent else 'f'}"
        if form not in rounded:
            rounded[form] = {float(format(number, form).rstrip("%")) for number in known}
        if float(digits.replace(",", "")) not in rounded[form]:
            unknown.append(match.group())
    return unknown, len(tokens)


def test_every_number_of_the_card_is_measured(numbers: dict[str, Any], tmp_path: Path) -> None:
    """Also of groups of equal ages, which a dataset of 40 faces is too small to have."""
    rng = np.random.default_rng(0)
    group = rng.choice(["one", "other"], 400)
    equal = standardised(rng.normal(0, 5, 400), rng.integers(0, 90, 400), group)
    assert equal is not None
    numbers = numbers | {"standardised": {"gender": equal.model_dump()}}
    source, cost = tmp_path / "numbers.json", tmp_path / "cost.json"
    source.write_text(json.dumps(numbers))
    spent = {"hours": 1.77, "kilowatt_hours": 0.21}
    cost.write_text(json.dumps({"model": "light", "command": "measure it", "training_cost": spent}))
    output = tmp_path / "MODEL_CARD.md"
    done = agelens("card", source, cost, "-o", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == str(output)
    card = output.read_text("utf-8")
    model = AgeModel("light")
    held = (numbers, spent, model.metadata, {"bytes": model.path.stat().st_size})
    unknown, count = unknown_numbers(card, *held)
    assert unknown == []
    assert count > 500
    mae = f"| {numbers['overall']['mae']['value']:.2f} ["
    forged = card.replace(mae, "| 123.45 [", 1)
    assert unknown_numbers(forged, *held)[0] == ["123.45"]
    for text in (
        numbers["command"], numbers["model_sha256"], numbers["dataset"], "non-commercial",
        "mobilenetv1_100", "kilowatt hours | 0.21", "`measure it`", "### Checks for age 40",
        "### Bad conditions", "### Intervals", "### Comparison", "As if every gender",
    ):  # fmt: skip
        assert text in card


def test_a_card_leaves_out_what_was_not_measured(numbers: dict[str, Any], tmp_path: Path) -> None:
    source, output = tmp_path / "few.json", tmp_path / "card.md"
    source.write_text(json.dumps({k: v for k, v in numbers.items() if k not in ON_REQUEST}))
    card = write_card([source], output).read_text("utf-8")
    overall = Evaluation.model_validate_json(source.read_bytes()).overall
    assert words.metric("mae", overall) in card
    for heading in (
        "Checks",
        "Bad conditions",
        "### Intervals",
        "Comparison",
        "cost",
        "of one command",
    ):
        assert heading not in card


def test_a_card_begins_with_a_verdict(numbers: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "numbers.json"
    source.write_text(json.dumps(numbers))
    card = write_card([source], tmp_path / "card.md").read_text("utf-8")
    first = re.findall("^## (.*)", card, re.MULTILINE)[0]
    assert first == "In short"
    assert "- **expect:** An error of" in card
    assert "🔴 **falls short:** Guessing age" in card


def test_a_card_of_two_models(
    numbers: dict[str, Any], older_model: Path, evaluated: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "older.json", tmp_path / "card.md"
    other = {"model": str(older_model), "model_sha256": AgeModel(older_model).digest}
    source.write_text(json.dumps(numbers | other | {"split": "validation"}))
    card = write_card([evaluated / "numbers.json", source], output).read_text("utf-8")
    assert card.startswith("# Model card: `light`, `older.onnx`\n")
    assert "## Figures: `light` on the train part" in card
    assert "## Figures: `older.onnx` on the validation part" in card


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "neither figures"),
        ("[" * 100_000, "is not JSON"),
        ('{"model": "light"}', "neither figures"),
        ('{"model": ["light"], "training_cost": {"hours": 1}}', "neither figures"),
        ('{"model": "light", "overall": {}}', "of an older agelens"),
        (
            '{"model": "light", "overall": {}, "schema_version": 99}',
            "version 99, .* update agelens",
        ),
        ('{"model": "light", "overall": 3, "schema_version": 2}', "is not whole: model_sha256"),
        ('{"model": "light", "training_cost": {"hours": 1}}', "nothing to tell"),
    ],
)
def test_a_broken_measurement_is_named(content: str, words: str, tmp_path: Path) -> None:
    source, output = tmp_path / "broken.json", tmp_path / "card.md"
    source.write_text(content)
    with pytest.raises(DataError, match=words):
        write_card([source], output)
    assert not output.exists()


def test_a_missing_measurement_model_or_match_is_named(
    evaluated: Path, numbers: dict[str, Any], tmp_path: Path
) -> None:
    output, source = tmp_path / "card.md", tmp_path / "one.json"
    with pytest.raises(DataError, match=r"gone\.json: cannot be read: No such file"):
        write_card([tmp_path / "gone.json"], output)
    source.write_text(json.dumps(numbers | {"model": "gone.onnx"}))
    with pytest.raises(ModelError, match=r"gone\.onnx: no such file"):
        write_card([source], output)
    source.write_text(json.dumps(numbers | {"model_sha256": "0"}))
    with pytest.raises(DataError, match="measured another file than light is now"):
        write_card([source], output)
    source.write_text('{"model": "unknown", "training_cost": {"hours": 1}}')
    with pytest.raises(DataError, match="of unknown, which no other file measures"):
        write_card([evaluated / "numbers.json", source], output)
    assert not output.exists()

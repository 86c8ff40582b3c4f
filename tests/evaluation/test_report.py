"""The page of an evaluation, as its reader sees it, and the model card made of its numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest

from agelens import DataError, ModelError
from agelens.data.manifest import Dataset
from agelens.evaluation.groups import standardised
from agelens.evaluation.report import tables
from agelens.evaluation.report.card import write_card
from agelens.evaluation.report.plots import bars
from agelens.evaluation.robustness.conditions import KINDS
from agelens.pipeline.model import AgeModel


class Page(HTMLParser):
    """Addresses, alternative texts, headings, captions and all words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.words = ""
        self._inside = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        values = dict(attrs)
        self.addresses += [values[name] or "" for name in ("src", "href") if name in values]
        if tag == "img":
            self.alts.append(values.get("alt") or "")

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._inside in ("h1", "h2", "h3"):
            self.headings.append(data.strip())
        if self._inside == "figcaption" and data.strip():
            self.captions.append(data)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "import agelens.cli.card; from agelens.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second model: the shipped one, whose ages are all a year older."""
    path = tmp_path_factory.mktemp("models") / "older.onnx"
    model = onnx.load(AgeModel("light").path)
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "distribution":
                node.output[index] = "before"
    index = np.concatenate([[0], np.arange(116)])
    share = np.concatenate([[0.5, 0.5], np.ones(115)]).astype(np.float32)
    model.graph.initializer.extend(
        [onnx.numpy_helper.from_array(index, "index"), onnx.numpy_helper.from_array(share, "share")]
    )
    model.graph.node.extend(
        [
            onnx.helper.make_node("Gather", ["before", "index"], ["moved"], axis=1),
            onnx.helper.make_node("Mul", ["moved", "share"], ["distribution"]),
        ]
    )
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def made(dataset: Dataset, older: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of everything, and what --json and --predictions wrote."""
    folder = tmp_path_factory.mktemp("evaluation")
    done = run(
        "evaluate", "light", dataset.folder, "--split", "train", "--thresholds", "18,40",
        "--compare", older, "--corruptions", folder / "cells", "--sample", "3",
        "--report", folder / "report", "--json", folder / "numbers.json",
        "--predictions", folder / "predictions.csv", "--jobs", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(folder / "report" / "index.html")
    return folder


@pytest.fixture(scope="module")
def numbers(made: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((made / "numbers.json").read_text("utf-8"))
    return values


def test_the_page_is_whole_and_loads_nothing(made: Path) -> None:
    page = Page(made / "report" / "index.html")
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    for title in (
        "Summary", "Errors", "Intervals", "Age 18", "Age 40", "Groups", "Bad conditions",
        "Comparison", "Cases",
    ):  # fmt: skip
        assert title in page.headings
    assert all(page.alts)
    assert (made / "report" / "report.json").read_bytes() == (made / "numbers.json").read_bytes()
    figures = {path.stem for path in (made / "report" / "figures").glob("*.png")}
    for name in figures:
        image = cv2.imread(str(made / "report" / "figures" / f"{name}.png"))
        assert image is not None
        assert image.std() > 1
    assert figures == {
        "scatter", "errors-by-age", "cumulative-score", "interval-coverage", "probability-18",
        "probability-40", "checks-18", "checks-40", "groups", "groups-crossed", "comparison",
        "bad-light-and-colour", "bad-noise", "bad-blur-and-detail", "bad-hidden-parts",
        "bad-framing",
    }  # fmt: skip


def test_its_numbers_are_those_of_the_estimates(made: Path, numbers: dict[str, Any]) -> None:
    page = Page(made / "report" / "index.html")
    table = pd.read_csv(made / "predictions.csv").dropna(subset="predicted")
    errors = (table["predicted"] - table["age"]).abs()
    own = numbers["overall"]
    assert own["mae"]["value"] == pytest.approx(errors.mean())
    assert tables.cell("mae", own["mae"]) in page.words
    assert f"wrong by {errors.mean():.2f}" in page.words
    worst, row = page.captions[0], table.loc[errors.idxmax()]
    assert worst.startswith(f"label {row['age']}\nestimate {row['predicted']:.1f}\n")
    assert numbers["cumulative_score"][5] == pytest.approx((errors <= 5).mean())
    whole = (table["predicted"].round() - table["age"]).abs()
    assert numbers["whole_years"]["mae"]["value"] == pytest.approx(whole.mean())
    assert tables.cell("within_5", numbers["whole_years"]["within_5"]) in page.words
    scatter = next(alt for alt in page.alts if alt.startswith("Density"))
    young = table[table["age"] <= 2]
    middle = f"labelled {young['age'].median():.0f}, estimated {young['predicted'].median():.0f}"
    assert middle in scatter


def test_the_json_says_what_was_measured(numbers: dict[str, Any], dataset: Dataset) -> None:
    assert numbers["command"].startswith(
        f"agelens evaluate light {dataset.folder.name} --split train"
    )
    assert numbers["dataset"] == dataset.digest
    intervals = numbers["intervals"]
    found = numbers["overall"]["count"]
    assert sum(own["count"] for own in intervals["estimated"].values()) == found
    at = {row["nominal"]: row["observed"] for row in intervals["levels"]}
    assert at[0.9]["value"] == pytest.approx(numbers["overall"]["coverage"]["value"])
    inside = sum(
        row["observed"]["errors"]
        for own in intervals["estimated"].values()
        for row in own["levels"]
        if row["nominal"] == 0.8
    )
    assert inside == at[0.8]["errors"]


def test_a_second_report_estimates_nothing_and_leaves_out_what_was_not_measured(
    made: Path, dataset: Dataset
) -> None:
    folder = made / "report"
    journals = {path: path.read_bytes() for path in folder.glob("predictions-*.jsonl")}
    assert len(journals) == 2
    before = Page(folder / "index.html").captions
    done = run("evaluate", "light", dataset.folder, "--split", "train", "--report", folder)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in folder.glob("predictions-*.jsonl")} == journals
    page = Page(folder / "index.html")
    assert page.captions == before
    assert "Age 18" in page.headings  # without --thresholds
    assert not {"Age 40", "Bad conditions", "Comparison"} & set(page.headings)


def test_what_cannot_be_done_is_said_before_estimating(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("taken")
    evaluate = ("evaluate", "light", dataset.folder, "--split", "train")
    wrong = run(*evaluate, "--report", file)
    assert wrong.returncode == 2
    assert "is a file" in re.sub(r"\W+", " ", wrong.stderr)  # Rich breaks the line anywhere
    for options, words in (
        (("--report", file / "below"), r"below: cannot be a report's folder: Not a directory"),
        (("--compare", "nothing.onnx", "--report", tmp_path / "new"), r"nothing.onnx: no such"),
    ):
        done = run(*evaluate, *options)
        assert done.returncode == 1
        assert re.search(words, done.stderr)
        assert "Estimating" not in done.stderr
        assert "Traceback" not in done.stderr
    assert file.read_text() == "taken"
    assert not (tmp_path / "new").exists()


def test_every_kind_of_corruption_is_in_one_family() -> None:
    named = [kind for kinds in tables.FAMILIES.values() for kind in kinds]
    assert sorted(named) == sorted(KINDS)


def test_error_bars_are_never_negative() -> None:
    """A percentile interval may leave its value outside; matplotlib refuses such a bar."""
    lengths = bars([{"value": 2.0, "low": 2.5, "high": 3.0}, {"value": 2.0, "low": 1, "high": 4}])
    assert lengths.tolist() == [[0, 1], [1, 2]]


# The card.

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
    numbers = numbers | {
        "standardised": {
            "gender": standardised(rng.normal(0, 5, 400), rng.integers(0, 90, 400), group)
        }
    }
    source, cost = tmp_path / "numbers.json", tmp_path / "cost.json"
    source.write_text(json.dumps(numbers))
    spent = {"hours": 1.77, "kilowatt_hours": 0.21}
    cost.write_text(json.dumps({"model": "light", "command": "measure it", "training_cost": spent}))
    output = tmp_path / "MODEL_CARD.md"
    done = run("card", source, cost, "-o", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output)
    card = output.read_text("utf-8")
    model = AgeModel("light")
    held = (numbers, spent, model.metadata, {"bytes": model.path.stat().st_size})
    unknown, count = unknown_numbers(card, *held)
    assert unknown == []
    assert count > 500
    mae = f"| {numbers['overall']['mae']['value']:.2f} ["
    forged = card.replace(mae, "| 123.45 [", 1)
    assert unknown_numbers(forged, *held)[0] == ["123.45"]
    for words in (
        numbers["command"], numbers["model_sha256"], numbers["dataset"], "non-commercial",
        "mobilenetv1_100", "kilowatt hours | 0.21", "`measure it`", "### Checks for age 40",
        "### Bad conditions", "### Intervals", "### Comparison", "As if every gender",
    ):  # fmt: skip
        assert words in card


def test_a_card_leaves_out_what_was_not_measured(numbers: dict[str, Any], tmp_path: Path) -> None:
    source, output = tmp_path / "few.json", tmp_path / "card.md"
    kept = ("model", "split", "overall", "groups", "images", "missed", "miss_rate")
    source.write_text(json.dumps({key: numbers[key] for key in kept}))
    card = write_card([source], output).read_text("utf-8")
    assert tables.cell("mae", numbers["overall"]["mae"]) in card
    for words in ("Checks", "Bad conditions", "### Intervals", "Comparison", "As if", "cost"):
        assert words not in card
    assert "does not say which command" in card
    assert "does not say which model file" in card


def test_a_card_of_two_models(
    numbers: dict[str, Any], older: Path, made: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "older.json", tmp_path / "card.md"
    other = {key: value for key, value in numbers.items() if key != "model_sha256"}
    source.write_text(json.dumps(other | {"model": str(older), "split": "validation"}))
    card = write_card([made / "numbers.json", source], output).read_text("utf-8")
    assert card.startswith("# Model card: `light`, `older.onnx`\n")
    assert "## Figures: `light` on the train part" in card
    assert "## Figures: `older.onnx` on the validation part" in card


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "neither figures"),
        ('{"model": "light"}', "neither figures"),
        ('{"model": "light", "overall": {"mae": 4.5}, "missed": []}', "is not whole"),
        ('{"model": "light", "overall": 3}', "is not whole"),
        ('{"model": "light", "model_sha256": "0", "overall": {}}', "measured another file"),
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
    made: Path, numbers: dict[str, Any], tmp_path: Path
) -> None:
    output, source = tmp_path / "card.md", tmp_path / "one.json"
    with pytest.raises(DataError, match=r"gone\.json: cannot be read: No such file"):
        write_card([tmp_path / "gone.json"], output)
    source.write_text(json.dumps(numbers | {"model": "gone.onnx"}))
    with pytest.raises(ModelError, match=r"gone\.onnx: no such file"):
        write_card([source], output)
    source.write_text('{"model": "unknown", "training_cost": {"hours": 1}}')
    with pytest.raises(DataError, match="of unknown, which no other file measures"):
        write_card([made / "numbers.json", source], output)
    assert not output.exists()

"""`agelens card`: a model card whose every number comes from a measurement or a model file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from agelens import __version__
from agelens.errors import DataError
from agelens.evaluation.report import tables, words
from agelens.evaluation.report.verdict import verdict
from agelens.evaluation.results import Evaluation, parse_evaluation
from agelens.files import Inputs, atomic_path
from agelens.pipeline.model import AgeModel
from agelens.reporting.page import Finding, Status, Table, Text, has_content

COST = "training_cost"
"""Key of what a run cost, {"hours": …}, beside the ``model`` it is of and its ``command``."""
ABOUT = {
    "name": "name", "version": "agelens that wrote it", "precision": "precision",
    "flip": "averaged with the mirror image", "size": "side of a crop, pixels",
    "licence": "licence",
}  # fmt: skip
"""What of a model file's metadata is told as it is."""
MARKS = {Status.EXPECT: "", Status.GOOD: "🟢 ", Status.FAIR: "🟡 ", Status.POOR: "🔴 "}
"""Colours of the verdict's words."""
Blocks = list[Table | Text]


@dataclass(frozen=True)
class Card:
    """A model file as it describes itself.

    Attributes:
        name: a shipped name, or the file's.
        path: of the file.
        sha256: of the file.
        bytes: of the file.
        about: its metadata.
        training: how it came about, a row for each part of the recipe.
    """

    name: str
    path: Path
    sha256: str
    bytes: int
    about: dict[str, Any]
    training: Table

    @property
    def manifest(self) -> str | None:
        """Digest of what it learnt from."""
        digest: str | None = self.about.get("training", {}).get("manifest")
        return digest


@dataclass(frozen=True)
class Measurement:
    """A file of figures.

    Attributes:
        path: of the file.
        result: its content.
        model: that was measured.
        verdict: what to expect, and what fell short.
        parts: heading and blocks of each part.
    """

    path: Path
    result: Evaluation
    model: Card
    verdict: list[Finding]
    parts: list[tuple[str, Blocks]]


def write_card(sources: Sequence[Path], output: Path) -> Path:
    """Write the card of the models that were measured, whole or not at all.

    Args:
        sources: files of `agelens evaluate --json`; also files with the cost of a training
            (`COST`), by the name of the model or of its recipe.
        output: the Markdown file.

    Raises:
        DataError: a source is missing, broken, of neither kind, or of another file than the model
            that it names; or none is a measurement.
        ModelError: a measured model cannot be opened.
        OutputError: the card cannot be written, or is one of the sources.
    """
    measurements, costs = [], []
    for path in sources:
        content = _read(path)
        if COST in content:
            costs.append((path, content))
        else:
            measurements.append(_measurement(path, content))
    if not measurements:
        raise DataError("no file given is of `agelens evaluate --json`: there is nothing to tell")
    models = {one.model.sha256: one.model for one in measurements}.values()
    environment = jinja2.Environment(
        autoescape=False, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["cell"] = _cell
    environment.filters["mark"] = MARKS.__getitem__
    source = files("agelens.evaluation.report").joinpath("card.md.jinja").read_text("utf-8")
    licences = [str(model.about.get("licence", "nothing")) for model in models]
    text = environment.from_string(source).render(
        version=__version__,
        models=list(models),
        files=_files(list(models)),
        measurements=measurements,
        costs=_matched(costs, list(models)),
        licences=list(dict.fromkeys(licences)),
        utkface=any("UTKFace" in licence for licence in licences),
    )
    inputs = Inputs([*sources, *(one.model.path for one in measurements)])
    with atomic_path(output, inputs=inputs) as partial:
        partial.write_text(text.strip() + "\n", "utf-8")
    return output


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON") from error
    kinds: tuple[set[str], ...] = ({"model", "overall"}, {"model", COST})
    known = isinstance(content, dict) and any(keys <= set(content) for keys in kinds)
    if not known or not isinstance(content["model"], str):
        raise DataError(
            f"{path}: neither figures of `agelens evaluate --json` nor the cost of a training"
        )
    return content


def _measurement(path: Path, content: dict[str, Any]) -> Measurement:
    result = parse_evaluation(content, path)
    model = _card(result.model)
    if result.model_sha256 != model.sha256:
        raise DataError(f"{path}: measured another file than {result.model} is now")
    parts = [(name, list(filter(has_content, blocks))) for name, blocks in _parts(result)]
    parts = [(name, blocks) for name, blocks in parts if blocks]
    return Measurement(path, result, model, verdict(result), parts)


def _card(name: str) -> Card:
    model = AgeModel(name)
    about = model.metadata
    training = about.get("training", {})
    recipe = dict(training.get("recipe", {}))
    teacher = recipe.get("teacher", {})
    if not teacher.get("runs") and not teacher.get("models"):
        recipe.pop("teacher", None)
    rows = [(str(part), _plain(value)) for part, value in recipe.items() if _plain(value)]
    if training.get("averaged"):
        rows.append(("weights averaged of the runs", ", ".join(training["averaged"])))
    if "manifest" in training:
        rows.append(("digest of the manifest", str(training["manifest"])))
    if "validation_mae" in about.get("metrics", {}):
        rows.append(("MAE on validation crops, years", f"{about['metrics']['validation_mae']:.2f}"))
    size = model.path.stat().st_size
    return Card(
        words.model_label(name), model.path, model.digest, size, about, Table("", ("", ""), rows)
    )


def _files(models: list[Card]) -> Table:
    """What the model files are, side by side."""
    rows: list[tuple[str | int, ...]] = [
        ("SHA-256", *(model.sha256 for model in models)),
        ("bytes", *(model.bytes for model in models)),
    ]
    for key, name in ABOUT.items():
        rows.append((name, *(str(model.about.get(key, "–")) for model in models)))
    faces = [(model.about.get("calibration") or {}).get("faces", "–") for model in models]
    rows.append(("faces that it was calibrated on", *faces))
    return Table("", ("", *(f"`{model.name}`" for model in models)), rows)


def _plain(value: Any) -> str:
    """A part of a recipe in words; what is switched off is left out."""
    if isinstance(value, dict):
        own = {key.replace("_", " "): _plain(item) for key, item in value.items() if item}
        return ", ".join(f"{key} {text}" for key, text in own.items() if text)
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    return "" if value in (None, "none") else str(value)


def _parts(result: Evaluation) -> Iterator[tuple[str, Blocks]]:
    """What was measured, part after part."""
    accuracy: Blocks = [tables.overall(result), Text(words.NOTE)]
    groups: Blocks = []
    for topic, own in result.groups.items():
        table = tables.by_group(f"By {topic}", topic, own)
        (accuracy if topic == "age" else groups).append(table)
    accuracy.append(tables.by_group("By quality of the picture", "quality", result.quality))
    if result.bands is not None:
        accuracy.append(tables.bands(result.bands))
    yield "Accuracy", accuracy
    for topic, values in result.standardised.items():
        groups += [tables.standardised(topic, values), Text(words.widest(topic, values))]
    groups += [
        tables.by_group(f"By {topic}", topic, own)
        for topic, own in result.crossings.items()
        if "age" not in topic
    ]
    yield "Groups", groups
    if result.intervals is not None:
        yield "Intervals", [*tables.coverages(result.intervals)]
    for age, check in result.thresholds.items():
        first, last = check.near
        error = check.reliability.expected_calibration_error
        yield (
            f"Checks for age {age}",
            [
                tables.challenges(age, check),
                *tables.challenges_by_group(age, check),
                Text(words.lowest_challenge(check.lowest_challenge, f"all under {age}")),
                Text(
                    words.lowest_challenge(check.lowest_challenge_near, f"those {first} to {last}")
                ),
                tables.reliability(age, check),
                Text(f"Expected calibration error of that probability: {error:.3f}."),
            ],
        )
    if result.corruptions is not None:
        own_pictures, clean = result.corruptions.pictures, result.corruptions.clean.mae
        yield (
            "Bad conditions",
            [
                Text(f"{own_pictures:,} pictures; clean, they err by {clean:.2f} years."),
                tables.corruption_means(result.corruptions),
            ],
        )
    if result.compared is not None:
        yield "Comparison", [next(tables.comparison(result.model, result.compared))]


def _matched(
    costs: list[tuple[Path, dict[str, Any]]], models: list[Card]
) -> list[tuple[Path, dict[str, Any], Table]]:
    """Costs of the models' trainings, as tables."""
    names = {name for model in models for name in (model.name, model.about.get("name"))}
    matched = []
    for path, content in costs:
        if content["model"] not in names:
            raise DataError(f"{path}: is of {content['model']}, which no other file measures")
        if not isinstance(content[COST], dict):
            raise DataError(f"{path}: {COST} must map what was spent to how much")
        rows = [(key.replace("_", " "), str(value)) for key, value in content[COST].items()]
        matched.append((path, content, Table("", ("", ""), rows)))
    return matched


def _cell(value: str | int) -> str:
    """A cell of a Markdown table."""
    return (f"{value:,}" if isinstance(value, int) else value).replace("|", "\\|")

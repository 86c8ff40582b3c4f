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
from agelens.evaluation.journal import model_digest
from agelens.evaluation.metrics import SMALL_GROUP
from agelens.evaluation.report import tables
from agelens.evaluation.report.terminal import least_challenge, share, widest, years
from agelens.files import atomic_path
from agelens.pipeline.model import AgeModel
from agelens.reporting.page import Table, Text

COST = "training_cost"
"""Key of what a run cost, {"hours": …}, beside the ``model`` it is of and its ``command``."""
ABOUT = {
    "name": "name of the run", "version": "agelens that wrote it", "precision": "precision",
    "flip": "averaged with the mirror image", "size": "side of a crop, pixels",
    "licence": "licence",
}  # fmt: skip
"""What of a model file's metadata is told as it is."""
Blocks = list[Table | Text]


@dataclass(frozen=True)
class Card:
    """A model file as it describes itself.

    Attributes:
        name: a shipped name, or the file's.
        sha256: of the file.
        bytes: of the file.
        about: its metadata.
        training: how it came about, a row for each part of the recipe.
    """

    name: str
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
        report: its content.
        model: that was measured.
        parts: heading and blocks of each part.
        limits: what the figures warn of.
    """

    path: Path
    report: dict[str, Any]
    model: Card
    parts: list[tuple[str, Blocks]]
    limits: list[str]


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
    with atomic_path(output) as partial:
        partial.write_text(text.strip() + "\n", "utf-8")
    return output


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON") from error
    kinds: tuple[set[str], ...] = ({"model", "overall"}, {"model", COST})
    if not isinstance(content, dict) or not any(keys <= set(content) for keys in kinds):
        raise DataError(
            f"{path}: neither figures of `agelens evaluate --json` nor the cost of a training"
        )
    return content


def _measurement(path: Path, report: dict[str, Any]) -> Measurement:
    model = _card(str(report["model"]))
    if report.get("model_sha256", model.sha256) != model.sha256:
        raise DataError(f"{path}: measured another file than {report['model']} is now")
    try:
        return Measurement(path, report, model, list(_parts(report)), list(_limits(report)))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: is not whole: {type(error).__name__} {error}; measure again"
        ) from error


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
    return Card(tables.label(name), model_digest(name), size, about, Table("", ("", ""), rows))


def _files(models: list[Card]) -> Table:
    """What the model files are, side by side."""
    rows: list[tuple[str | int, ...]] = [
        ("SHA-256", *(model.sha256 for model in models)),
        ("bytes", *(model.bytes for model in models)),
    ]
    for key, name in ABOUT.items():
        rows.append((name, *(str(model.about.get(key, "–")) for model in models)))
    faces = [model.about.get("calibration", {}).get("faces", "–") for model in models]
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


def _parts(report: dict[str, Any]) -> Iterator[tuple[str, Blocks]]:
    """What was measured, part after part; what was not is left out."""
    accuracy: Blocks = [tables.overall(report), Text(tables.NOTE)]
    groups: Blocks = []
    for topic, own in report.get("groups", {}).items():
        table = tables.by_group(f"By {topic}", topic, own)
        (accuracy if topic == "age" else groups).append(table)
    if "quality" in report:
        accuracy.append(tables.by_group("By quality of the picture", "quality", report["quality"]))
    yield "Accuracy", accuracy
    for topic, own in report.get("standardised", {}).items():
        groups += [tables.standardised(topic, own), Text(widest(topic, own))]
    groups += [
        tables.by_group(f"By {topic}", topic, own)
        for topic, own in report.get("crossings", {}).items()
        if "age" not in topic
    ]
    if groups:
        yield "Groups", groups
    if "intervals" in report:
        yield "Intervals", [*tables.coverages(report["intervals"])]
    for age, own in report.get("thresholds", {}).items():
        first, last = own["near"]
        error = own["reliability"]["expected_calibration_error"]
        yield (
            f"Checks for age {age}",
            [
                *tables.checks(age, own),
                Text(least_challenge(own["least_challenge"], f"all under {age}")),
                Text(least_challenge(own["least_challenge_near"], f"those {first} to {last}")),
                tables.stated_shares(age, own),
                Text(f"Expected calibration error of that probability: {error:.3f}."),
            ],
        )
    if "corruptions" in report:
        own = report["corruptions"]
        clean = f"{own['pictures']:,} pictures; clean, they err by {own['clean']['mae']:.2f} years."
        yield "Bad conditions", [Text(clean), tables.corruption_means(own)]
    if "compared" in report:
        yield "Comparison", [next(tables.comparison(report["model"], report["compared"]))]


def _limits(report: dict[str, Any]) -> Iterator[str]:
    """What the figures warn of."""
    every = report.get("groups", {}).get("age", {})
    bands = {band: own for band, own in every.items() if own["count"] >= SMALL_GROUP} or every
    if bands:
        worst = max(bands, key=lambda band: bands[band]["mae"]["value"])
        old = max(bands, key=lambda band: bands[band]["bias"]["value"])
        young = min(bands, key=lambda band: bands[band]["bias"]["value"])
        yield f"Ages {worst} are missed most, by {years(bands[worst]['mae'])} years on average."
        yield (
            f"Bias differs with age: {bands[old]['bias']['value']:+.2f} years at {old}, "
            f"{bands[young]['bias']['value']:+.2f} at {young}."
        )
    for own in report.get("intervals", {}).get("levels", []):
        if own["nominal"] == report.get("coverage"):
            yield (
                f"Intervals of {own['nominal']:.0%} hold {share(own['observed'])} of the labels; "
                f"they are {own['width']:.1f} years wide on average."
            )
    kinds = report.get("corruptions", {}).get("kinds", {})
    cells = [
        (row["ratio"], kind.replace("_", " "), level)
        for kind, own in kinds.items()
        for level, row in own["severities"].items()
        if row["ratio"] is not None
    ]
    if cells:
        ratio, kind, level = max(cells)
        worst = f"{kind}, severity {level}"
        yield f"In bad conditions errors grow: {ratio:.2f} times at worst ({worst})."
    missed = f"{len(report['missed']):,} of {report['images']:,}"
    yield f"No face was found in {missed} pictures; they have no estimate, and no error above."


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

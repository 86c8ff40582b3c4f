"""The result of an evaluation, as one typed model: what every table, page and file is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from agelens.errors import DataError
from agelens.evaluation.measured import (
    BandFigures,
    Comparison,
    ConstantGuess,
    Corruptions,
    Groups,
    Intervals,
    Metrics,
    Part,
    Standardised,
    Threshold,
)
from agelens.files import Inputs, atomic_path

SCHEMA_VERSION: Final = 2
"""Of the JSON file; raised whenever a field changes its name or meaning."""


class Subject(Part):
    """What was measured: which file of a model, on which part of which dataset.

    `dataset` is the digest of the manifest; `benchmark` names a public dataset, where it is one.
    `calibrated_on` counts the pictures that the model's calibration was learnt from; it is None
    where the model file does not say.
    """

    model: str
    model_sha256: str
    dataset: str
    split: str
    benchmark: str | None = None
    calibrated_on: int | None = None
    command: str | None = None


class Evaluation(Subject):
    """The result of `agelens evaluate`.

    The figures are of labels in years, and `bands` of labels that are bands of ages; where every
    label is a band, `overall` counts no picture. Parts that were not asked for are None or empty:
    `intervals` (a model that was not calibrated), `thresholds` by legal age, `compared`,
    `corruptions`.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    agelens: str
    images: int
    missed: list[str]
    miss_rate: float
    nominal_coverage: float
    overall: Metrics
    bands: BandFigures | None = None
    constant_guess: ConstantGuess | None = None
    groups: dict[str, Groups] = Field(default_factory=dict)
    crossings: dict[str, Groups] = Field(default_factory=dict)
    standardised: dict[str, Standardised] = Field(default_factory=dict)
    quality: Groups = Field(default_factory=dict)
    whole_years: Metrics
    cumulative_score: list[float] = Field(default_factory=list)
    intervals: Intervals | None = None
    thresholds: dict[int, Threshold] = Field(default_factory=dict)
    compared: Comparison | None = None
    corruptions: Corruptions | None = None


def write_evaluation(result: Evaluation, path: Path, *, inputs: Inputs | None = None) -> None:
    """Write the JSON file, whole or not at all.

    Raises:
        OutputError: it cannot be written, or is one of the `inputs`.
    """
    with atomic_path(path, inputs=inputs) as partial:
        partial.write_text(result.model_dump_json(indent=2) + "\n", "utf-8")


def parse_evaluation(values: Any, path: Path) -> Evaluation:
    """Check the values of a JSON file of `agelens evaluate --json`.

    Args:
        values: what the file holds.
        path: of the file, for messages.

    Raises:
        DataError: they are not an evaluation, or one of another version of the format.
    """
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        kind = "an older agelens" if version is None else f"schema version {version}"
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        advice = "measure again, or "
        advice += "update agelens" if newer else "convert it with tools/convert_evaluation.py"
        raise DataError(
            f"{path}: is of {kind}, and this agelens reads version {SCHEMA_VERSION}: {advice}"
        )
    try:
        return Evaluation.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: is not whole: {place}: {first['msg']}; measure again") from error

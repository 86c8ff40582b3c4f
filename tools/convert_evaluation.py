"""Convert a result of agelens 0.1's `agelens evaluate --json` to the present form.

    python tools/convert_evaluation.py RESULT.json [RESULT.json ...] [--dataset DIR]

Names change; no figure does. With the prepared dataset that was measured, the error of a constant
guess is added, which needs the labels alone. Files are changed in place.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from agelens.data.manifest import Dataset
from agelens.evaluation.evaluate import constant_guess
from agelens.evaluation.known import public_name
from agelens.evaluation.results import SCHEMA_VERSION, Evaluation, write_evaluation
from agelens.reporting.command import recorded_command

RENAMED = {
    "least_challenge": "lowest_challenge",
    "least_challenge_near": "lowest_challenge_near",
    "share": "fraction",
    "from": "low",
    "to": "high",
    "stated": "mean_probability",
    "errors": "events",
    "interval_coverage": "nominal_coverage",
}


def converted(old: dict[str, Any]) -> dict[str, Any]:
    """The values of a file in the present form."""
    new: dict[str, Any] = _renamed(old)
    new["schema_version"] = SCHEMA_VERSION
    new["nominal_coverage"] = new.pop("coverage")
    new["command"] = recorded_command(shlex.split(new["command"]))
    for values in new["standardised"].values():
        gap = values["widest"]
        gap["worst"], gap["best"] = gap.pop("high"), gap.pop("low")
    if "compared" in new:
        new["compared"]["second"] = new["compared"].pop("with")
    if "corruptions" in new:
        for key in ("model", "split"):
            del new["corruptions"][key]  # they are those of the evaluation
        for kind in new["corruptions"]["kinds"].values():
            kind["unit"] = kind["unit"].replace("share of", "fraction of")
    return new


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):  # what is small follows from the count
        return {RENAMED.get(k, k): _renamed(v) for k, v in value.items() if k != "small"}
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def labels(dataset: Dataset, values: dict[str, Any]) -> pd.Series:
    """The labels of the pictures whose face was found."""
    if dataset.digest != values["dataset"]:
        raise SystemExit(f"{dataset.folder}: another dataset was measured: {values['dataset']}")
    rows = dataset.part(values["split"], missed=True)
    return rows["age"][~rows["path"].isin(values["missed"])].astype(float)


def main() -> None:
    """Convert the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--dataset", type=Path)
    options = parser.parse_args()
    dataset = None if options.dataset is None else Dataset.load(options.dataset)
    for path in options.results:
        values = converted(json.loads(path.read_text("utf-8")))
        if dataset is not None:
            guess = constant_guess(labels(dataset, values))
            values |= {"constant_guess": guess.model_dump()}
            values |= {"benchmark": public_name(dataset.manifest)}
        write_evaluation(Evaluation.model_validate(values), path)


if __name__ == "__main__":
    main()

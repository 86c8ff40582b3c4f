"""`agelens evaluate`: what a model file is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Folder, Jobs, app, progress_bar, updater


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A model file or a shipped model's name.")],
    data: Folder,
    split: Annotated[str, typer.Option(help="train, validation, calibration or test.")] = "test",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each picture's estimate (CSV).")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Measure a model file on a split, from the pictures' files, through the serving code."""
    from agelens.data.manifest import Dataset
    from agelens.evaluation.evaluate import evaluate as measure
    from agelens.evaluation.evaluate import predict_split
    from agelens.evaluation.report import print_report, write_json

    with progress_bar("Estimating") as bar:
        table = predict_split(model, Dataset.load(data), split, jobs=jobs, progress=updater(bar))
    report = {"model": model, "split": split} | measure(table)
    print_report(report)
    if predictions is not None:
        table[["path", "age", "gender", "ethnicity", "predicted"]].to_csv(predictions, index=False)
    if json_file is not None:
        write_json(report, json_file)

"""`agelens evaluate`: what a model file is worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Coverage, Folder, Jobs, app, progress_bar, updater

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A model file or a shipped model's name.")],
    data: Folder,
    split: Annotated[str, typer.Option(help="train, validation, calibration or test.")] = "test",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", dir_okay=False, help="Write every figure here."),
    ] = None,
    report_dir: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            file_okay=False,
            help="Write a page with figures here; what was estimated stays, too.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write each picture's estimate (CSV)."),
    ] = None,
    coverage: Coverage = 0.9,
    thresholds: Annotated[
        str,
        typer.Option(
            metavar="AGES",
            help="Legal ages whose checks are measured: 18,21. [default with --report: 18]",
        ),
    ] = "",
    bound: Annotated[
        float, typer.Option(min=0, max=1, help="Largest false positive rate of such a check.")
    ] = 0.05,
    compare: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model, on the same pictures.")
    ] = None,
    corruptions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Measure bad conditions too; finished ones stay here."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Pictures for the bad conditions. [default: all]")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Measure a model file on a split, from the pictures' files, through the serving code."""
    from agelens.data.manifest import Dataset
    from agelens.errors import DataError
    from agelens.evaluation.compare import compare as compare_models
    from agelens.evaluation.evaluate import evaluate as measure
    from agelens.evaluation.evaluate import predict_split
    from agelens.evaluation.journal import Journal, model_digest
    from agelens.evaluation.report.html import report_folder, write_page
    from agelens.evaluation.report.terminal import print_report, write_json
    from agelens.evaluation.robustness.run import evaluate_corruptions
    from agelens.evaluation.thresholds import parse_ages
    from agelens.pipeline.model import AgeModel
    from agelens.reporting.command import recorded_command

    if not thresholds and report_dir is not None:
        thresholds = "18"
    try:
        ages = parse_ages(thresholds) if thresholds else ()
    except ValueError as error:
        raise typer.BadParameter("write ages as 18,21,25", param_hint="--thresholds") from error
    dataset = Dataset.load(data)
    opened = AgeModel(model)
    if compare is not None:
        AgeModel(compare)  # what is wrong with it is said now, not after the first has run
    if report_dir is not None:
        report_folder(report_dir)

    def predict(name: str) -> pd.DataFrame:
        journal = None
        if report_dir is not None:
            journal = Journal(report_dir, name, dataset, split, coverage)
        with progress_bar(f"Estimating with {name}") as bar:
            return predict_split(
                name,
                dataset,
                split,
                bands=True,
                jobs=jobs,
                coverage=coverage,
                journal=journal,
                progress=updater(bar),
            )

    table = predict(model)
    in_years = table[table["age"].notna()]
    if in_years.empty and (report_dir or compare or corruptions):
        raise DataError(
            f"{data}: every label of the {split} part is a band of ages; --report, --compare and "
            "--corruptions need ages in years"
        )
    report = {
        "model": model,
        "model_sha256": model_digest(model),
        "dataset": dataset.digest,
        "split": split,
        "command": recorded_command(["agelens", *sys.argv[1:]]),
    } | measure(table, calibration=opened.calibration, thresholds=ages, bound=bound)
    if compare is not None:
        report["compared"] = {"with": compare} | compare_models(in_years, predict(compare))
    if corruptions is not None:
        with progress_bar("Corrupting") as bar:
            report["corruptions"] = evaluate_corruptions(
                model,
                dataset,
                split,
                folder=corruptions,
                sample=sample,
                jobs=jobs,
                progress=updater(bar),
            )
    print_report(report)
    if predictions is not None:
        columns = [
            "path",
            "source",
            "age",
            "age_low",
            "age_high",
            "gender",
            "ethnicity",
            "predicted",
        ]
        table[columns].to_csv(predictions, index=False)
    if json_file is not None:
        write_json(report, json_file)
    if report_dir is not None:
        typer.echo(str(write_page(report, in_years, dataset, report_dir)))

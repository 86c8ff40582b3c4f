"""`agelens evaluate`: how good a model file is."""

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
    details: Annotated[
        bool, typer.Option("--details", help="Print every table, with intervals for all groups.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Measure a model file on a split, from the pictures' files, through the serving code."""
    from agelens.cli.evaluation_output import print_evaluation
    from agelens.data.manifest import Dataset
    from agelens.errors import DataError
    from agelens.estimator import AgeEstimator
    from agelens.evaluation.compare import compare as compare_models
    from agelens.evaluation.evaluate import calibrated_on
    from agelens.evaluation.evaluate import evaluate as measure
    from agelens.evaluation.known import public_name
    from agelens.evaluation.predictions import predict_split
    from agelens.evaluation.report.html import report_files, report_folder, write_page
    from agelens.evaluation.results import Subject, write_evaluation
    from agelens.evaluation.robustness.run import evaluate_corruptions
    from agelens.evaluation.thresholds import parse_ages
    from agelens.files import Inputs, atomic_path
    from agelens.reporting.command import recorded_command

    if not thresholds and report_dir is not None:
        thresholds = "18"
    try:
        ages = parse_ages(thresholds) if thresholds else ()
    except ValueError as error:
        raise typer.BadParameter("write ages as 18,21,25", param_hint="--thresholds") from error
    if json_file is not None and json_file == predictions:
        raise typer.BadParameter("--json and --predictions cannot be one file")
    if sample is not None and corruptions is None:
        raise typer.BadParameter("--sample is for --corruptions DIR", param_hint="--sample")
    dataset = Dataset.load(data)
    # All that can be wrong with the arguments is said now, not after hours of estimating.
    estimators = {
        name: AgeEstimator(name, threads=1, coverage=coverage)
        for name in (model, compare)
        if name is not None
    }
    inputs = Inputs([*(one.model.path for one in estimators.values()), *dataset.files()])
    pages = [] if report_dir is None else report_files(report_folder(report_dir))
    inputs.refuse(json_file, predictions, *pages)

    rows = dataset.part(split, missed=True, bands=True)
    if len(rows) and rows["age"].isna().all() and (report_dir or compare or corruptions):
        raise DataError(
            f"{data}: every label of the {split} part is a band of ages; --report, --compare and "
            "--corruptions need ages in years"
        )

    def predict(name: str) -> pd.DataFrame:
        with progress_bar(f"Estimating with {name}") as bar:
            return predict_split(
                estimators[name],
                dataset,
                split,
                bands=True,
                jobs=jobs,
                folder=report_dir,
                progress=updater(bar),
            )

    table = predict(model)
    in_years = table[table["age"].notna()]
    compared = None if compare is None else compare_models(in_years, predict(compare), compare)
    measured = None
    if corruptions is not None:
        with progress_bar("Estimating in bad conditions") as bar:
            measured = evaluate_corruptions(
                estimators[model],
                dataset,
                split,
                folder=corruptions,
                sample=sample,
                jobs=jobs,
                progress=updater(bar),
            )
    opened = estimators[model]
    subject = Subject(
        model=model,
        model_sha256=opened.model.digest,
        dataset=dataset.digest,
        split=split,
        benchmark=public_name(dataset.manifest),
        calibrated_on=calibrated_on(opened.model, table),
        command=recorded_command(["agelens", *sys.argv[1:]]),
    )
    result = measure(
        table,
        subject,
        calibration=opened.calibration,
        thresholds=ages,
        bound=bound,
        compared=compared,
        corruptions=measured,
    )
    # Files first: what was computed is not lost if it cannot be printed.
    if json_file is not None:
        write_evaluation(result, json_file, inputs=inputs)
    if predictions is not None:
        labels = ["path", "source", "age", "age_low", "age_high", "gender", "ethnicity"]
        with atomic_path(predictions, inputs=inputs) as partial:
            table[[*labels, "predicted"]].to_csv(partial, index=False)
    page = (
        None
        if report_dir is None
        else write_page(result, in_years, dataset, report_dir, inputs=inputs)
    )
    print_evaluation(result, details=details)
    if page is not None:
        typer.echo(str(page))

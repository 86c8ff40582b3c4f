"""`agelens calibrate`: fit a model file's calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Folder, Jobs, app, progress_bar, updater


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="A model file; it is changed in place.")],
    data: Folder,
    splits: Annotated[
        list[str],
        typer.Option(
            "--split", help="Parts of the dataset that the model was not trained on; repeatable."
        ),
    ] = ["calibration"],  # noqa: B006 - Typer reads it
    jobs: Jobs = None,
) -> None:
    """Fit a model file's calibration on held-out faces: what makes its intervals hold."""
    from agelens.data.manifest import Dataset
    from agelens.evaluation.calibrate import calibrate as run

    with progress_bar("Estimating") as bar:
        fitted, _ = run(model, Dataset.load(data), splits=splits, jobs=jobs, progress=updater(bar))
    typer.echo(
        f"{model}: calibrated on {fitted.faces:,} faces, temperature {fitted.temperature:.3f}"
    )

"""`agelens predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Coverage, Crowd, Device, Jobs, MinScore, Model, Resume, RowFile, app
from agelens.cli.rows import OutputFormat


@app.command()
def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for a picture on stdin.")
    ],
    form: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="How the faces are printed.")
    ] = OutputFormat.TABLE,
    output: RowFile = None,
    resume: Resume = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write annotated copies of the pictures to this folder."),
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Only each picture's largest face.")
    ] = False,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    crowd: Crowd = False,
    model: Model = "light",
    device: Device = "auto",
    jobs: Jobs = None,
) -> None:
    """Print the age of every face in the pictures.

    Exit code: 0 when every picture was read, 1 when some were not, 2 for wrong usage, 130 after
    Ctrl-C.
    """
    from agelens.cli.run_pictures import Options
    from agelens.cli.run_pictures import predict as run

    options = Options(
        form=form,
        output=output,
        resume=resume,
        save=save,
        largest=largest,
        min_score=min_score,
        coverage=coverage,
        crowd=crowd,
        model=model,
        device=device,
        jobs=jobs,
    )
    raise typer.Exit(1 if run(paths, options) else 0)

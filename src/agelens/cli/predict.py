"""`agelens predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Coverage, Jobs, Model, app
from agelens.cli.pictures import OutputFormat


@app.command()
def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for a picture on stdin.")
    ],
    output: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="How the faces are printed.")
    ] = OutputFormat.TABLE,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write annotated pictures here.")
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Only each picture's largest face.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out faces that are less sure.")
    ] = 0.5,
    coverage: Coverage = 0.9,
    model: Model = "light",
    jobs: Jobs = None,
) -> None:
    """Print the age of every face in the pictures.

    Exit code: 0 when every picture was read, 1 when some were not, 2 for wrong usage.
    """
    from agelens.cli.pictures import predict as run

    failed = run(
        paths,
        output=output,
        save=save,
        largest=largest,
        min_score=min_score,
        coverage=coverage,
        model=model,
        jobs=jobs,
    )
    raise typer.Exit(1 if failed else 0)

"""`agelens decide`."""

from __future__ import annotations

from typing import Annotated

import typer

from agelens.cli.common import Crowd, Device, Jobs, Model, Resume, RowFile, app
from agelens.cli.rows import OutputFormat
from agelens.decide import AgeCheck


@app.command()
def decide(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for a picture on stdin.")
    ],
    age: Annotated[int, typer.Option(min=1, max=100, help="The legal age.")] = 18,
    challenge: Annotated[
        int,
        typer.Option(
            min=1, max=116, help="Faces estimated below this age are asked for a document."
        ),
    ] = 25,
    form: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="How the decisions are printed.")
    ] = OutputFormat.TABLE,
    output: RowFile = None,
    resume: Resume = False,
    largest: Annotated[
        bool, typer.Option("--largest", help="Only each picture's largest face.")
    ] = False,
    crowd: Crowd = False,
    model: Model = "light",
    device: Device = "auto",
    jobs: Jobs = None,
) -> None:
    """Check every face against a legal age: pass, or challenge (ask for a document).

    A pass is no proof of age. Read docs/thresholds.md before you use it.

    Exit code: 0 when every picture was read, whatever was decided; 1 when some were not, 2 for
    wrong usage.
    """
    from agelens.cli.run_pictures import Options, predict

    try:
        check = AgeCheck(age, challenge)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--challenge") from error
    options = Options(
        form=form,
        output=output,
        resume=resume,
        largest=largest,
        crowd=crowd,
        model=model,
        device=device,
        jobs=jobs,
        check=check,
    )
    raise typer.Exit(1 if predict(paths, options) else 0)

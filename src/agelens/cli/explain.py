"""`agelens explain`: which parts of a face its age comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import MinScore, Model, app


@app.command()
def explain(
    photo: Annotated[Path, typer.Argument(help="A picture with at least one face.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE",
            help="A folder for a picture of each face, or a .png or .jpg file for the largest.",
        ),
    ],
    min_score: MinScore = 0.5,
    model: Model = "light",
) -> None:
    """Draw how many years each part of a face adds to the estimate."""
    from agelens.explain import write_explanations

    for path in write_explanations(photo, output, model=model, min_score=min_score):
        typer.echo(str(path))

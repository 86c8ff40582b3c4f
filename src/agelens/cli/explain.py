"""`agelens explain`: where in a face its age comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Model, app


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
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out faces that are less sure.")
    ] = 0.5,
    model: Model = "light",
) -> None:
    """Draw where in each face the age comes from, in years."""
    from agelens.explain import write_explanations

    for path in write_explanations(photo, output, model=model, min_score=min_score):
        typer.echo(str(path))

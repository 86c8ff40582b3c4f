"""`agelens card`: the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import app


@app.command()
def card(
    measured: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="Of `agelens evaluate --json`; costs of training."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="The card.")
    ],
) -> None:
    """Write a model card from measurements and from what the model files say of themselves."""
    from agelens.evaluation.report.card import write_card

    typer.echo(str(write_card(measured, output)))

"""`agelens models`: the models inside the package."""

from __future__ import annotations

import typer

from agelens.cli.common import app


@app.command()
def models() -> None:
    """List the models inside, with their size, their error on held-out faces, and their licence."""
    from agelens.pipeline.model import SHIPPED, AgeModel

    for name in SHIPPED:
        with AgeModel(name, threads=1) as model:
            error = model.metadata["metrics"]["validation_mae"]
            size = model.path.stat().st_size / 1e6
            typer.echo(f"{name}: {size:.0f} MB, errs by {error:.2f} years on the validation faces")
            typer.echo(f"    reads crops of {model.size} pixels; {model.metadata['licence']}")

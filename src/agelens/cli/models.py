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
            metrics = model.metadata["metrics"]
            errors = metrics.get("validation_by_source") or {
                "all sources": metrics["validation_mae"]  # of files that were exported before 0.2.0
            }
            found = ", ".join(f"{source} {error:.2f}" for source, error in errors.items())
            size = model.path.stat().st_size / 1e6
            typer.echo(f"{name}: {size:.0f} MB; mean error on validation faces, in years: {found}")
            typer.echo(f"    reads crops of {model.size} pixels; {model.metadata['licence']}")

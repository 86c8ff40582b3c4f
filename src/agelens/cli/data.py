"""`agelens data …`: prepare a dataset, and look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Folder, Jobs, Model, app, progress_bar, updater

data_app = typer.Typer(help="Prepare a dataset.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("prepare")
def data_prepare(
    source: Annotated[
        Path, typer.Argument(help="UTKFace, or any pictures with --labels: a folder, tar or zip.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table of labels, CSV or Parquet. [default: names]"),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAME=COLUMN,…",
            help="What the table calls path, age, gender or ethnicity, where it is not that.",
        ),
    ] = "",
    jobs: Jobs = None,
) -> None:
    """Look at every file, find faces and duplicates, split, and write a manifest."""
    from agelens.data.labels import parse_columns
    from agelens.data.prepare import prepare, summary
    from agelens.parallel import default_jobs

    with progress_bar("Scanning") as bar:
        dataset = prepare(
            source,
            output,
            jobs=jobs or default_jobs(),
            labels=labels,
            columns=parse_columns(columns),
            progress=updater(bar),
        )
    _print_counts(summary(dataset.manifest, dataset.unmatched))
    typer.echo(f"{output / 'manifest.parquet'} (digest {dataset.digest[:12]})")


@data_app.command("explore")
def data_explore(
    data: Folder,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the report goes.")
    ],
    model: Model = "light",
    recipe: Annotated[
        Path | None,
        typer.Option(help="Whose answer to imbalance is shown. [default: the model's own]"),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Write a report on a dataset: what it is, and what is wrong with it."""
    from agelens.data.manifest import Dataset
    from agelens.explore.report import explore
    from agelens.parallel import default_jobs

    values = None
    if recipe is not None:
        from agelens.training.recipe import load_recipe

        values = load_recipe(recipe).model_dump()
    with progress_bar("Looking") as bar:
        page = explore(
            Dataset.load(data),
            output,
            model=model,
            recipe=values,
            jobs=jobs or default_jobs(),
            progress=updater(bar),
        )
    typer.echo(str(page))


def _print_counts(counts: dict[str, dict[str, int]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", "count", box=None, show_header=False)
    for topic, values in counts.items():
        for name, value in values.items():
            table.add_row(topic, name, f"{value:,}")
            topic = ""
        table.add_section()
    Console().print(table)

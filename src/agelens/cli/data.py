"""`agelens data …`: prepare a dataset, and look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Folder, Jobs, Model, app, progress_bar, updater

if TYPE_CHECKING:
    from agelens.data.manifest import Dataset

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
            help="What the table calls path, age (or age_low and age_high, the ends of a band), "
            "gender, ethnicity or split, where it is not that.",
        ),
    ] = "",
    name: Annotated[
        str | None, typer.Option(help="What the set is called. Needed with --labels.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="On which terms it may be used. Needed with --labels.")
    ] = None,
    aligned: Annotated[
        bool,
        typer.Option(
            "--aligned",
            help="With --labels: all pictures are crops with the face at the same place; learn the "
            "alignment template from them, instead of taking that of `light`.",
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over another dataset in the folder.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Look at every file, find faces and duplicates, split, and write a manifest."""
    from agelens.data.labels import parse_columns
    from agelens.data.manifest import Source
    from agelens.data.prepare import prepare
    from agelens.errors import DataError
    from agelens.parallel import default_jobs

    if labels is not None and not (name and licence):
        raise DataError(
            "say what the pictures are called and on which terms they may be used, with --name and "
            "--licence: the manifest keeps it, and every model that learns from it says so"
        )

    with progress_bar("Scanning") as bar:
        dataset = prepare(
            source,
            output,
            jobs=jobs or default_jobs(),
            about=Source(name, licence) if name and licence else None,
            labels=labels,
            columns=parse_columns(columns),
            aligned=aligned,
            replace=replace,
            progress=updater(bar),
        )
    _print_dataset(dataset)


@data_app.command("join")
def data_join(
    datasets: Annotated[list[Path], typer.Argument(help="Prepared datasets, two or more.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")],
    jobs: Jobs = None,
) -> None:
    """Join datasets into one, without pictures that resemble a held-out picture of another."""
    from agelens.data.join import join
    from agelens.data.manifest import Dataset
    from agelens.parallel import default_jobs

    prepared = [Dataset.load(folder) for folder in datasets]
    with progress_bar("Comparing") as bar:
        joined = join(prepared, output, jobs=jobs or default_jobs(), progress=updater(bar))
    _print_dataset(joined)


@data_app.command("explore")
def data_explore(
    data: Folder,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the report goes.")
    ],
    model: Model = "light",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe's name or file, whose answer to imbalance is shown. "
            "[default: the model's own]"
        ),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Write a report on a dataset: what it is, and what is wrong with it."""
    from agelens.data.manifest import Dataset
    from agelens.explore.report import explore
    from agelens.parallel import default_jobs

    values = None
    if recipe is not None:
        from agelens.training.recipe_files import load_recipe

        values = load_recipe(recipe).model_dump()
    with progress_bar("Measuring") as bar:
        page = explore(
            Dataset.load(data),
            output,
            model=model,
            recipe=values,
            jobs=jobs or default_jobs(),
            progress=updater(bar),
        )
    typer.echo(str(page))


def _print_dataset(dataset: Dataset) -> None:
    from rich.console import Console
    from rich.table import Table

    from agelens.data.prepare import summary

    counts = summary(dataset.manifest, dataset.unmatched)
    table = Table("", "", "count", box=None, show_header=False)
    for topic, values in counts.items():
        for name, value in values.items():
            table.add_row(topic, name, f"{value:,}")
            topic = ""
        table.add_section()
    Console().print(table)
    typer.echo(f"{dataset.folder / 'manifest.parquet'} (digest {dataset.digest[:12]})")

"""What the commands share: the app itself, options that several have, and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    help="Estimate the age of faces: in pictures, offline, in milliseconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str, typer.Option(envvar="AGELENS_MODEL", help="A shipped model's name or a model file.")
]
Device = Annotated[
    str,
    typer.Option(envvar="AGELENS_DEVICE", help="auto, cpu, cuda, coreml …; see `agelens doctor`."),
]
Coverage = Annotated[
    float, typer.Option(min=0.01, max=0.99, help="Fraction of true ages inside the intervals.")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Pictures in work at once. [default: one a processor]")
]
RowFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        dir_okay=False,
        help="Write the rows here, as its ending says: .csv, .jsonl or .parquet.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="With -o: go on with a run that was cut off.")
]
MinScore = Annotated[
    float,
    typer.Option(min=0, max=1, help="Least detector score of a face; the others are left out."),
]
Crowd = Annotated[
    bool,
    typer.Option(
        "--crowd",
        help="Also find small faces, as in a crowd; finding takes about five times as long.",
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A prepared dataset.")]


def progress_bar(title: str) -> Progress:
    """A bar on stderr, to be used as a context."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        f"{title}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
    )
    bar.add_task(title, total=None)
    return bar


def updater(bar: Progress) -> Callable[[int, int], None]:
    """What tells the bar how much is done."""
    return lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total)

"""`agelens benchmark`: how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agelens.cli.common import Model, app, progress_bar, updater

MAX_THREADS = 1024


@app.command()
def benchmark(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or globs. [default: a drawn face, 640 x 640]"),
    ] = None,
    model: Model = "light",
    threads: Annotated[
        str,
        typer.Option(
            metavar="N,N", help="Numbers of threads to measure. [default: 1, 2 and one a processor]"
        ),
    ] = "",
    repeat: Annotated[
        int, typer.Option(min=1, max=100_000, help="How often each picture is estimated.")
    ] = 50,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")
    ] = None,
) -> None:
    """Measure how fast this machine is: each step, pictures a second, a fresh process.

    Only an idle machine gives figures to keep. Pictures of the kind and size that you have tell
    most: large ones are searched in tiles, and each face takes time of its own.
    """
    from agelens.benchmark.run import benchmark as measure
    from agelens.files import Inputs, atomic_path
    from agelens.pictures import find_pictures
    from agelens.pipeline.model import file_of

    counts = _counts(threads)
    read = [picture.name for path in pictures or () for picture in find_pictures(path)]
    inputs = Inputs([*read, file_of(model)])
    inputs.refuse(json_file)
    with progress_bar("Measuring") as bar:
        report = measure(
            pictures or (),
            model=model,
            threads=counts,
            repeat=repeat,
            progress=updater(bar),
        )
    _print(report)
    if json_file is not None:
        with atomic_path(json_file, inputs=inputs) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _counts(text: str) -> tuple[int, ...]:
    """The numbers of "1,2,4"."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_THREADS for part in parts):
        raise typer.BadParameter(
            f"write numbers from 1 to {MAX_THREADS} as 1,2,4", param_hint="--threads"
        )
    return tuple(int(part) for part in parts)


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, about = Console(), report["machine"]
    count, faces = len(report["pictures"]), sum(one["faces"] for one in report["pictures"])
    what = report["pictures"][0]["path"] if count == 1 else f"{count} pictures"
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    console.print(f"{about['processor']}, {about['processors']} processors; {versions}")
    shown = f"{faces} face{'s' * (faces != 1)}"
    console.print(f"{what} ({shown}), model {report['model']}, {report['repeat']} times")
    if about["load_before"] and about["load_before"] > 0.3:
        console.print(f"The machine was busy (load {about['load_before']}): it is faster idle.")

    steps = Table(title="Milliseconds a picture; the steps on one thread", title_justify="left")
    steps.add_column("step")
    for name in report["milliseconds"]["total"]:
        steps.add_column(name, justify="right")
    for name, figures in report["milliseconds"].items():
        if name == "total":
            steps.add_section()
        steps.add_row(name, *(f"{value:.2f}" for value in figures.values()))
    values = report["as_it_comes"]["milliseconds"]["total"].values()
    steps.add_row("threads at will", *(f"{value:.2f}" for value in values))
    console.print(steps)

    rates = Table(title="Pictures a second", title_justify="left")
    for threads in report["images_per_second"]:
        rates.add_column(f"{threads} thread{'s' * (threads != '1')}", justify="right")
    rates.add_row(*(f"{rate:.1f}" for rate in report["images_per_second"].values()))
    console.print(rates)

    fresh = Table(title="A fresh process, one picture", title_justify="left")
    for column in ("", "milliseconds (min - max)", "peak MiB (min - max)"):
        fresh.add_column(column)
    cells = [_spread(report["fresh_process"][key]) for key in ("milliseconds", "peak_mib")]
    fresh.add_row("agelens predict", *cells)
    console.print(fresh)


def _spread(figures: dict[str, float] | None) -> str:
    if figures is None:
        return "unknown here"
    return f"{figures['median']:.1f} ({figures['min']:.1f} - {figures['max']:.1f})"

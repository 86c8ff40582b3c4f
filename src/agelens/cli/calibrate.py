"""`agelens calibrate`: fit a model file's calibration, or adapt it to one's own faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Folder, Jobs, app, progress_bar, updater

if TYPE_CHECKING:
    from agelens.evaluation.calibrate import Calibrated


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="A model file or a shipped model's name.")],
    data: Folder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="The model file to write. [default: MODEL, changed in place]",
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="Parts of the dataset that the model was not trained on; repeatable. [default: "
            "calibration; for sets it was not trained on, all but test, or all below 1,000 faces]",
        ),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Calibrate a model's intervals on 100 or more held-out faces."""
    from agelens.data.manifest import Dataset
    from agelens.evaluation.calibrate import calibrate as run
    from agelens.pipeline.model import SHIPPED

    if model in SHIPPED and output is None:
        raise typer.BadParameter(
            f"{model} ships with agelens and is not changed; name the file to write with -o FILE",
            param_hint="MODEL",
        )
    with progress_bar("Estimating") as bar:
        done = run(
            model,
            Dataset.load(data),
            output=output,
            splits=splits or (),
            jobs=jobs,
            progress=updater(bar),
        )
    _print(done, str(output or model))


def _print(done: Calibrated, written: str) -> None:
    from rich.console import Console

    from agelens.cli.tables import print_table, print_text, print_verdict
    from agelens.evaluation.report import tables
    from agelens.evaluation.report.verdict import gained
    from agelens.reporting.page import Verdict

    console = Console()
    parts = ", ".join(done.splits)
    kind = "calibration adapted to" if done.adapted else "calibrated on"
    print_text(f"{written}: {kind} {len(done.found):,} faces ({parts})\n", console)
    print_verdict(Verdict([gained(done.gain)]), console)
    print_table(tables.gain(done.gain), console)

"""`agelens finetune`: a shipped model on one's own pictures."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Folder, Jobs, app, progress_bar, updater
from agelens.cli.training import RUNS, Accelerator, Overrides, interrupted, line


@app.command()
def finetune(
    data: Folder,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", dir_okay=False, help="The model file to write."
        ),
    ],
    recipe: Annotated[
        str, typer.Option(help="A recipe's name or TOML file, which extends fine-tune.")
    ] = "fine-tune",
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run. [default: runs/NAME of FILE]"),
    ] = None,
    overrides: Overrides = None,
    accelerator: Accelerator = "auto",
    jobs: Jobs = None,
) -> None:
    """Fine-tune `light` on your own pictures (about 350 or more) and compare the two."""
    from rich.console import Console

    from agelens.cli.tables import print_table, print_text, print_verdict
    from agelens.data.manifest import Dataset
    from agelens.evaluation.finetune import BEFORE
    from agelens.evaluation.finetune import finetune as run_all
    from agelens.evaluation.report import tables
    from agelens.evaluation.report.verdict import gained
    from agelens.files import Inputs
    from agelens.reporting.page import Verdict
    from agelens.training.recipe_files import load_recipe, recipe_file

    chosen, dataset = load_recipe(recipe, tuple(overrides or ())), Dataset.load(data)
    Inputs([recipe_file(recipe)]).refuse(output)
    folder = run or RUNS / output.stem
    bar = progress_bar("Fine-tuning")
    with bar if bar.console.is_terminal else nullcontext(), interrupted(folder):
        done = run_all(
            chosen,
            dataset,
            output,
            run=folder,
            accelerator=accelerator,
            jobs=jobs,
            progress=updater(bar),
            report=lambda epoch: bar.console.print(line(epoch), highlight=False),
        )
    console = Console()
    print_text(
        f"{output}: fine-tuned on {done.learnt:,} faces, calibrated on {done.calibrated:,}; "
        f"compared with {BEFORE} on {done.compared:,}\n",
        console,
    )
    print_verdict(Verdict([gained(done.gain)]), console)
    print_table(tables.gain(done.gain), console)

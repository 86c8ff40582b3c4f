"""`agelens train`, `recipes`, `average`, `export`: from a recipe to a model file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import app, progress_bar, updater

if TYPE_CHECKING:
    from agelens.training.epochs import Epoch

RUNS = Path("runs")
INTERRUPTED = 130
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe.")
]
Accelerator = Annotated[str, typer.Option(help="cpu, gpu, or auto: a GPU where there is one.")]


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe: a name that `agelens recipes` lists, or a TOML file."),
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="A prepared dataset.")],
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run. [default: runs/NAME]"),
    ] = None,
    overrides: Overrides = None,
    accelerator: Accelerator = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Devices on each node. [default: all GPUs]")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, each started by torchrun.")] = 1,
) -> None:
    """Train a recipe, or go on with its run where it was cut off."""
    from lightning.pytorch.utilities import rank_zero_only

    from agelens.data.manifest import Dataset
    from agelens.training.fit import fit
    from agelens.training.recipe_files import load_recipe

    chosen = load_recipe(recipe, tuple(overrides or ()))
    folder = run or RUNS / chosen.name
    dataset = Dataset.load(data)
    bar = progress_bar("Steps")
    with bar if bar.console.is_terminal else nullcontext(), interrupted(folder):
        best = fit(
            chosen,
            dataset,
            folder,
            progress=updater(bar),
            report=lambda epoch: bar.console.print(line(epoch), highlight=False),
            accelerator=accelerator,
            devices=devices or "auto",
            nodes=nodes,
        )
    rank_zero_only(typer.echo)(f"{best}: export it with `agelens export {best} -o model.onnx`")


@contextmanager
def interrupted(folder: Path) -> Iterator[None]:
    """A block in which Ctrl-C says how to go on with the run of this folder."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Cut off. The same command goes on from {folder}.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def line(epoch: Epoch) -> str:
    """What is told of an epoch."""
    minutes, seconds = divmod(round(epoch.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"epoch {epoch.number:>{len(str(epoch.epochs))}} of {epoch.epochs}: "
        f"error {epoch.error:.2f} years, best {epoch.best:.2f}, "
        f"{epoch.images_per_s:.0f} images/s, {hours}:{minutes:02}:{seconds:02} left"
    )


@app.command()
def recipes() -> None:
    """List the recipes that ship, with a line on each."""
    from rich.console import Console
    from rich.table import Table

    from agelens.training.recipe_files import load_recipe, shipped_recipes

    table = Table(box=None, show_header=False, pad_edge=False)
    for name in shipped_recipes():
        table.add_row(name, load_recipe(name).summary)
    Console(highlight=False, markup=False).print(table)


@app.command()
def average(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoints of one architecture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write.")],
) -> None:
    """Average runs that went on from one another, weight by weight."""
    from agelens.training.average import average as run

    run(checkpoints, output)
    typer.echo(str(output))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.ckpt of a run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A prepared dataset. [default: the one it learnt from]"),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirror image.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise to 8 bits.")] = False,
) -> None:
    """Write a checkpoint as the one model file that everything else uses."""
    from agelens.training.export import export as run

    with progress_bar("Exporting") as bar:
        difference = run(checkpoint, output, data, flip=flip, int8=int8, progress=updater(bar))
    typer.echo(f"{output}: within {difference:.1e} years of torch")

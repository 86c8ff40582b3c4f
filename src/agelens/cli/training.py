"""`agelens train`, `average`, `export`: from a recipe to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import app


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as configs/lite2.toml.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="A prepared dataset.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. [default: ~/.cache/agelens/runs/NAME]"),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe.")
    ] = None,
    accelerator: Annotated[
        str, typer.Option(help="cpu, gpu, or auto: a GPU where there is one.")
    ] = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Devices on each node. [default: all GPUs]")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, each started by torchrun.")] = 1,
) -> None:
    """Train a recipe, or go on with its run where it was cut off."""
    from lightning.pytorch.utilities import rank_zero_only

    from agelens.data.manifest import Dataset
    from agelens.training.fit import fit
    from agelens.training.recipe import load_recipe

    chosen = load_recipe(recipe, tuple(overrides or ()))
    folder = run or Path.home() / ".cache" / "agelens" / "runs" / chosen.name
    best = fit(
        chosen,
        Dataset.load(data),
        folder,
        accelerator=accelerator,
        devices=devices or "auto",
        nodes=nodes,
    )
    rank_zero_only(typer.echo)(f"{best}: export it with `agelens export {best} -o model.onnx`")


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

    difference = run(checkpoint, output, data, flip=flip, int8=int8)
    typer.echo(f"{output}: within {difference:.1e} years of torch")

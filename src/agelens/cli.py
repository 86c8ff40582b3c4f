"""The command line: each command parses, calls once, prints. Heavy imports wait for it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens import __version__
from agelens.errors import AgelensError, MissingExtraError
from agelens.predict import OutputFormat

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    help="Estimate the age of faces: in pictures, offline, in milliseconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Prepare a dataset.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Model = Annotated[str, typer.Option(help="A shipped model's name or a model file.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Pictures in work at once. [default: one a processor]")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A prepared dataset.")]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"agelens {__version__}")
        raise typer.Exit


@app.command()
def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for a picture on stdin.")
    ],
    output: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="How the faces are printed.")
    ] = OutputFormat.TABLE,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write annotated pictures here.")
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Only each picture's largest face.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out faces that are less sure.")
    ] = 0.5,
    model: Model = "default",
    jobs: Jobs = None,
) -> None:
    """Print the age of every face in the pictures.

    Exit code: 0 when every picture was read, 1 when some were not, 2 for wrong usage.
    """
    from agelens.predict import predict as run

    failed = run(
        paths,
        output=output,
        save=save,
        largest=largest,
        min_score=min_score,
        model=model,
        jobs=jobs,
    )
    raise typer.Exit(1 if failed else 0)


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
    from agelens.batch import default_jobs
    from agelens.data.labels import parse_columns
    from agelens.data.prepare import prepare, summary

    with _progress("Scanning") as bar:
        dataset = prepare(
            source,
            output,
            jobs=jobs or default_jobs(),
            labels=labels,
            columns=parse_columns(columns),
            progress=_updater(bar),
        )
    _print_counts(summary(dataset.manifest, dataset.unmatched))
    typer.echo(f"{output / 'manifest.parquet'} (digest {dataset.digest[:12]})")


@data_app.command("explore")
def data_explore(
    data: Folder,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the report goes.")
    ],
    model: Model = "default",
    recipe: Annotated[
        Path | None,
        typer.Option(help="Whose answer to imbalance is shown. [default: the model's own]"),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Write a report on a dataset: what it is, and what is wrong with it."""
    from agelens.batch import default_jobs
    from agelens.data.explore.report import explore
    from agelens.data.manifest import Dataset

    values = None
    if recipe is not None:
        from agelens.training.recipe import load_recipe

        values = load_recipe(recipe).model_dump()
    with _progress("Looking") as bar:
        page = explore(
            Dataset.load(data),
            output,
            model=model,
            recipe=values,
            jobs=jobs or default_jobs(),
            progress=_updater(bar),
        )
    typer.echo(str(page))


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
def evaluate(
    model: Annotated[str, typer.Argument(help="A model file or a shipped model's name.")],
    data: Folder,
    split: Annotated[str, typer.Option(help="train, validation, calibration or test.")] = "test",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each picture's estimate (CSV).")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Measure a model file on a split, from the pictures' files, through the serving code."""
    from agelens.data.manifest import Dataset
    from agelens.evaluation.evaluate import evaluate as measure
    from agelens.evaluation.evaluate import predict_split
    from agelens.evaluation.report import print_report, write_json

    with _progress("Estimating") as bar:
        table = predict_split(model, Dataset.load(data), split, jobs=jobs, progress=_updater(bar))
    report = {"model": model, "split": split} | measure(table)
    print_report(report)
    if predictions is not None:
        table[["path", "age", "gender", "ethnicity", "predicted"]].to_csv(predictions, index=False)
    if json_file is not None:
        write_json(report, json_file)


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


def _progress(title: str) -> Progress:
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


def _updater(bar: Progress) -> Callable[[int, int], None]:
    return lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total)


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


def main() -> None:
    """The `agelens` command. Errors become a sentence and an exit code here, and only here."""
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        app()
    except AgelensError as error:
        typer.echo(f"agelens: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("agelens"):
            raise
        missing = MissingExtraError(
            f"this command needs {error.name}: pip install 'agelens[train]'"
        )
        typer.echo(f"agelens: {missing}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

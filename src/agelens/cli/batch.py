"""`agelens batch`."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Coverage, Device, MinScore, Model, app

if TYPE_CHECKING:
    from agelens.batch import Status


class Engine(enum.StrEnum):
    """Who shares out the work."""

    LOCAL = "local"
    RAY = "ray"


@app.command()
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders, globs, addresses such as s3://bucket/folder; tars, Parquet and CSV "
            "files; or - for a list of paths and addresses on stdin.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="A new folder or address.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off.")
    ] = False,
    column: Annotated[
        str | None,
        typer.Option(
            help="Of a Parquet or CSV file: the pictures' paths, addresses or (Parquet) bytes."
        ),
    ] = None,
    at_least: Annotated[
        str, typer.Option(metavar="AGES", help="Ages, as in 18,21: adds a column for each.")
    ] = "",
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write copies with boxes and ages, too.")
    ] = False,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Read public buckets without credentials.")
    ] = False,
    shard_size: Annotated[
        int, typer.Option(min=1, help="Pictures whose rows are written together, at most.")
    ] = 1000,
    engine: Annotated[
        Engine, typer.Option(help="Who shares out the work: this machine, or Ray.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster: auto, ray://HOST:10001. [default: start a local Ray]"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that estimate. [default: one a processor]"),
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="With Ray: GPUs of each process, as 1 or 0.25.")
    ] = 0,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to keep retrying a store that does not answer.")
    ] = 180.0,
    report_every: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds between log lines when stderr is not a terminal."),
    ] = 60.0,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    model: Model = "light",
    device: Device = "auto",
) -> None:
    """Estimate the ages in very many pictures, and write Parquet files.

    Exit code: 0 when every picture was read, 1 when some were not or a store did not answer, 2 for
    wrong usage, 130 after Ctrl-C.
    """
    from agelens.batch import run

    if engine is Engine.LOCAL and (address or gpus):
        raise typer.BadParameter("only with --engine ray", param_hint="--address, --gpus")
    shown = sys.stderr.isatty()
    try:
        counts = run(
            inputs,
            output,
            resume=resume,
            engine=engine.value,
            address=address,
            jobs=jobs,
            gpus=gpus,
            column=column,
            lines=sys.stdin,
            shard_size=shard_size,
            model=model,
            device=device,
            coverage=coverage,
            min_score=min_score,
            at_least=_ages(at_least),
            annotate=annotate,
            anonymous=anonymous,
            patience=patience,
            report=_show if shown else _log,
            report_every=0.5 if shown else report_every,
        )
    except KeyboardInterrupt:
        sys.stderr.write("\nagelens: stopped; the same command with --resume goes on from there\n")
        raise
    if shown:
        sys.stderr.write("\r\033[K")
    sys.stderr.write(
        f"agelens: {output}: {counts.faces:,} faces in {counts.pictures:,} pictures, "
        f"{counts.failed:,} failed\n"
    )
    if counts.unfinished:
        sys.stderr.write(
            f"agelens: a store did not answer, so {counts.unfinished:,} shards are missing; "
            "run the same command with --resume\n"
        )
    raise typer.Exit(1 if counts.failed or counts.unfinished else 0)


def _ages(text: str) -> list[int]:
    try:
        return sorted({int(age) for age in text.split(",") if age.strip()})
    except ValueError:
        raise typer.BadParameter("give ages as in 18,21", param_hint="--at-least") from None


def _show(status: Status) -> None:
    left = ""
    if status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        left = f", {minutes // 60}:{minutes % 60:02}:{seconds:02} left"
    failed = f", {status.failed:,} failed" if status.failed else ""
    sys.stderr.write(
        f"\r{status.pictures:,} of {status.listed:,} pictures, "
        f"{status.per_second:.1f} a second{failed}{left}\033[K"
    )
    sys.stderr.flush()


def _log(status: Status) -> None:
    sys.stderr.write(f"{json.dumps(asdict(status))}\n")
    sys.stderr.flush()

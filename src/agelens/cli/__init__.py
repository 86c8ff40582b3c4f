"""The command line: each command parses, calls once, prints. Heavy imports wait for it."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from agelens import __version__
from agelens.cli import (
    benchmark,
    calibrate,
    card,
    data,
    decide,
    evaluation,
    explain,
    export_web,
    predict,
    serve,
    training,
    video,
)
from agelens.cli.common import app
from agelens.errors import AgelensError, MissingExtraError

__all__ = [
    "app",
    "benchmark",
    "calibrate",
    "card",
    "data",
    "decide",
    "evaluation",
    "explain",
    "export_web",
    "main",
    "predict",
    "serve",
    "training",
    "video",
]
EXTRAS = {
    "video": ("av", "supervision", "trackers"),
    "web": (
        "fastapi", "httpcore2", "prometheus_client", "pydantic_settings", "python_multipart",
        "starlette", "uvicorn",
    ),
}  # fmt: skip
"""What the extras bring besides what "train" does, by the name that is imported."""


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"agelens {__version__}")
        raise typer.Exit


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
        extra = next((name for name, own in EXTRAS.items() if error.name in own), "train")
        missing = MissingExtraError(
            f"this command needs {error.name}: pip install 'agelens[{extra}]'"
        )
        typer.echo(f"agelens: {missing}", err=True)
        sys.exit(1)

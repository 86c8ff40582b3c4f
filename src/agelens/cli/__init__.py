"""The command line: each command parses, calls once, prints. Heavy imports wait for it."""

from __future__ import annotations

import io
import os
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from agelens import __version__
from agelens.cli.common import app as _app
from agelens.errors import AgelensError, MissingExtraError
from agelens.files import on_one_line

__all__ = ["app", "main"]
MODULES = {
    "average": "training", "batch": "batch", "benchmark": "benchmark", "calibrate": "calibrate",
    "card": "card", "data": "data", "decide": "decide", "doctor": "doctor",
    "evaluate": "evaluation", "explain": "explain", "export": "training",
    "export-web": "export_web", "finetune": "finetune", "models": "models", "predict": "predict",
    "recipes": "training", "serve": "serve", "train": "training", "video": "video",
    "webcam": "video",
}  # fmt: skip
"""The module of each command; only that of the command that is run is imported."""
EXTRAS = {
    "batch": ("boto3", "botocore", "fsspec", "obstore", "ray", "tenacity"),
    "video": ("av", "supervision", "trackers"),
    "web": (
        "fastapi", "httpcore2", "httptools", "prometheus_client", "pydantic_settings",
        "python_multipart", "starlette", "uvicorn",
    ),
}  # fmt: skip
"""What the extras bring besides what "train" does, by the name that is imported."""


INTERRUPTED = 130
CLOSED_PIPE = 141
"""Exit codes after Ctrl-C, and when whoever reads stdout has stopped, as shells give them."""


def load(command: str = "") -> typer.Typer:
    """The app with this command, or with all commands where there is none of this name."""
    modules = [MODULES[command]] if command in MODULES else sorted(set(MODULES.values()))
    for module in modules:
        import_module(f"agelens.cli.{module}")
    return _app


def __getattr__(name: str) -> Any:
    """`app` has all commands."""
    if name == "app":
        return load()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _silence() -> None:
    """What still waits for stdout cannot be written, and is not tried again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _closed() -> NoReturn:
    _silence()
    typer.echo("agelens: the output was closed before all was written", err=True)
    sys.exit(CLOSED_PIPE)


@_app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"agelens {__version__}")
        raise typer.Exit


def main() -> None:
    """The `agelens` command. Errors become a sentence and an exit code here, and only here."""
    from agelens.pipeline.formats import silence_libtiff  # it brings numpy: see __main__

    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is broken beside the pixels
    silence_libtiff()
    for stream in (sys.stdout, sys.stderr):  # names may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            load(sys.argv[1] if len(sys.argv) > 1 else "")()
        finally:
            sys.stdout.flush()
    except SystemExit as done:  # Typer makes exit code 1 of these two
        if isinstance(done.__context__, typer.Abort):
            sys.exit(INTERRUPTED)
        if isinstance(done.__context__, BrokenPipeError):
            _closed()
        raise
    except AgelensError as error:
        typer.echo(f"agelens: {on_one_line(str(error))}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        _closed()
    except OSError as error:
        _silence()
        place = error.filename or "the output"
        typer.echo(f"agelens: {on_one_line(str(place))}: {error.strerror or error}", err=True)
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

"""`agelens doctor`: what is installed, and whether it works."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import typer

from agelens.cli.common import app


@app.command()
def doctor() -> None:
    """Say what is installed, what this machine can use, and try an estimate.

    Exit code: 0 when the estimate works, 1 when something is wrong.
    """
    import onnxruntime

    from agelens.benchmark.machine import machine
    from agelens.cli import EXTRAS
    from agelens.draw import draw_face
    from agelens.estimator import AgeEstimator
    from agelens.page.files import PageError, page_files
    from agelens.pipeline.model import SHIPPED
    from agelens.pipeline.session import DEVICES

    about = machine()
    for name, version in about["versions"].items():
        typer.echo(f"{name} {version}")
    typer.echo(f"{about['platform']}, {about['processor']}, {about['processors']} processors")
    there = onnxruntime.get_available_providers()
    devices = [name for name, (provider, _) in DEVICES.items() if provider in there]
    typer.echo(f"devices: {', '.join(devices)}")
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if find_spec(package) is None]
        state = f"missing {', '.join(missing)}" if missing else "installed"
        typer.echo(f"agelens[{extra}]: {state}")
    try:
        page_files()
        typer.echo("web page: installed")
    except PageError as error:
        typer.echo(f"web page: {error}")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="agelens-doctor-") as folder:
        picture = draw_face(Path(folder, "drawn.jpg"))
        for name in SHIPPED:
            with AgeEstimator(name) as estimator:
                faces = estimator.estimate(picture)
                found = f"{len(faces)} face, on {estimator.model.device}" if faces else "no face"
            wrong += len(faces) != 1
            typer.echo(f"{name}: a drawn picture with one face gives {found}")
    if wrong:
        typer.echo(
            "Something is wrong: an installed agelens finds the face. Reinstall it.", err=True
        )
    raise typer.Exit(1 if wrong else 0)

"""`agelens export-web`: the web page as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import Model, app


@app.command("export-web")
def export_web(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the page; made if it is not there.")
    ],
    model: Model = "light",
    service: Annotated[
        str | None,
        typer.Option(help="Address of an agelens service that pictures can be sent to instead."),
    ] = None,
) -> None:
    """Write the web page, which estimates ages in the browser, for any web server.

    No picture leaves the visitor's device, unless they switch to the service. The camera needs
    https, or localhost. More than one processor is used where the server sends
    Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.
    """
    from agelens.page.files import export_page
    from agelens.pipeline.model import AgeModel

    export_page(folder, AgeModel(model), service=service)
    typer.echo(f"{folder}: try it with: python -m http.server -d {folder}")

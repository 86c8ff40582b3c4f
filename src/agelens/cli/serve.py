"""`agelens serve`: the HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agelens.cli.common import app


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Listen here. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here. [default: 8000]")] = None,
    uds: Annotated[Path | None, typer.Option(help="Listen on this Unix socket instead.")] = None,
    fd: Annotated[int | None, typer.Option(help="Listen on this open socket instead.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Service processes that share the port. [default: 1]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Pictures at once in a worker. [default: one a processor in all]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A shipped model's name or a model file; repeatable. [default: light]"),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out faces that are less sure. [default: 0.5]")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(help="How many true ages the intervals hold. [default: 0.9]")
    ] = None,
    max_wait: Annotated[
        float | None, typer.Option(help="Seconds that a picture may have to wait. [default: 2]")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds to an answer. [default: 10]")
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(help="Bytes of a request. [default: 20000000]")
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Pixels of a picture. [default: 25000000]")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second of one client. [default: no limit]")
    ] = None,
    api_keys_file: Annotated[
        Path | None, typer.Option(help="A file with a key a line, one of which is needed.")
    ] = None,
    allow_urls: Annotated[
        bool | None,
        typer.Option("--allow-urls", help="Fetch pictures from public web addresses."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Let pages of this origin call; repeatable.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(help="Believe its X-Forwarded-For; repeatable.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. [default: text]")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings.")] = None,
    page: Annotated[
        bool | None, typer.Option(help="Serve the web page. [default: unless there are keys]")
    ] = None,
    access_log: Annotated[
        bool | None, typer.Option("--access-log", help="Log client, path and status.")
    ] = None,
) -> None:
    """Answer HTTP requests with the ages in their pictures, until Ctrl-C or SIGTERM.

    Everything can also be set by a variable, such as AGELENS_MAX_BODY; docs/service.md names all.
    """
    from agelens.service.server import serve as run
    from agelens.service.settings import load_settings

    run(
        load_settings(
            host=host,
            port=port,
            workers=workers,
            jobs=jobs,
            model=model,
            min_score=min_score,
            coverage=coverage,
            max_wait=max_wait,
            deadline=deadline,
            max_body=max_body,
            max_pixels=max_pixels,
            rate=rate,
            api_keys_file=api_keys_file,
            allow_urls=allow_urls,
            cors_origins=cors_origin,
            trusted_proxies=trusted_proxy,
            page=page,
            access_log=access_log,
            log_format=log_format,
            uds=uds,
            fd=fd,
            config=config,
        )
    )

"""Run the service until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import tempfile

import uvicorn

from agelens.pipeline.model import AgeModel
from agelens.service.app import create_app
from agelens.service.settings import Settings


def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then finish those that were accepted.

    Raises:
        SettingsError: a setting is impossible.
        ModelError: the model file cannot be used.
    """
    options = {
        "host": settings.host,
        "port": settings.port,
        "access_log": settings.access_log,
        "server_header": False,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_graceful_shutdown": settings.stop_timeout,
    }
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)  # type: ignore[arg-type]
        return
    settings.keys()
    AgeModel(settings.model)  # a wrong file is said once, here, and not by every worker
    with contextlib.ExitStack() as stack:
        # Workers are new processes: they take their settings, and the folder for their counts,
        # from the environment.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="agelens-metrics-"))
        os.environ |= settings.to_environment() | {"PROMETHEUS_MULTIPROC_DIR": folder}
        uvicorn.run(
            "agelens.service.app:create_app",
            factory=True,
            workers=settings.workers,
            **options,  # type: ignore[arg-type]
        )

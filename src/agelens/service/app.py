"""The web application: its parts, put together."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from agelens import __version__
from agelens.service.access import describe_keys, key_guard, rate_guard
from agelens.service.connections import STATE, Connections
from agelens.service.estimate import Answering, estimate_answer, estimate_routes
from agelens.service.fetch import Fetcher
from agelens.service.inference import inference_routes
from agelens.service.keys import Keys
from agelens.service.limits import RateLimiter
from agelens.service.middleware import Direct, LastResort, Observation, PeerAddress
from agelens.service.operation import operation_routes
from agelens.service.page import page_routes
from agelens.service.problems import add_handlers
from agelens.service.service import Service
from agelens.service.settings import Settings, SettingsError, load_settings
from agelens.service.stream import stream_routes


def create_app(settings: Settings | None = None, *, fetcher: Fetcher | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: those of the environment by default, as in a worker process.
        fetcher: of addresses; made of the settings, where they allow it, by default.

    Raises:
        SettingsError: a setting is impossible.
        ModelError: the model file cannot be used.
    """
    settings = settings or load_settings()
    keys = Keys(settings)
    service = Service(settings)
    if fetcher is None and settings.allow_urls:
        fetcher = Fetcher(
            max_bytes=settings.max_body, timeout=settings.deadline, ports=settings.url_ports
        )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # Not in a thread, and not on Windows; there, keys are read once.
        with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, keys.reload)
        try:
            await service.decoders.start()
            yield {STATE: _connections(settings)}
        finally:  # the server has sent every answer by now
            await service.decoders.stop()
            if fetcher is not None:
                await fetcher.close()

    app = FastAPI(
        title="agelens",
        version=__version__,
        summary="The age of every face in a picture, with its interval.",
        description="Pictures are decoded in memory, answered and forgotten.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_telemetry(settings),
    )
    app.state.service = service
    add_handlers(app)
    describe_keys(app)
    guard = key_guard(keys)
    rated = rate_guard(RateLimiter(settings.rate, settings.burst), guard)
    estimate = estimate_answer(service, settings, fetcher, rated)
    app.include_router(estimate_routes(service, settings, rated, estimate))
    app.include_router(inference_routes(service, settings, rated))
    app.include_router(stream_routes(service, settings, rated))
    app.include_router(operation_routes(service, guard))
    if settings.serves_page:
        shown = {"coverage": settings.coverage, "min_score": settings.min_score}
        app.include_router(page_routes(service.model, **shown))
    _add_middleware(app, settings, service, estimate)
    return app


def _add_middleware(
    app: FastAPI, settings: Settings, service: Service, estimate: Answering
) -> None:
    """From the innermost to the outermost."""
    if not settings.tracing:  # which needs FastAPI's way to name its spans
        app.add_middleware(Direct, path="/v1/estimate", answer=estimate)
    app.add_middleware(LastResort, connections=settings.connections)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Observation, metrics=service.metrics, access_log=settings.access_log)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    app.add_middleware(PeerAddress)


def _telemetry(settings: Settings) -> TelemetryConfig:
    """Spans of requests, if they are asked for: no metrics, and no logs, which would hold inputs.

    Raises:
        SettingsError: the packages for it are not installed.
    """
    if settings.tracing and importlib.util.find_spec("opentelemetry.exporter") is None:
        raise SettingsError("tracing (AGELENS_TRACING) needs: pip install 'agelens[tracing]'")
    on = settings.tracing
    return {"tracing": on, "auto_configure": on, "metrics": False, "logs": False}


def _connections(settings: Settings) -> Connections:
    return Connections(
        settings.max_connections,
        settings.receive_timeout,
        settings.send_timeout,
        settings.idle_timeout,
    )

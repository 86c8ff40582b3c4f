"""Around every request: how many at once, headers, counts, and no traceback for anyone."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agelens.service.metrics import Metrics
from agelens.service.problems import problem

log = logging.getLogger("agelens.service")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Put on every answer that does not bring its own. Ages of people are for nobody's cache."""


class Edge:
    """The outermost layer.

    Args:
        app: what answers.
        metrics: what counts.
        connections: requests under ``/v1/`` at once; more are answered 503 before their body is
            read, because each may hold a whole body in memory. Health, metrics and the page always
            get an answer, and are not counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, connections: int) -> None:
        self._app = app
        self._metrics = metrics
        self._connections = connections
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        counted = scope["path"].startswith("/v1/")
        self._open += counted
        try:
            if counted and self._open > self._connections:
                busy = problem(503, "the service is busy; try again later", {"Retry-After": "1"})
                await busy(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception:
            log.exception("a request failed")
            if status:  # too late for another answer: the server cuts the connection
                raise
            await problem(500, "the service failed; its log says why")(scope, receive, answer)
        finally:
            self._open -= counted
            route = getattr(scope.get("route"), "path", "other")  # never a client's own words
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

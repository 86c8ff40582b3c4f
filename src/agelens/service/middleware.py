"""Around every request: who asks, how many at once, headers, counts, no traceback for anyone."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agelens.service.logs import FIELDS, REQUEST_ID
from agelens.service.metrics import Metrics
from agelens.service.problems import HANDLED, problem, problem_answer

log = logging.getLogger("agelens.service")
access = logging.getLogger("agelens.access")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Put on every answer that does not bring its own. Ages of people are for nobody's cache."""
COUNTED = ("/v1/", "/v2/")
"""Paths whose requests may hold a whole body in memory."""
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_ID = re.compile(rb"[\w.-]{1,64}", re.ASCII)
_ID_HEADER = b"x-request-id"


class PeerAddress:
    """Names the peer: an IPv4 address as such (``::ffff:192.0.2.1``), a Unix socket as "unix"."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change the scope's client."""
        if scope["type"] in ("http", "websocket"):
            host, port = scope.get("client") or ("unix", 0)
            if host.startswith("::ffff:"):
                host = str(ipaddress.IPv6Address(host).ipv4_mapped or host)
            scope["client"] = (host, port)
        await self._app(scope, receive, send)


class Observation:
    """Counts and logs requests, and gives every answer its headers and an id.

    Args:
        app: what answers.
        metrics: what counts.
        access_log: whether each request is a line of the log.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, access_log: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan events and WebSockets pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        given = next((value for name, value in scope["headers"] if name == _ID_HEADER), b"")
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        token = REQUEST_ID.set(request_id)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                own = {name for name, _ in headers}
                headers += [header for header in _RAW_HEADERS if header[0] not in own]
                headers.append((_ID_HEADER, request_id.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "other")  # never a client's own words
            self._metrics.answered(route, status, seconds)
            if self._access_log:
                _log_access(scope, status, seconds)
            REQUEST_ID.reset(token)


def _log_access(scope: Scope, status: int, seconds: float) -> None:
    # `raw_path` has no line breaks: they are still escaped in it.
    path = scope["raw_path"].decode("ascii", "backslashreplace")
    if scope["query_string"]:
        path += "?" + scope["query_string"].decode("ascii", "backslashreplace")
    fields = {
        "client": (scope.get("client") or ("",))[0],
        "method": scope["method"],
        "path": path,
        "status": status,
        "duration": round(seconds, 4),
    }
    words = '%(client)s "%(method)s %(path)s" %(status)d %(duration).3f s'
    access.info(words, fields, extra={FIELDS: fields})


class LastResort:
    """Turns requests away that are too many, and failures into a sentence.

    Args:
        app: what answers.
        connections: requests under `COUNTED` at once; more are answered 503 before their body is
            read, because each may hold a whole body in memory. Health, metrics and the page always
            get an answer, and are not counted.
    """

    def __init__(self, app: ASGIApp, *, connections: int) -> None:
        self._app = app
        self._connections = connections
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan events and WebSockets pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        counted = scope["path"].startswith(COUNTED)
        self._open += counted
        try:
            if counted and self._open > self._connections:
                busy = problem(503, "the service is busy; try again later", {"Retry-After": "1"})
                await busy(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception:
            log.exception("a request failed")
            if begun:  # too late for another answer: the server cuts the connection
                raise
            await problem(500, "the service failed; its log says why")(scope, receive, answer)
        finally:
            self._open -= counted


class Direct:
    """Answers one route without FastAPI's way to it, which took as long as the answer itself.

    Args:
        app: what answers all else, and describes this route in the OpenAPI.
        path: of the route.
        answer: what answers it, and raises what `problems` knows.
    """

    def __init__(
        self, app: ASGIApp, *, path: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> None:
        self._app = app
        self._route = Route(path, answer, methods=["POST"])  # for `Observation`
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; those to other routes, of other methods, and WebSockets pass."""
        if (
            scope["type"] != "http"
            or scope["path"] != self._route.path
            or scope["method"] != "POST"
        ):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await self._answer(Request(scope, receive))
        except HANDLED as error:
            response = problem_answer(error)
        await response(scope, receive, send)

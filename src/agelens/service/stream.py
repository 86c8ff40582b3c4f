"""`/v1/stream`: a WebSocket for the frames of a camera or a video, whose faces are followed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from agelens.errors import AgelensError
from agelens.service.access import Guard
from agelens.service.decoder import PictureRequest
from agelens.service.errors import (
    BusyError,
    OriginRefusedError,
    ParameterError,
    TrackingMissingError,
)
from agelens.service.metrics import Metrics
from agelens.service.problems import problem_answer, problem_of
from agelens.service.process import DecoderProcess
from agelens.service.service import Service, error_of
from agelens.service.settings import Settings

PATH = "/v1/stream"
NOT_A_FRAME, REFUSED, FAILED = 1003, 1008, 1011
"""Codes with which a stream is closed (RFC 6455)."""


class _Streams:
    """Counts the streams that are open."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most, self._open, self._metrics = most, 0, metrics

    @contextmanager
    def another(self) -> Iterator[None]:
        """Room for one.

        Raises:
            BusyError: there is none.
        """
        if self._open >= self._most:
            raise BusyError(f"{self._open} streams are open; more are not allowed", 10)
        self._open += 1
        self._metrics.streams.inc()
        try:
            yield
        finally:
            self._open -= 1
            self._metrics.streams.dec()


def stream_routes(service: Service, settings: Settings, guard: Guard) -> APIRouter:
    """The route of streams. Each stream has a decoder process, which remembers its faces."""
    routes = APIRouter()
    streams = _Streams(settings.streams, service.metrics)

    @routes.websocket(PATH)
    async def stream(websocket: WebSocket) -> None:
        try:
            _check_origin(websocket, settings)
            await guard(websocket)
            model = service.name_of(_model_of(websocket))
            if importlib.util.find_spec("trackers") is None:
                raise TrackingMissingError("this service follows no faces; it has no 'trackers'")
            with streams.another():
                await _run(websocket, service, settings, model)
        except WebSocketDisconnect:
            pass  # the client went while its frame was in work
        except AgelensError as error:
            await websocket.send_denial_response(problem_answer(error))

    return routes


def _check_origin(websocket: WebSocket, settings: Settings) -> None:
    """Browsers let pages of every origin open WebSockets, and leave it to the server to refuse."""
    origin = websocket.headers.get("origin")
    allowed = {origin, "*"} & set(settings.cors_origins)
    if origin and not allowed and urlsplit(origin).netloc != websocket.headers.get("host"):
        raise OriginRefusedError("pages of this origin may not use the service")


def _model_of(websocket: WebSocket) -> str | None:
    for name in websocket.query_params:
        if name != "model":
            raise ParameterError(f"{name[:50]!r}: no such parameter; there is model")
    return websocket.query_params.get("model")


async def _run(websocket: WebSocket, service: Service, settings: Settings, model: str) -> None:
    """Answer frames until the client goes, or is silent."""
    decoder = service.tracking_decoder(model)
    try:
        try:
            await decoder.start()
        except (EOFError, OSError) as error:
            raise BusyError("no decoder process could be started; try again later") from error
        await websocket.accept()
        await _answer(websocket, service, settings, decoder, PictureRequest(model))
    finally:
        await decoder.stop()


async def _answer(
    websocket: WebSocket,
    service: Service,
    settings: Settings,
    decoder: DecoderProcess,
    request: PictureRequest,
) -> None:
    while True:
        try:
            async with asyncio.timeout(settings.idle_timeout):
                message = await websocket.receive()
        except TimeoutError:
            await websocket.close(REFUSED, f"no frame in {settings.idle_timeout:g} seconds")
            return
        if message["type"] == "websocket.disconnect":
            return
        frame = message.get("bytes")
        if frame is None:
            await websocket.close(NOT_A_FRAME, "send each frame as a binary message")
            return
        try:
            async with asyncio.timeout(max(1.0, settings.deadline)):
                result = await decoder.ask(frame, request)
        except (EOFError, OSError, TimeoutError):
            await websocket.close(FAILED, "the frame made its decoder stop")
            return
        if result.error:
            problem = problem_of(error_of("frame", result))
            await websocket.send_text(json.dumps({"version": 1, "error": problem}))
        else:
            service.metrics.pictures.inc()
            service.metrics.faces.inc(result.faces)
            await websocket.send_text('{"version":1,' + result.shown[1:].decode())

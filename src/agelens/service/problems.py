"""Errors to answers: the one place where an error becomes an HTTP status (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agelens.errors import AgelensError, ImageTooLargeError, UnreadableImageError
from agelens.service import errors

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[AgelensError], int] = {
    errors.RequestError: 400,
    errors.KeyRefusedError: 401,
    errors.UrlRefusedError: 403,
    errors.SlowRequestError: 408,
    errors.BodyTooLargeError: 413,
    ImageTooLargeError: 413,
    errors.MediaTypeError: 415,
    UnreadableImageError: 422,
    errors.ReaderDiedError: 422,
    errors.RateError: 429,
    errors.FetchError: 502,
    errors.BusyError: 503,
    errors.DeadlineError: 504,
}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as a small JSON object with a sentence."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json.dumps(body), status, headers, media_type=MEDIA_TYPE)


def status_of(error: AgelensError) -> int:
    """The status of the error's own class, or of its nearest base class; 500 for all others."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error with a problem."""
    app.add_exception_handler(AgelensError, _agelens)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)


async def _agelens(_: Request, error: Exception) -> Response:
    assert isinstance(error, AgelensError)
    headers = {}
    if isinstance(error, errors.BusyError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.KeyRefusedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status_of(error), str(error), headers)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, f"{first['loc'][1] if len(first['loc']) > 1 else 'query'}: {first['msg']}")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> Response:
    return problem(400, "the client went away")  # nobody reads it, but it is counted

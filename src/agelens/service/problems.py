"""Errors to answers: the one place where an error becomes an HTTP status (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from agelens.errors import AgelensError, ImageTooLargeError, UnreadableImageError
from agelens.service import errors
from agelens.service.schemas import ProblemV1

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[AgelensError], int] = {
    errors.RequestError: 400,
    errors.KeyRefusedError: 401,
    errors.OriginRefusedError: 403,
    errors.UrlRefusedError: 403,
    errors.SlowRequestError: 408,
    errors.BodyTooLargeError: 413,
    ImageTooLargeError: 413,
    errors.MediaTypeError: 415,
    UnreadableImageError: 422,
    errors.ParameterError: 422,
    errors.DecoderDiedError: 422,
    errors.RateError: 429,
    errors.TrackingMissingError: 501,
    errors.FetchError: 502,
    errors.BusyError: 503,
    errors.DeadlineError: 504,
}
HANDLED = (AgelensError, RequestValidationError, HTTPException, ClientDisconnect)
"""Classes of errors that are answered with a sentence; all others are a failure of the service."""
DESCRIPTIONS = {
    400: "The body cannot be understood.",
    401: "No API key, or one that is not known.",
    403: "The service does not fetch this address.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or pictures.",
    415: "The body is of a type that holds no picture.",
    422: "A picture, or a parameter, cannot be used.",
    429: "This client asks too often; see Retry-After.",
    502: "The address gave no picture.",
    503: "The service is busy; see Retry-After.",
    504: "No answer in time.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These errors for OpenAPI; by default all."""
    return {
        status: {
            "description": DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": ProblemV1.model_json_schema()}},
        }
        for status in statuses or DESCRIPTIONS
    }


def json_response(values: Any, status: int = 200) -> Response:
    """An answer whose values are JSON already: no model checks them again."""
    return Response(
        json.dumps(values, separators=(",", ":")), status, media_type="application/json"
    )


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as a small JSON object with a sentence."""
    return Response(json.dumps(_body(status, detail)), status, headers, media_type=MEDIA_TYPE)


def problem_of(error: AgelensError) -> dict[str, Any]:
    """An error as a part of an answer."""
    return _body(status_of(error), str(error))


def _body(status: int, detail: str) -> dict[str, Any]:
    return {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def status_of(error: AgelensError) -> int:
    """The status of the error's own class, or of its nearest base class; 500 for all others."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error with a problem."""
    for kind in HANDLED:
        app.add_exception_handler(kind, _handle)


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a query with names that the route does not know: a misspelt one would be no limit.

    Raises:
        ParameterError: there is such a name.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = {one.alias for one in route.dependant.query_params}
    for name in request.query_params:
        if name not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "there are none here"
            raise errors.ParameterError(f"{name[:50]!r}: no such parameter; {there}")


async def _handle(_: Request, error: Exception) -> Response:
    return problem_answer(error)


def problem_answer(error: Exception) -> Response:
    """The answer to an error of one of the classes in `HANDLED`."""
    match error:
        case RequestValidationError():
            first = error.errors()[0]
            name = str(first["loc"][1])[:50] if len(first["loc"]) > 1 else "query"
            return problem(422, f"{name}: {first['msg']}")
        case HTTPException():
            return problem(error.status_code, str(error.detail), dict(error.headers or {}))
        case ClientDisconnect():
            return problem(400, "the client went away")  # nobody reads it, but it is counted
    assert isinstance(error, AgelensError)
    headers = {}
    if isinstance(error, errors.BusyError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.KeyRefusedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status_of(error), str(error), headers)

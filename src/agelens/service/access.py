"""Who may use a route: guards that FastAPI calls before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from agelens.service.keys import Keys
from agelens.service.limits import RateLimiter, client_of

Guard = Callable[[HTTPConnection], Awaitable[str]]
"""Gives the name of the client, or raises."""

NEEDS_KEY: dict[str, Any] = {"security": [{"bearer": []}, {"header": []}, {}]}
"""For the OpenAPI of a route: either of the two, or none where the service has no keys."""
_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, where the service needs one.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def key_guard(keys: Keys) -> Guard:
    """Let pass who has a known key, or everyone where there are none.

    A key is one client, wherever it is used; without keys, an address is.
    """

    async def key_is_known(request: HTTPConnection) -> str:
        address = client_of(request.client.host if request.client else None)
        if not keys:
            return address
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = request.headers.get("x-api-key", "")
        keys.check(key.strip(), address)
        return key.strip()

    return key_is_known


def rate_guard(limiter: RateLimiter, guard: Guard) -> Guard:
    """Then, let pass who does not ask too often."""

    async def not_too_often(request: HTTPConnection) -> str:
        client = await guard(request)
        limiter.check(client)
        return client

    return not_too_often


def describe_keys(app: FastAPI) -> None:
    """Add the two ways to send a key to the app's OpenAPI.

    FastAPI's own classes for them would be called in every request, to do half of the work.
    """
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        schema["components"]["securitySchemes"] = _SCHEMES
        return schema

    app.openapi = openapi  # type: ignore[method-assign]

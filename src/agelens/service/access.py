"""Who may use a route: guards that FastAPI calls before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from agelens.service.keys import Keys
from agelens.service.limits import RateLimiter, client_of

_BEARER = HTTPBearer(auto_error=False, description="An API key, where the service needs one.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)

Guard = Callable[..., Awaitable[str]]
"""Gives the name of the client, or raises."""


def key_guard(keys: Keys) -> Guard:
    """Let pass who has a known key, or everyone where there are none.

    A key is one client, wherever it is used; without keys, an address is.
    """

    async def key_is_known(
        request: Request,
        token: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
        name: Annotated[str | None, Depends(_HEADER)],
    ) -> str:
        address = client_of(request.client.host if request.client else None)
        if not keys:
            return address
        key = token.credentials if token else name or ""
        keys.check(key, address)
        return key

    return key_is_known


def rate_guard(limiter: RateLimiter, guard: Guard) -> Guard:
    """Then, let pass who does not ask too often."""

    # Not in the annotation, in which FastAPI does not find what is local.
    async def not_too_often(client: str = Depends(guard)) -> str:
        limiter.check(client)
        return client

    return not_too_often

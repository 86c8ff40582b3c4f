"""A request's body to pictures, in memory and within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from agelens.service.errors import (
    BodyTooLargeError,
    MediaTypeError,
    RequestError,
    SlowRequestError,
    UrlRefusedError,
)
from agelens.service.fetch import Fetcher
from agelens.service.schemas import UrlV1
from agelens.service.settings import Settings

FIELD = "file"
_NAME = 255


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it was sent; `name` is what the answer calls it."""

    name: str
    data: bytes


class _InMemory(MultiPartParser):
    spool_max_size = 0  # never to a file on disk: no picture is kept


async def read_pictures(
    request: Request, settings: Settings, fetcher: Fetcher | None
) -> list[Upload]:
    """The pictures of a multipart form, of a raw body, or at the address in a JSON body.

    Raises:
        RequestError: one of its kinds, for every body that holds no pictures or too many.
        UrlRefusedError: an address, and the service fetches none (`fetcher` is None) or not this.
        FetchError: the address gave no picture.
    """
    kind = request.headers.get("content-type", "application/octet-stream")
    kind = kind.partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(settings.receive_timeout):
            if kind == "multipart/form-data":
                return await _form(request, settings)
            if kind == "application/octet-stream" or kind.startswith("image/"):
                return [Upload("body", await _whole(request, settings.max_body))]
            if kind != "application/json":
                raise MediaTypeError(
                    "send multipart/form-data with the field 'file', or a picture as the body"
                )
            body = await _whole(request, min(settings.max_body, 10_000))
    except TimeoutError as error:
        raise SlowRequestError(
            f"the body did not arrive in {settings.receive_timeout:g} seconds"
        ) from error
    try:
        url = UrlV1.model_validate_json(body).url
    except ValidationError as error:
        raise RequestError('a JSON body must be {"url": "https://..."}') from error
    if fetcher is None:
        raise UrlRefusedError("this service fetches no addresses; send the picture itself")
    return [Upload(url, await fetcher.fetch(url))]


async def _form(request: Request, settings: Settings) -> list[Upload]:
    # One more than allowed, so that the sentence about it is ours.
    parser = _InMemory(
        request.headers,
        _limited(request, settings.max_body),
        max_files=settings.max_files + 1,
        max_fields=0,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(settings) from error
        raise RequestError(f"the form cannot be read: {error.message}") from error
    parts = form.multi_items()
    if len(parts) > settings.max_files:
        raise _too_many(settings)
    uploads = []
    for field, part in parts:
        if field != FIELD or not isinstance(part, UploadFile):
            raise RequestError(f"the form's field {field[:50]!r} is not known; use '{FIELD}'")
        uploads.append(Upload((part.filename or FIELD)[:_NAME], await part.read()))
        await part.close()
    if not uploads:
        raise RequestError(f"the form holds no picture; put it into the field '{FIELD}'")
    return uploads


def _too_many(settings: Settings) -> BodyTooLargeError:
    return BodyTooLargeError(f"more than {settings.max_files} pictures; send them in parts")


async def _whole(request: Request, limit: int) -> bytes:
    return b"".join([chunk async for chunk in _limited(request, limit)])


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks. What says that it is too large is refused before anything is read."""
    error = BodyTooLargeError(f"the body has more than {limit:,} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise error
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise error
        yield chunk

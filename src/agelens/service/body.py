"""A request's body to pictures, in memory and within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from agelens.service.errors import (
    BodyTooLargeError,
    MediaTypeError,
    RequestError,
    SlowRequestError,
    UrlRefusedError,
)
from agelens.service.fetch import Fetcher
from agelens.service.schemas import DataV1, JsonBodyV1, ManyV1, UrlV1
from agelens.service.settings import Settings

FIELD = "file"
MAX_FIELDS = 64
_NAME = 255
_JSON: TypeAdapter[JsonBodyV1] = TypeAdapter(JsonBodyV1)


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it was sent; `name` is what the answer calls it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds: pictures, and the parameters among a form's text fields."""

    uploads: list[Upload]
    fields: list[tuple[str, str]] = field(default_factory=list)


class _InMemory(MultiPartParser):
    spool_max_size = 0  # never to a file on disk: no picture is kept


async def read_body(request: Request, settings: Settings, fetcher: Fetcher | None) -> Body:
    """The pictures of a multipart form, of a raw body, or in or at the addresses of a JSON body.

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
                return Body([Upload("body", await _whole(request, settings.max_body))])
            if kind != "application/json":
                raise MediaTypeError(_advice(kind))
            body = await _whole(request, settings.max_body)
    except TimeoutError as error:
        raise SlowRequestError(
            f"the body did not arrive in {settings.receive_timeout:g} seconds"
        ) from error
    return Body(await _json(body, settings, fetcher))


def _advice(kind: str) -> str:
    if kind == "application/x-www-form-urlencoded":
        return (
            "a picture was sent with the type of a web form, as curl's --data-binary does; "
            "use curl -F file=@FILE, or add -H 'Content-Type: image/jpeg'"
        )
    return (
        f"a body of type {kind[:50]!r} holds no picture; send multipart/form-data with the field "
        f"'{FIELD}', or a picture as the body with the type image/jpeg or application/octet-stream"
    )


async def _json(body: bytes, settings: Settings, fetcher: Fetcher | None) -> list[Upload]:
    try:
        given = _JSON.validate_json(body)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise RequestError(
            'a JSON body is {"data": BASE64}, {"url": "https://..."} or {"pictures": [...]} of '
            f"those ({reason})"
        ) from error
    sources = given.pictures if isinstance(given, ManyV1) else [given]
    if len(sources) > settings.max_files:
        raise _too_many(settings)
    if fetcher is None and any(isinstance(source, UrlV1) for source in sources):
        raise UrlRefusedError("this service fetches no addresses; send the picture itself")

    async def upload(source: UrlV1 | DataV1) -> Upload:
        if isinstance(source, DataV1):
            return Upload(source.name[:_NAME], source.data)
        assert fetcher is not None
        return Upload(source.url, await fetcher.fetch(source.url))

    return list(await asyncio.gather(*map(upload, sources)))


async def _form(request: Request, settings: Settings) -> Body:
    if "boundary=" not in request.headers.get("content-type", ""):
        raise RequestError(
            "the form's type names no boundary; let the client set Content-Type by itself"
        )
    # One more than allowed, so that the sentence about it is ours.
    parser = _InMemory(
        request.headers,
        _limited(request, settings.max_body),
        max_files=settings.max_files + 1,
        max_fields=MAX_FIELDS,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(settings) from error
        raise RequestError(f"the form cannot be read: {error.message}") from error
    body = Body([])
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            if name == FIELD:
                raise RequestError(
                    f"the form's field '{FIELD}' is text and no file; with curl: -F file=@FILE"
                )
            body.fields.append((name, part))
            continue
        if name != FIELD:
            raise RequestError(f"the form's file {name[:50]!r} is not known; use '{FIELD}'")
        if len(body.uploads) == settings.max_files:
            raise _too_many(settings)
        body.uploads.append(Upload((part.filename or FIELD)[:_NAME], await part.read()))
        await part.close()
    if not body.uploads:
        raise RequestError(f"the form holds no picture; put it into the field '{FIELD}'")
    return body


def declared_size(request: Request) -> int:
    """Bytes that the body says it has; 0 if it says nothing."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() else 0


def _too_many(settings: Settings) -> BodyTooLargeError:
    return BodyTooLargeError(f"more than {settings.max_files} pictures; send them in parts")


async def read_whole(request: Request, settings: Settings) -> bytes:
    """A body of any type.

    Raises:
        BodyTooLargeError: it has too many bytes.
        SlowRequestError: it did not arrive in time.
    """
    try:
        async with asyncio.timeout(settings.receive_timeout):
            return await _whole(request, settings.max_body)
    except TimeoutError as error:
        raise SlowRequestError(
            f"the body did not arrive in {settings.receive_timeout:g} seconds"
        ) from error


async def _whole(request: Request, limit: int) -> bytes:
    """The body; without the generators of `_limited`, because this is the usual case."""
    _check_size(declared_size(request), limit)
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        _check_size(size, limit)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks. What says that it is too large is refused before anything is read."""
    _check_size(declared_size(request), limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        _check_size(size, limit)
        yield chunk


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise BodyTooLargeError(f"the body has more than {limit:,} bytes")

"""`POST /v1/estimate` and `GET /v1/model`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from agelens import __version__
from agelens.errors import AgelensError
from agelens.service.access import NEEDS_KEY, Guard
from agelens.service.body import FIELD, Upload, declared_size, read_body
from agelens.service.decoder import PictureRequest
from agelens.service.errors import ParameterError
from agelens.service.fetch import Fetcher
from agelens.service.problems import (
    documented,
    problem_of,
    refuse_unknown_parameters,
)
from agelens.service.schemas import (
    DataV1,
    EstimateV1,
    ManyV1,
    ModelV1,
    ParametersV1,
    UrlV1,
)
from agelens.service.service import Answer, Service
from agelens.service.settings import Settings

Answering = Callable[[Request], Awaitable[Response]]
"""What answers a request, or raises."""

_BINARY = {"type": "string", "format": "binary"}
_JSON = [kind.model_json_schema() for kind in (UrlV1, DataV1)]
_MANY = ManyV1.model_json_schema() | {
    "properties": {"pictures": {"type": "array", "minItems": 1, "items": {"anyOf": _JSON}}}
}
_MANY.pop("$defs")
_USUAL = ParametersV1()


def _form_schema() -> dict[str, Any]:
    parameters = ParametersV1.model_json_schema()["properties"]
    return {
        "type": "object",
        "properties": {FIELD: {"type": "array", "items": _BINARY, "minItems": 1}} | parameters,
        "required": [FIELD],
        "additionalProperties": False,
    }


def _parameters() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in ParametersV1.model_json_schema()["properties"].items()
    ]


_OPENAPI = NEEDS_KEY | {
    "parameters": _parameters(),
    "requestBody": {
        "required": True,
        "description": "Pictures in a form, one picture as it is, or JSON with pictures in Base64 "
        "or, where allowed, their addresses.",
        "content": {
            "multipart/form-data": {"schema": _form_schema()},
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "application/json": {"schema": {"anyOf": [*_JSON, _MANY]}},
        },
    },
}


def estimate_answer(
    service: Service, settings: Settings, fetcher: Fetcher | None, guard: Guard
) -> Answering:
    """What answers `POST /v1/estimate`."""

    async def estimate(request: Request) -> Response:
        """Send pictures and get the faces of each, largest first, in the order of the pictures.

        If one picture cannot be used, the whole request fails and the error names it, unless
        `partial` is asked for.
        """
        client = await guard(request)
        given = request.query_params.multi_items() if request.scope["query_string"] else []
        parameters = read_parameters(given)  # before the body: a mistake is said at once
        with service.admitted(client, declared_size(request)):
            body = await read_body(request, settings, fetcher)
        if body.fields:
            parameters = read_parameters([*given, *body.fields])
        asked = PictureRequest(
            service.name_of(parameters.model), parameters.coverage, tuple(parameters.at_least)
        )
        answers = await service.estimate(body.uploads, asked, client, partial=parameters.partial)
        pictures = b",".join(map(_picture, body.uploads, answers))
        failed = any(isinstance(answer, AgelensError) for answer in answers)
        return Response(
            b'{"version":1,"pictures":[%s]}' % pictures,
            207 if failed else 200,
            media_type="application/json",
        )

    return estimate


def estimate_routes(
    service: Service, settings: Settings, guard: Guard, estimate: Answering
) -> APIRouter:
    """The routes of version 1; `estimate` is what `estimate_answer` gave."""
    routes = APIRouter(prefix="/v1", tags=["version 1"])
    routes.post(
        "/estimate",
        summary="Estimate the age of every face",
        response_model=EstimateV1,
        responses=documented()
        | {207: {"model": EstimateV1, "description": "Some pictures failed."}},
        openapi_extra=_OPENAPI,
    )(estimate)

    @routes.get(
        "/model",
        summary="What computes the ages",
        responses=documented(401, 422, 429),
        dependencies=[Depends(guard), Depends(refuse_unknown_parameters)],
        openapi_extra=NEEDS_KEY,
    )
    async def model(
        name: Annotated[str | None, Query(alias="model", description="Else the first.")] = None,
    ) -> ModelV1:
        known = service.models[service.name_of(name)]
        internal = {"template", "ages", "calibration"}
        return ModelV1(
            agelens=__version__,
            models=list(service.models),
            size=known.size,
            ages=[int(known.ages[0]), int(known.ages[-1])],
            coverage=settings.coverage,
            calibration_faces=known.calibration.faces,
            metadata={k: v for k, v in known.metadata.items() if k not in internal},
        )

    return routes


def read_parameters(given: Sequence[tuple[str, str]]) -> ParametersV1:
    """Parameters from the query and from the text fields of a form.

    Raises:
        ParameterError: one is not known, given twice, or has an impossible value.
    """
    if not given:
        return _USUAL
    values: dict[str, Any] = {}
    for name, text in given:
        if name == "at_least":
            values.setdefault(name, []).append(text)
        elif name in values:
            raise ParameterError(f"{name[:50]!r} is given twice")
        else:
            values[name] = text
    try:
        return ParametersV1.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])[:50]
        if first["type"] == "extra_forbidden":
            known = ", ".join(ParametersV1.model_fields)
            raise ParameterError(f"{name!r}: no such parameter; there are {known}") from error
        raise ParameterError(f"{name}: {first['msg']}") from error


def _picture(upload: Upload, answer: Answer) -> bytes:
    """JSON as `schemas.PictureV1` describes it."""
    values: dict[str, Any] = {"name": upload.name}
    if isinstance(answer, AgelensError):
        values |= {"width": 0, "height": 0, "faces": [], "left_out": 0}
        return json.dumps(values | {"error": problem_of(answer)}).encode()
    return json.dumps(values).encode()[:-1] + b"," + answer.shown[1:]

"""`/v2`: the Open Inference Protocol, which clients of KServe and Triton speak.

https://github.com/kserve/open-inference-protocol, its REST part, without binary tensors. The input
is a tensor ``image`` of image files in Base64; the outputs have a row for each face.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agelens import __version__
from agelens.errors import AgelensError
from agelens.service.access import NEEDS_KEY, Guard
from agelens.service.body import Upload, declared_size, read_whole
from agelens.service.decoder import PictureRequest, PictureResult
from agelens.service.errors import BusyError, RequestError
from agelens.service.problems import json_response, refuse_unknown_parameters, status_of
from agelens.service.schemas import Base64Data
from agelens.service.service import Service
from agelens.service.settings import Settings

_OUTPUTS = {
    "picture": ("INT64", [-1]),
    "age": ("FP64", [-1]),
    "low": ("FP64", [-1]),
    "high": ("FP64", [-1]),
    "score": ("FP64", [-1]),
    "box": ("FP64", [-1, 4]),
}
"""Type and shape of each: the number of the face's picture, years, 0 to 1, and pixels."""


class _Tensor(BaseModel):
    name: Literal["image"]
    shape: list[int]
    datatype: Literal["BYTES"]
    data: list[Base64Data] = Field(min_length=1)


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    coverage: float | None = Field(None, gt=0, lt=1)


class InferV2(BaseModel):
    """A request of the protocol; what else a client sends is its own matter."""

    id: str | None = None
    inputs: list[_Tensor] = Field(min_length=1, max_length=1)
    parameters: _Parameters = _Parameters()


def inference_routes(service: Service, settings: Settings, guard: Guard) -> APIRouter:
    """The protocol's routes."""
    known = Depends(refuse_unknown_parameters)
    routes = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], dependencies=[known])

    @routes.get("", summary="The server")
    async def server() -> dict[str, Any]:
        return {"name": "agelens", "version": __version__, "extensions": []}

    @routes.get("/health/live", summary="Whether the process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/health/ready", summary="Whether it can estimate", responses=_described(200, 503))
    async def ready() -> Response:
        return json_response({"ready": service.ready}, 200 if service.ready else 503)

    @routes.get(
        "/models/{name}",
        summary="A model's tensors",
        responses=_described(200, 401, 422, 429),
        openapi_extra=NEEDS_KEY,
    )
    async def model(name: str, request: Request) -> Response:
        try:
            await guard(request)
            service.name_of(name)
        except AgelensError as error:
            return _failed(error)
        outputs = [
            {"name": one, "datatype": kind, "shape": shape}
            for one, (kind, shape) in _OUTPUTS.items()
        ]
        inputs = [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
        return json_response(
            {"name": name, "platform": "onnxruntime", "inputs": inputs, "outputs": outputs}
        )

    @routes.get(
        "/models/{name}/ready",
        summary="Whether a model can be used",
        responses=_described(200, 404),
    )
    async def model_ready(name: str) -> Response:
        there = name in service.models and service.ready
        return json_response({"name": name, "ready": there}, 200 if there else 404)

    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}

    @routes.post(
        "/models/{name}/infer",
        summary="Estimate the age of every face",
        responses=_described(200, 400, 401, 408, 413, 422, 429, 503, 504),
        openapi_extra=NEEDS_KEY | {"requestBody": body},
    )
    async def infer(name: str, request: Request) -> Response:
        """Send image files in Base64 and get a row for each face, in the order of the pictures."""
        try:
            client = await guard(request)
            service.name_of(name)
            with service.admitted(client, declared_size(request)):
                asked = _parsed(await read_whole(request, settings))
            uploads = [Upload(f"image {i}", data) for i, data in enumerate(asked.inputs[0].data)]
            if len(uploads) > settings.max_files or asked.inputs[0].shape != [len(uploads)]:
                raise RequestError(
                    f"the shape of 'image' is [N], with at most {settings.max_files} pictures"
                )
            wanted = PictureRequest(name, asked.parameters.coverage)
            answers = await service.estimate(uploads, wanted, client)
        except AgelensError as error:
            return _failed(error)
        results = [answer for answer in answers if isinstance(answer, PictureResult)]
        values: dict[str, Any] = {"model_name": name, "outputs": _outputs(results)}
        return json_response(values | ({"id": asked.id} if asked.id is not None else {}))

    return routes


def _described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses for OpenAPI."""
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "As the protocol says.", "content": content}
    return dict.fromkeys(statuses, answer)


def _parsed(body: bytes) -> InferV2:
    try:
        return InferV2.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise RequestError(f"not a request of the protocol: {place}: {first['msg']}") from error


def _outputs(results: list[PictureResult]) -> list[dict[str, Any]]:
    faces = [(number, face) for number, one in enumerate(results) for face in one.values["faces"]]
    columns: dict[str, list[Any]] = {
        "picture": [number for number, _ in faces],
        "age": [face["age"] for _, face in faces],
        "low": [face["interval"]["low"] for _, face in faces],
        "high": [face["interval"]["high"] for _, face in faces],
        "score": [face["score"] for _, face in faces],
        "box": [edge for _, face in faces for edge in face["box"].values()],
    }
    return [
        {"name": name, "datatype": kind, "shape": [len(faces), *shape[1:]], "data": columns[name]}
        for name, (kind, shape) in _OUTPUTS.items()
    ]


def _failed(error: AgelensError) -> Response:
    answer = json_response({"error": str(error)}, status_of(error))
    if isinstance(error, BusyError):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer

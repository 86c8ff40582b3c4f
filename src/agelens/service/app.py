"""The web application: its paths, in the order of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from agelens import __version__
from agelens.service.body import FIELD, read_pictures
from agelens.service.errors import BusyError, KeyRefusedError
from agelens.service.fetch import Fetcher
from agelens.service.limits import Keys, RateLimiter, client_of
from agelens.service.metrics import Metrics
from agelens.service.middleware import Edge
from agelens.service.page import page_routes
from agelens.service.problems import MEDIA_TYPE, add_handlers
from agelens.service.schemas import (
    EstimateV1,
    FaceV1,
    ModelV1,
    PictureV1,
    ProblemV1,
    StatusV1,
    UrlV1,
)
from agelens.service.service import Answer, Service
from agelens.service.settings import Settings, load_settings

_BEARER = HTTPBearer(auto_error=False, description="An API key, where the service needs one.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {FIELD: {"type": "array", "items": _BINARY, "minItems": 1}},
    "required": [FIELD],
    "additionalProperties": False,
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "Pictures in a form, one picture as it is, or, where allowed, its address.",
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
            "application/json": {"schema": UrlV1.model_json_schema()},
        },
    }
}
_PROBLEMS = {
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


def create_app(settings: Settings | None = None, *, fetcher: Fetcher | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: those of the environment by default, as in a worker process.
        fetcher: of addresses; made of the settings, where they allow it, by default.

    Raises:
        SettingsError: a setting is impossible.
        ModelError: the model file cannot be used.
    """
    settings = settings or load_settings()
    metrics = Metrics()
    service = Service(settings, metrics)
    if fetcher is None and settings.allow_urls:
        fetcher = Fetcher(max_bytes=settings.max_body, timeout=settings.deadline)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
            yield
        finally:  # the server has sent every answer by now
            await service.stop()
            if fetcher is not None:
                await fetcher.close()

    app = FastAPI(
        title="agelens",
        version=__version__,
        summary="The age of every face in a picture, with its interval.",
        description="Pictures are decoded in memory, answered and forgotten.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    add_handlers(app)
    key_guard = _key_guard(Keys(settings.keys()))
    rate_guard = _rate_guard(RateLimiter(settings.rate, settings.burst), key_guard)
    routes = _estimate_routes(service, settings, fetcher)
    app.include_router(routes, dependencies=[Depends(rate_guard)])
    app.include_router(_operation_routes(service, metrics, key_guard))
    if settings.serves_page:
        shown = {"coverage": settings.coverage, "min_score": settings.min_score}
        app.include_router(page_routes(service.estimator.model, **shown))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Edge, metrics=metrics, connections=settings.connections)
    return app


def _estimate_routes(service: Service, settings: Settings, fetcher: Fetcher | None) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["version 1"])

    @routes.post(
        "/estimate",
        summary="Estimate the age of every face",
        response_model_exclude_none=True,
        responses=_problems(*_PROBLEMS),
        openapi_extra=_BODY,
    )
    async def estimate(
        request: Request,
        at_least: Annotated[
            list[Annotated[int, Query(ge=0, le=150)]],
            Query(
                max_length=16,
                description="Ages for which the probability is given that they are completed.",
                examples=[[18, 21]],
            ),
        ] = [],  # noqa: B006 - FastAPI copies it
        coverage: Annotated[
            float | None, Query(gt=0, lt=1, description="Of the intervals.", examples=[0.9])
        ] = None,
    ) -> EstimateV1:
        """Send pictures and get the faces of each, largest first, in the order of the pictures.

        If one picture cannot be used, the whole request fails and the error names it.
        """
        uploads = await read_pictures(request, settings, fetcher)
        answers = await service.estimate(uploads, coverage)
        return EstimateV1(
            pictures=[
                _picture(upload.name, answer, at_least)
                for upload, answer in zip(uploads, answers, strict=True)
            ]
        )

    @routes.get("/model", summary="What computes the ages", responses=_problems(401, 429))
    async def model() -> ModelV1:
        known = service.estimator.model
        internal = {"template", "ages", "calibration"}
        return ModelV1(
            agelens=__version__,
            size=known.size,
            ages=[int(known.ages[0]), int(known.ages[-1])],
            coverage=settings.coverage,
            calibration_faces=known.calibration.faces,
            metadata={k: v for k, v in known.metadata.items() if k not in internal},
        )

    return routes


def _operation_routes(service: Service, metrics: Metrics, key_guard: Guard) -> APIRouter:
    routes = APIRouter(tags=["operation"])

    @routes.get("/healthz", summary="Whether the process answers")
    async def healthz() -> StatusV1:
        return StatusV1()

    @routes.get("/readyz", summary="Whether it can estimate", responses=_problems(503))
    async def readyz() -> StatusV1:
        if not service.ready:
            raise BusyError("no reader process is alive; one is being started")
        return StatusV1()

    @routes.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses=_problems(401)
        | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        dependencies=[Depends(key_guard)],
    )
    def prometheus() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return routes


Guard = Callable[..., Awaitable[str | None]]


def _key_guard(keys: Keys) -> Guard:
    """Let pass who has a known key, or everyone where there are none."""

    async def key_is_known(
        token: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
        name: Annotated[str | None, Depends(_HEADER)],
    ) -> str | None:
        if not keys:
            return None
        key = token.credentials if token else name or ""
        if not keys.known(key):
            raise KeyRefusedError("an API key is needed, as Authorization: Bearer KEY")
        return key

    return key_is_known


def _rate_guard(limiter: RateLimiter, key_guard: Guard) -> Guard:
    """Then, let pass who does not ask too often. A key is one client, wherever it is used."""

    # Not in the annotation, in which FastAPI does not find what is local.
    async def not_too_often(request: Request, key: str | None = Depends(key_guard)) -> None:
        limiter.check(key or client_of(request.client.host if request.client else None))

    return not_too_often


def _picture(name: str, answer: Answer, ages: list[int]) -> PictureV1:
    faces = [
        FaceV1.model_validate(
            face.to_dict()
            | ({"at_least": {str(age): face.at_least(age) for age in ages}} if ages else {})
        )
        for face in answer.faces
    ]
    return PictureV1(
        name=name, width=answer.width, height=answer.height, faces=faces, left_out=answer.left_out
    )


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": ProblemV1.model_json_schema()}},
        }
        for status in statuses
    }

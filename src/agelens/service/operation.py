"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from agelens.service.access import NEEDS_KEY, Guard
from agelens.service.errors import BusyError
from agelens.service.problems import documented, refuse_unknown_parameters
from agelens.service.schemas import StatusV1
from agelens.service.service import Service


def operation_routes(service: Service, guard: Guard) -> APIRouter:
    """What operators and their machines ask; with HEAD as with GET."""
    routes = APIRouter(tags=["operation"], dependencies=[Depends(refuse_unknown_parameters)])

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", summary="Whether the process answers")
    async def healthz() -> StatusV1:
        return StatusV1()

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", summary="Whether it can estimate", responses=documented(503))
    async def readyz() -> StatusV1:
        if not service.ready:
            raise BusyError("no decoder process is alive; one is being started")
        return StatusV1()

    @routes.head("/metrics", include_in_schema=False, dependencies=[Depends(guard)])
    @routes.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses=documented(401, 429)
        | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        dependencies=[Depends(guard)],
        openapi_extra=NEEDS_KEY,
    )
    def prometheus() -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return routes

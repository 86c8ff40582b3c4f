"""The web page's routes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from agelens.page.files import (
    ASSETS,
    MANIFEST,
    STATIC,
    PageError,
    headers,
    manifest,
    model_files,
    page_files,
)
from agelens.pipeline.model import AgeModel


def page_routes(model: AgeModel, *, coverage: float = 0.9, min_score: float = 0.5) -> APIRouter:
    """The page at ``/``, its files and the models' beside it; the service's own paths stay free.

    Args:
        model: the age model of the service.
        coverage: of the service's intervals.
        min_score: of the service.
    """
    try:
        assets = page_files()
    except PageError as error:
        sentence = str(error)

        async def missing(_: Request) -> Response:
            raise HTTPException(404, sentence)

        return APIRouter(routes=[Route("/", missing, include_in_schema=False)])
    known = {ASSETS: assets, "models": model_files(model)}
    facts = manifest(model, coverage=coverage, min_score=min_score, service="v1/estimate")
    digests = {facts[part]["file"]: facts[part]["sha256"] for part in ("detector", "age")}
    fresh = headers() | {"Cache-Control": "no-cache"}
    kept = headers() | {"Cache-Control": "public, max-age=31536000, immutable"}

    async def index(_: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=fresh)

    async def facts_file(_: Request) -> Response:
        return JSONResponse(facts, headers=fresh)

    async def asset(request: Request) -> Response:
        folder, name = request.url.path.split("/")[-2:]
        path = known[folder].get(name)
        # Another version's page asks with its digest; these bytes would be kept as that file.
        other = folder == "models" and request.url.query != digests.get(name)
        if path is None or other:
            raise HTTPException(404, f"{folder}/{name}: this version's page has no such file")
        return FileResponse(path, headers=kept)

    return APIRouter(
        routes=[
            Route("/", index, include_in_schema=False),
            Route(f"/models/{MANIFEST}", facts_file, include_in_schema=False),
            Route("/models/{name}", asset, include_in_schema=False),
            Route(f"/{ASSETS}/{{name}}", asset, include_in_schema=False),
        ]
    )

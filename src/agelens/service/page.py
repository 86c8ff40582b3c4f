"""The web page's routes."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
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

NO_SUCH_FILE = "this version's page has no such file"


def page_routes(model: AgeModel, *, coverage: float = 0.9, min_score: float = 0.5) -> APIRouter:
    """The page at ``/``, its files and the models' beside it; the service's own paths stay free.

    Args:
        model: the age model of the service.
        coverage: of the service's intervals.
        min_score: of the service.
    """
    try:
        files = page_files()
    except PageError as error:
        sentence = str(error)

        async def missing(_: Request) -> Response:
            return PlainTextResponse(f"{sentence}\n", 404)

        return APIRouter(routes=[Route("/", missing, include_in_schema=False)])
    models = model_files(model)
    facts = manifest(model, coverage=coverage, min_score=min_score, service="v1/estimate")
    digests = {facts[part]["file"]: facts[part]["sha256"] for part in ("detector", "age")}
    fresh = headers() | {"Cache-Control": "no-cache"}
    kept = headers() | {"Cache-Control": "public, max-age=31536000, immutable"}

    async def index(_: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=fresh)

    async def facts_file(_: Request) -> Response:
        return JSONResponse(facts, headers=fresh)

    async def root_file(request: Request) -> Response:
        return FileResponse(files[request.url.path.rsplit("/", 1)[1]], headers=fresh)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        path = files.get(f"{ASSETS}/{name}")
        if path is None:
            raise HTTPException(404, f"{ASSETS}/{name}: {NO_SUCH_FILE}")
        return FileResponse(path, headers=kept)

    async def model_file(request: Request) -> Response:
        # Another version's page asks with its digest; these bytes would be kept as that file.
        name = request.path_params["name"]
        if name not in models or request.url.query != digests[name]:
            raise HTTPException(404, f"models/{name}: {NO_SUCH_FILE}")
        return Response(models[name], headers=kept, media_type="application/octet-stream")

    routes = [
        ("/", index),
        *((f"/{name}", root_file) for name in files if "/" not in name),
        (f"/models/{MANIFEST}", facts_file),
        ("/models/{name}", model_file),
        (f"/{ASSETS}/{{name}}", asset),
    ]
    return APIRouter(
        routes=[Route(path, answer, include_in_schema=False) for path, answer in routes]
    )

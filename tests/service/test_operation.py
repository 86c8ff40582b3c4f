"""What operators see: health, counts, logs, headers, the OpenAPI, and limits on requests."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import schemathesis
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from serving import KEY, PHOTO, estimate, picture

from agelens.service.app import create_app
from agelens.service.connections import GuardedProtocol
from agelens.service.logs import JsonFormatter
from agelens.service.middleware import LastResort
from agelens.service.settings import Settings

ORIGIN = "https://app.example.org"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    known = Settings(jobs=1, access_log=True, cors_origins=(ORIGIN,))
    with TestClient(create_app(known), raise_server_exceptions=False) as client:
        yield client


def test_operation_paths_and_headers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    model = client.get("/v1/model").json()
    assert model["metadata"]["name"]
    assert model["ages"] == [0, 116]
    assert model["calibration_faces"] > 1000
    assert estimate(client, PHOTO).status_code == 200
    counts = client.get("/metrics").text
    assert 'agelens_build_info{model="light",version=' in counts
    assert "agelens_queue_wait_seconds_count" in counts
    assert "agelens_pictures_total 1.0" in counts
    assert "process_resident_memory_bytes" in counts
    assert 'agelens_requests_total{route="/v1/estimate",status="200"}' in counts
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.head(path).status_code == 200
        assert client.head(path).text == ""
    answer = client.get("/healthz", headers={"origin": "https://elsewhere.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert client.get("/nowhere").json()["status"] == 404
    described = client.get("/openapi.json").json()
    own = {path for path in described["paths"] if not path.startswith("/v2")}
    assert own == {"/v1/estimate", "/v1/model", "/healthz", "/readyz", "/metrics"}
    assert {"bearer", "header"} <= set(described["components"]["securitySchemes"])
    assert described["components"]["schemas"]["EstimateV1"]["examples"]


def test_openapi_holds_under_schemathesis() -> None:
    app = create_app(Settings(jobs=1))
    config = uvicorn.Config(app, port=0, http=GuardedProtocol, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checked = []
    try:
        for result in schema.get_all_operations():
            operation = result.ok()

            @given(case=operation.as_strategy())
            @settings(
                max_examples=10,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            def holds(case: schemathesis.Case) -> None:
                # No schema says what a picture is, so that some of its bodies are refused; the
                # keys, which are optional, have a test of their own.
                unfit = [positive_data_acceptance, ignored_auth]
                case.call_and_validate(timeout=20, excluded_checks=unfit)

            holds()
            checked.append(operation.path)
    finally:
        server.should_exit = True
        thread.join(20)
    assert len(checked) == 11


def test_downloads_leave_the_service_its_connections() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        limited = LastResort(app, connections=1)

        async def ask(path: str) -> int:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            await limited({"type": "http", "path": path, "method": "GET"}, receive, send)
            return int(sent[0]["status"])

        download = asyncio.create_task(ask("/models/age.onnx"))
        first = asyncio.create_task(ask("/v1/estimate"))
        await asyncio.sleep(0)
        assert await ask("/v1/estimate") == 503
        release.set()
        assert await asyncio.gather(download, first) == [200, 200]
        assert await ask("/v1/estimate") == 200

    asyncio.run(run())


def test_pages_of_other_origins_read_errors_too(client: TestClient) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("on purpose")

    service = client.app.state.service  # type: ignore[attr-defined]
    service.estimate, whole = fails, service.estimate
    try:
        answer = client.post("/v1/estimate", content=picture(64, 64), headers={"origin": ORIGIN})
    finally:
        service.estimate = whole
    assert answer.status_code == 500
    assert "log" in answer.json()["detail"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_access_log_is_one_line_a_request(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "agelens.access"):
        client.get("/healthz%0d%0aInjected", headers={"x-request-id": "abc"})
    (record,) = [one for one in caplog.records if one.name == "agelens.access"]
    line = json.loads(JsonFormatter().format(record))
    assert line["status"] == 404
    assert line["duration"] >= 0
    assert line["path"] == "/healthz%0d%0aInjected"
    assert line["time"].endswith("+00:00")


def test_a_request_keeps_its_id(client: TestClient) -> None:
    given = client.get("/healthz", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for bad in ("two words", "x" * 65):
        made = client.get("/healthz", headers={"x-request-id": bad}).headers["x-request-id"]
        assert made != bad
        assert len(made) == 32


def test_keys_rates_and_the_page() -> None:
    guarded = Settings(jobs=1, api_keys=(KEY,), rate=0.001, burst=2)
    with TestClient(create_app(guarded)) as client:
        refused = client.get("/v1/model")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        assert client.get("/models/age.onnx").status_code == 404  # nor is the page there
        assert client.get("/healthz").status_code == 200
        good = {"authorization": f"Bearer {KEY}"}
        assert client.get("/v1/model", headers=good).status_code == 200
        assert client.get("/v1/model", headers={"x-api-key": KEY}).status_code == 200
        late = client.get("/v1/model", headers=good)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 1


def test_traces_are_sent_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    received = queue.Queue[str]()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            received.put(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{collector.server_address[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    try:
        with TestClient(create_app(Settings(jobs=1, tracing=True))) as client:
            assert estimate(client, PHOTO).json()["pictures"][0]["faces"]  # by FastAPI's way
            assert received.get(timeout=20) == "/v1/traces"
    finally:
        collector.shutdown()

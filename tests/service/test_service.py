"""The service, through its HTTP door: the same answers as Python, a sentence for what is bad."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import schemathesis
import uvicorn
from conftest import ASTRONAUT
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from agelens import AgeEstimator
from agelens.service.app import create_app
from agelens.service.batching import Batcher
from agelens.service.body import Upload
from agelens.service.errors import DeadlineError, FetchError, RateError, UrlRefusedError
from agelens.service.fetch import Fetcher, is_public
from agelens.service.limits import RateLimiter, client_of
from agelens.service.metrics import Metrics
from agelens.service.middleware import Edge
from agelens.service.service import Answer, Service
from agelens.service.settings import Settings, SettingsError, load_settings

PHOTO = ASTRONAUT.read_bytes()
JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Settings(jobs=2, max_body=2_000_000, max_pixels=4_000_000, max_files=3, deadline=30)
    with TestClient(create_app(limits)) as client:
        yield client


def estimate(client: TestClient, body: bytes, **options: Any) -> Any:
    return client.post("/v1/estimate", content=body, headers=JPEG, **options)


def bomb() -> bytes:
    """A small PNG that claims 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_faces_are_those_of_python(client: TestClient) -> None:
    answer = estimate(client, PHOTO, params={"at_least": [18, 30]})
    assert answer.status_code == 200
    (picture,) = answer.json()["pictures"]
    (face,) = AgeEstimator().estimate(PHOTO)
    wanted = json.loads(json.dumps(face.to_dict()))
    (got,) = picture["faces"]
    chances = got.pop("at_least")
    assert got == wanted
    assert chances == pytest.approx({"18": face.at_least(18), "30": face.at_least(30)}, abs=0.01)
    assert (picture["width"], picture["height"]) == (512, 512)


def test_many_files_keep_their_order_and_coverage_is_heard(client: TestClient) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (90, 70)).save(blank, "PNG")
    files = [("file", ("a.png", blank.getvalue())), ("file", ("b.jpg", PHOTO))]
    answer = client.post("/v1/estimate", files=files, params={"coverage": 0.5})
    pictures = answer.json()["pictures"]
    assert [picture["name"] for picture in pictures] == ["a.png", "b.jpg"]
    assert [len(picture["faces"]) for picture in pictures] == [0, 1]
    narrow = pictures[1]["faces"][0]["interval"]
    (face,) = AgeEstimator(coverage=0.5).estimate(PHOTO)
    assert narrow["coverage"] == 0.5
    assert narrow["low"] == pytest.approx(face.interval.low, abs=1)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", JPEG, 422, "empty"),
        (b"no picture", JPEG, 422, "body"),
        (PHOTO[:5000], JPEG, 422, "body"),
        (bomb(), JPEG, 413, "pixels"),
        (bytes(2_000_001), JPEG, 413, "2,000,000"),
        (b"x", {"content-type": "text/plain"}, 415, "multipart"),
        (b"x", {"content-type": "multipart/form-data; boundary=y"}, 400, "form"),
        (b"{}", {"content-type": "application/json"}, 400, "url"),
        (b'{"url": "https://example.org/a.jpg"}', {"content-type": "application/json"}, 403, "no"),
    ],
)
def test_bad_bodies_get_a_sentence(
    client: TestClient, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = client.post("/v1/estimate", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_too_large_without_a_length_and_too_many(client: TestClient) -> None:
    stream = (bytes(100_000) for _ in range(30))
    answer = client.post("/v1/estimate", content=stream, headers=JPEG)
    assert answer.status_code == 413
    files = [("file", (f"{i}.jpg", PHOTO)) for i in range(4)]
    answer = client.post("/v1/estimate", files=files)
    assert answer.status_code == 413
    assert "more than 3" in answer.json()["detail"]


def test_random_bodies_leave_it_well(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    heads = [b"", PHOTO[:200], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0"]
    for index in range(200):
        body = heads[index % len(heads)] + rng.bytes(int(rng.integers(1, 3000)))
        assert estimate(client, body).status_code in (413, 422)
    assert estimate(client, PHOTO).status_code == 200
    assert client.get("/readyz").json() == {"status": "ok"}


def test_readers_that_are_killed_cost_no_answer(client: TestClient) -> None:
    readers = client.app.state.service.readers  # type: ignore[attr-defined]

    def kill_all() -> None:
        killed = readers.processes
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        while not set(killed).isdisjoint(readers.processes):
            time.sleep(0.01)

    def wait_for_both() -> None:
        deadline = time.monotonic() + 30
        while len(readers.processes) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    kill_all()
    assert estimate(client, PHOTO).status_code == 200
    wait_for_both()
    kill_all()
    wait_for_both()  # without a request
    assert estimate(client, PHOTO).status_code == 200


def test_an_overload_ends_no_reader_and_the_first_and_the_newest_are_answered() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3000, 3000)).save(stream, "JPEG")
    upload = Upload("large.jpg", stream.getvalue())

    async def run() -> list[Answer | BaseException]:
        service = Service(Settings(jobs=1, deadline=3), Metrics())
        await service.start()
        try:
            before = service.readers.processes
            asked = (service.estimate([upload]) for _ in range(120))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            (last,) = await service.estimate([upload])
            assert last.width == 3000
            assert service.readers.processes == before
            return [one if isinstance(one, BaseException) else one[0] for one in answers]
        finally:
            await service.stop()

    answers = asyncio.run(run())
    late = [index for index, one in enumerate(answers) if isinstance(one, DeadlineError)]
    assert min(late) > 1
    assert max(late) < len(answers) - 1
    assert late == list(range(min(late), max(late) + 1))
    assert sum(isinstance(one, Answer) for one in answers) == len(answers) - len(late)


def test_downloads_leave_the_service_its_connections() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await release.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        edge = Edge(app, metrics=Metrics(), connections=1)

        async def ask(path: str) -> int:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            await edge({"type": "http", "path": path, "method": "GET"}, receive, send)
            return int(sent[0]["status"])

        download = asyncio.create_task(ask("/models/age.onnx"))
        first = asyncio.create_task(ask("/v1/estimate"))
        await asyncio.sleep(0)
        assert await ask("/v1/estimate") == 503
        release.set()
        assert await asyncio.gather(download, first) == [200, 200]
        assert await ask("/v1/estimate") == 200

    asyncio.run(run())


def test_concurrent_requests_get_their_own_answers(client: TestClient) -> None:
    with Image.open(ASTRONAUT) as image:
        stream = io.BytesIO()
        image.resize((300, 300)).save(stream, "PNG")
    bodies = [PHOTO, stream.getvalue()] * 6
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda body: estimate(client, body), bodies))
    widths = [answer.json()["pictures"][0]["width"] for answer in answers]
    assert widths == [512, 300] * 6


def test_operation_paths_and_headers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    model = client.get("/v1/model").json()
    assert model["metadata"]["name"]
    assert model["ages"] == [0, 116]
    assert model["calibration_faces"] > 1000
    counts = client.get("/metrics").text
    assert 'agelens_requests_total{route="/v1/estimate",status="200"}' in counts
    answer = client.get("/healthz", headers={"origin": "https://elsewhere.example"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert client.get("/nowhere").json()["status"] == 404
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/estimate", "/v1/model", "/healthz", "/readyz", "/metrics"
    }  # fmt: skip
    assert described["components"]["schemas"]["EstimateV1"]["examples"]


def test_openapi_holds_under_schemathesis() -> None:
    config = uvicorn.Config(create_app(Settings(jobs=1)), port=0, log_level="error")
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
    assert len(checked) == 5


def test_keys_and_rates() -> None:
    guarded = Settings(jobs=1, api_keys=("secret",), rate=0.001, burst=2)
    with TestClient(create_app(guarded)) as client:
        refused = client.get("/v1/model")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        assert client.get("/models/age.onnx").status_code == 404  # nor is the page there
        assert client.get("/healthz").status_code == 200
        good = {"authorization": "Bearer secret"}
        assert client.get("/v1/model", headers=good).status_code == 200
        assert client.get("/v1/model", headers={"x-api-key": "secret"}).status_code == 200
        late = client.get("/v1/model", headers=good)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 1


def test_a_full_queue_says_when_to_come_back() -> None:
    with TestClient(create_app(Settings(jobs=1, queue=1))) as client:
        files = [("file", ("a.jpg", PHOTO)), ("file", ("b.jpg", PHOTO))]
        full = client.post("/v1/estimate", files=files)
        assert full.status_code == 503
        assert full.headers["retry-after"] == "1"
        assert estimate(client, PHOTO).status_code == 200


def test_no_answer_in_time() -> None:
    with TestClient(create_app(Settings(jobs=1, deadline=0.001))) as client:
        assert estimate(client, PHOTO).status_code == 504


def test_the_rate_limit_by_hand() -> None:
    now = 0.0
    limiter = RateLimiter(1.0, 2, clock=lambda: now)
    limiter.check("a")
    limiter.check("a")
    with pytest.raises(RateError) as refused:
        limiter.check("a")
    assert refused.value.retry_after == 1
    limiter.check("b")
    now = 1.0
    limiter.check("a")
    assert client_of("2001:db8::1") == client_of("2001:db8::2")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1")


def test_batches_join_what_waits() -> None:
    sizes: list[int] = []

    def predict(crops: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return crops.reshape(len(crops), -1)[:, :1].astype(np.float32)

    async def run() -> list[np.ndarray]:
        batcher = Batcher(predict, size=8, runners=1, observe=sizes.append)
        batcher.start()
        crops = [np.full((1 + i % 2, 2, 2, 3), i, np.uint8) for i in range(10)]
        rows = await asyncio.gather(*(batcher.predict(own) for own in crops))
        batcher.stop()
        return list(rows)

    rows = asyncio.run(run())
    assert [row[0, 0] for row in rows] == list(range(10))
    assert [len(row) for row in rows] == [1 + i % 2 for i in range(10)]
    assert len(sizes) < 10
    assert sum(sizes) == 15


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "fc00::1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1", "100.64.0.1",
     "fec0::1", "64:ff9b:1::a00:1", "::10.0.0.1", "ff0e::1", "2002:5db8:d822::1",
     "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
)  # fmt: skip
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/photo":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PHOTO)
        else:
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_addresses_are_fetched_only_where_they_are_allowed() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    here = ipaddress.ip_address("127.0.0.1")

    async def names(host: str, _port: int) -> list[Any]:
        return [here if host == "photos.example" else ipaddress.ip_address("10.0.0.1")]

    async def fetch(url: str, allowed: Any) -> bytes:
        fetcher = Fetcher(max_bytes=1_000_000, timeout=5, allowed=allowed, resolve=names)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    local = f"http://photos.example:{port}"

    def only_here(address: Any) -> bool:
        return bool(address == here)

    try:
        assert asyncio.run(fetch(f"{local}/photo", only_here)) == PHOTO
        assert asyncio.run(fetch(f"{local}/to//photo", only_here)) == PHOTO
        for url in (
            f"{local}/to/http://inside.example/",
            f"{local}/to/file:///etc/passwd",
            "ftp://photos.example/",
            "http://user@photos.example/",
        ):
            with pytest.raises(UrlRefusedError):
                asyncio.run(fetch(url, only_here))
        with pytest.raises(UrlRefusedError, match="public"):
            asyncio.run(fetch(f"{local}/photo", is_public))
        with pytest.raises(FetchError, match="redirects"):
            asyncio.run(fetch(f"{local}/to/{'/to/' * 6}/photo", only_here))
    finally:
        server.shutdown()


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGELENS_MAX_BODY", "7")
    monkeypatch.setenv("AGELENS_API_KEYS", "secret, other")
    known = load_settings(port=9)
    assert (known.max_body, known.port, known.keys()) == (7, 9, ("secret", "other"))
    assert "secret" not in repr(known)
    empty = tmp_path / "keys"
    empty.write_text("\n")
    with pytest.raises(SettingsError, match="holds no key"):
        load_settings(api_keys_file=empty).keys()
    monkeypatch.setenv("AGELENS_MAX_BODY", "none")
    with pytest.raises(SettingsError, match="AGELENS_MAX_BODY"):
        load_settings()


def test_a_real_process_finishes_what_it_accepted() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "agelens", "serve", "--port", str(port), "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(f"{url}/readyz", timeout=5):
                    break
            except URLError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

        def ask() -> Any:
            request = Request(f"{url}/v1/estimate", data=PHOTO, headers=JPEG)
            with urlopen(request, timeout=30) as answer:
                return json.load(answer)

        def accepted() -> float:
            """Pictures that are answered, in work or waiting."""
            with urlopen(f"{url}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            counts = re.findall(r"^agelens_(?:pictures_total|pending_pictures) (\S+)$", text, re.M)
            return sum(map(float, counts))

        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(ask) for _ in range(8)]
            deadline = time.monotonic() + 30
            while accepted() < 8:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            answers = [one.result() for one in waiting]
        assert all(len(answer["pictures"][0]["faces"]) == 1 for answer in answers)
        _, said = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in said
    finally:
        process.kill()

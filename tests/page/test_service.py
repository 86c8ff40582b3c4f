"""The page as the service gives it, and its switch to the service."""

from __future__ import annotations

import gzip
import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import ASTRONAUT

from agelens.pipeline.model import AgeModel
from agelens.service.page import page_routes
from page.browsing import (
    AXE,
    BUILT,
    check_accessibility,
    choose,
    faces,
    find,
    in_browser,
    text,
    wait,
)

Keys = pytest.importorskip("selenium.webdriver", reason="needs selenium").Keys


def test_without_the_page_the_service_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("fastapi", reason="needs agelens[web]")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    monkeypatch.setattr("agelens.page.files.STATIC", tmp_path)
    app = FastAPI()
    app.include_router(page_routes(AgeModel("light")))
    answer = TestClient(app).get("/")
    assert answer.status_code == 404
    (line,) = answer.text.splitlines()
    assert "pip install ./page" in line


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_a_models_bytes_are_given_under_their_own_digest_only() -> None:
    pytest.importorskip("fastapi", reason="needs agelens[web]")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    app.include_router(page_routes(AgeModel("light")))
    client = TestClient(app)
    manifest = client.get("/models/manifest.json").json()
    for part in ("age", "detector"):
        name, digest = manifest[part]["file"], manifest[part]["sha256"]
        answer = client.get(f"/models/{name}?{digest}")
        assert hashlib.sha256(gzip.decompress(answer.content)).hexdigest() == digest
        assert "immutable" in answer.headers["cache-control"]
        for query in ("", f"?{digest[::-1]}"):
            refused = client.get(f"/models/{name}{query}")
            assert refused.status_code == 404
            assert "immutable" not in refused.headers.get("cache-control", "")


@in_browser
def test_the_service_gives_the_page_and_answers_its_switch(browser: Any) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="needs agelens[web]")
    from agelens.service.app import create_app
    from agelens.service.settings import Settings

    app = create_app(Settings(model="light", jobs=1, api_keys=("a-key-of-the-test",), page=True))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait(lambda: server.started)
    try:
        browser.get(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/")
        (here,) = choose(browser, ASTRONAUT)
        assert "distribution" in here
        isolated, policed = browser.execute_async_script(
            "const done = arguments[0]; fetch('').then(r => done([crossOriginIsolated,"
            " r.headers.get('content-security-policy')]))"
        )
        assert isolated
        assert "script-src 'self' 'wasm-unsafe-eval';" in policed
        find(browser, "send").send_keys(Keys.SPACE)
        assert "sent to the service" in text(browser, "privacy")
        wait(lambda: find(browser, "unlock").is_displayed())
        assert "key" in text(browser)
        if AXE.is_file():
            check_accessibility(browser, "asks for a key")
        find(browser, "key").send_keys("a-key-of-the-test", Keys.ENTER)
        (there,) = wait(lambda: faces(browser))
        assert "distribution" not in there
        assert there["box"] == pytest.approx(here["box"], abs=0.05)
        assert there["age"] == pytest.approx(here["age"], abs=0.3)
        assert set(there["at_least"]) == {"18"}
        found = browser.execute_async_script(
            "fetch('metrics', {headers: {'X-API-Key': 'a-key-of-the-test'}})"
            ".then(r => r.text()).then(arguments[0])"
        )
        assert 'agelens_requests_total{route="/v1/estimate",status="200"} 1.0' in found
    finally:
        server.should_exit = True
        thread.join(20)

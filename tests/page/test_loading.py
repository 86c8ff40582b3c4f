"""What the page asks for, keeps and refuses while it loads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from conftest import ASTRONAUT

from agelens import AgeEstimator
from agelens.page import files as page
from page.browsing import cached, choose, chromium, faces, files, find, in_browser, text, wait


@in_browser
def test_a_model_of_another_version_is_neither_run_nor_kept(
    browser: Any, estimator: AgeEstimator, tmp_path: Path
) -> None:
    page.export_page(tmp_path, estimator.model)
    known = tmp_path / "models" / "manifest.json"
    manifest = json.loads(known.read_text())
    manifest["age"]["sha256"] = manifest["age"]["sha256"][::-1]
    known.write_text(json.dumps(manifest))
    with files(tmp_path) as url:
        browser.get(url)
        wait(lambda: "/models/age.onnx.gz is of another version" in text(browser))
        assert not any("age.onnx" in kept for kept in cached(browser))


@in_browser
def test_nothing_is_asked_of_anyone_else(site: str, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    with chromium(f"--log-net-log={log}") as driver:
        driver.get(site)
        assert choose(driver, ASTRONAUT)
    known = json.loads(log.read_text())
    start = known["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [e["params"] for e in known["events"] if e["type"] == start and "params" in e]
    # What Chromium asks for itself has no initiator.
    urls = {job["url"] for job in asked if "http" in job.get("initiator", "")}
    assert {url for url in urls if not url.startswith(site)} == set()
    assert len({url for url in urls if "models/" in url}) == 3


@in_browser
def test_models_are_kept_and_the_page_stays_awake(browser: Any, site: str) -> None:
    browser.get(site)
    wait(lambda: text(browser, "about"))
    browser.refresh()
    # While it loads and computes, the page's own thread is never held for long.
    longest, took = browser.execute_async_script(
        "const done = arguments[0], start = performance.now(); let longest = 0, last = start;"
        "const timer = setInterval(() => { const now = performance.now();"
        "  longest = Math.max(longest, now - last); last = now;"
        "  if (!document.querySelector('#faces > li')) return;"
        "  clearInterval(timer); done([longest, now - start]); }, 5);"
        "document.getElementById('example').click();"
    )
    assert longest < took / 3
    fetched = cached(browser)
    assert len(fetched) == 3
    assert sum(".onnx" in url for url in fetched) == 2


@in_browser
def test_the_page_opens_again_without_a_network(
    browser: Any, estimator: AgeEstimator, tmp_path: Path
) -> None:
    page.export_page(tmp_path, estimator.model)
    with files(tmp_path) as url:
        browser.get(url)
        wait(lambda: text(browser, "about"))
        (online,) = choose(browser, ASTRONAUT)
        script = "navigator.serviceWorker.ready.then(r => arguments[0](r.active.state))"
        wait(lambda: browser.execute_async_script(script) == "activated")
    browser.refresh()
    wait(lambda: text(browser, "about"))
    (offline,) = choose(browser, ASTRONAUT)
    assert offline["age"] == online["age"]
    find(browser, "example").click()
    wait(lambda: len(faces(browser)) == 1)


@in_browser
def test_a_new_version_takes_the_place_of_the_one_that_is_kept(
    browser: Any, estimator: AgeEstimator, tmp_path: Path
) -> None:
    page.export_page(tmp_path, estimator.model)
    with files(tmp_path) as url:
        browser.get(url)
        script = "navigator.serviceWorker.ready.then(r => arguments[0](r.active.state))"
        wait(lambda: browser.execute_async_script(script) == "activated")
        index = tmp_path / "index.html"
        index.write_text(index.read_text().replace("<body", "<body data-version='2'", 1))
        later = index.stat().st_mtime + 10  # HTTP knows of whole seconds
        os.utime(index, (later, later))
        browser.get(url)
        assert browser.execute_script("return document.body.dataset.version") == "2"


@in_browser
def test_without_scripts_the_page_says_that_it_needs_them(site: str) -> None:
    with chromium("--blink-settings=scriptEnabled=false") as driver:
        driver.get(site)
        words = driver.find_element("tag name", "body").text
    assert "needs JavaScript" in words
    assert "Choose" not in words

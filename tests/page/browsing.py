"""A headless Chromium, a server of files, and what the tests do with the page."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from agelens.page import files as page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
BROWSER = bool(find_spec("selenium") and CHROMIUM and DRIVER)
BUILT = (page.STATIC / "index.html").is_file()
AXE = ROOT / "page" / "node_modules" / "axe-core" / "axe.min.js"
in_browser = pytest.mark.skipif(
    not (BROWSER and BUILT),
    reason="needs selenium, Debian's chromium and chromium-driver, and the page: npm run build",
)
with_axe = pytest.mark.skipif(
    not (BROWSER and AXE.is_file()),
    reason="needs selenium, Debian's chromium and chromium-driver, and axe-core: npm ci in page/",
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--lang=en-GB",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
RENDERED = (
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--use-vulkan=swiftshader",
)
"""Gives pages WebGPU where there is no graphics card: a device like another, but slow."""
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class _Files(SimpleHTTPRequestHandler):
    headers_sent: dict[str, str]

    def end_headers(self) -> None:
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def files(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    handler = type("Files", (_Files,), {"headers_sent": headers or {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)  # a machine may be busy
    # A page without the focus, as of two browsers at least one has none, hears nothing of it.
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def screen(driver: Any, width: int, **features: str) -> Iterator[None]:
    """A screen of this width, and media features such as ``prefers_color_scheme="dark"``."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 800}
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]  # nothing is half changed
    media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still + media})
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still})


def violations(driver: Any) -> list[Any]:
    """What axe has against what is shown now, at the levels A and AA of WCAG 2.1."""
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(AXE.read_text("utf-8"))
    run = """const done = arguments[0], runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
        const options = {runOnly, resultTypes: ['violations']};
        const drawn = () => new Promise(requestAnimationFrame);
        drawn().then(drawn).then(() => axe.run(options)).then(
          r => done(r.violations.map(v => [v.id, v.nodes.map(n => n.html)])))"""
    return list(driver.execute_async_script(run))


def wait(done: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < deadline, "the page did not get there"
        time.sleep(0.05)
    return value


def find(driver: Any, name: str) -> Any:
    return driver.find_element("id", name)


def text(driver: Any, name: str = "status") -> str:
    return str(find(driver, name).text)


def faces(driver: Any) -> list[dict[str, Any]]:
    script = "return [...document.querySelectorAll('#faces > li')].map(x => x.dataset.face)"
    return [json.loads(face) for face in driver.execute_script(script)]


def choose(driver: Any, path: Path, seconds: float = 90) -> list[dict[str, Any]]:
    find(driver, "file").send_keys(str(path))
    wait(lambda: "Looking" not in text(driver) and text(driver), seconds)
    return faces(driver)


def cached(driver: Any) -> list[str]:
    """Addresses of what the page keeps."""
    script = "return caches.open('agelens').then(c => c.keys()).then(k => k.map(r => r.url))"
    return list(driver.execute_script(script))


def fire(driver: Any, event: str, url: str) -> None:
    """Paste or drop what is at `url`, or text."""
    driver.execute_async_script(
        """const [event, url, done] = arguments; (async () => {
          const data = new DataTransfer();
          if (url) data.items.add(new File([await (await fetch(url)).blob()], 'a.jpg'));
          else data.setData('text/plain', 'words');
          const init = {bubbles: true, cancelable: true};
          document.body.dispatchEvent(event === 'paste'
            ? new ClipboardEvent('paste', {...init, clipboardData: data})
            : new DragEvent('drop', {...init, dataTransfer: data}));
          done();
        })()""",
        event,
        url,
    )


LOOKS: list[tuple[int, dict[str, str]]] = [
    (1280, {"prefers_color_scheme": "light"}),
    (1280, {"prefers_color_scheme": "dark"}),
    (390, {"prefers_color_scheme": "light"}),
    (320, {"prefers_color_scheme": "dark"}),
    (1280, {"forced_colors": "active"}),
]


def check_accessibility(driver: Any, state: str) -> None:
    """Hold the page, as it is now, against WCAG's levels A and AA in every look."""
    for width, features in LOOKS:
        with screen(driver, width, **features):
            assert violations(driver) == [], (state, width, features)
            wide = driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, (state, width, features)

"""How heavy and how fast the web page is, in a headless Chromium on this machine.

    python benchmarks/page_speed.py --json page-speed.json

- first visit: bytes that the server sends until the page is ready, at most 8.5 million.
- ready again: milliseconds from a reload to the models being ready, all from the browser's caches;
  the median of some reloads is at most 1,500.
- camera: frames a second with one face in view, at least 8 on the processor.

It needs the built page (npm run build in page/), selenium, and Debian's chromium and
chromium-driver.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

from agelens.benchmark.machine import machine
from agelens.files import atomic_path
from agelens.page.files import export_page, headers
from agelens.pipeline.model import AgeModel
from agelens.reporting.command import recorded_command

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES, MOST_MILLISECONDS, LEAST_FPS = 8_500_000, 1500, 8
READY = """const done = arguments[0], look = () =>
    document.getElementById('about').textContent ? done(performance.now()) : setTimeout(look, 5);
look();"""


class Files(SimpleHTTPRequestHandler):
    """Serves the page as the service does, and counts."""

    sent = 0

    def end_headers(self) -> None:
        """With the headers that let WebAssembly use threads."""
        for name, value in headers().items():
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file."""
        data = source.read()
        Files.sent += len(data)
        outputfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def page(folder: Path) -> Iterator[str]:
    """The page on a port of this machine."""
    export_page(folder, AgeModel("light"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """A browser whose camera shows the astronaut."""
    video = folder / "camera.mjpeg"
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        wide = Image.new("RGB", (640, 480))
        wide.paste(image.convert("RGB").resize((480, 480)))
    wide.save(video, "JPEG", quality=90)
    video.write_bytes(video.read_bytes() * 30)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--lang=en-GB"),
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-video-capture={video}",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    try:
        yield driver
    finally:
        driver.quit()


def measure(reloads: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with page(folder / "site") as url, chromium(folder) as driver:
            driver.get(url)
            driver.execute_async_script(READY)
            worker = "navigator.serviceWorker.ready.then(r => arguments[0](r.active.state))"
            while driver.execute_async_script(worker) != "activated":
                time.sleep(0.05)
            first = Files.sent
            again = []
            for _ in range(reloads):
                driver.refresh()
                again.append(driver.execute_async_script(READY))
            driver.execute_script("document.getElementById('camera').click()")
            time.sleep(seconds)
            shown = driver.execute_script("return document.getElementById('fps').textContent")
    median = statistics.median(again)
    fps = float(shown.split()[0]) if shown else 0.0
    return {
        "first_visit_bytes": first,
        "ready_again_milliseconds": [round(one) for one in again],
        "ready_again_median": round(median),
        "camera_fps": fps,
        "ok": first <= MOST_BYTES and median <= MOST_MILLISECONDS and fps >= LEAST_FPS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reloads", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10, help="of the camera")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    report: dict[str, Any] = {"command": recorded_command(), "machine": machine()}
    report |= measure(options.reloads, options.seconds)
    print(json.dumps({name: report[name] for name in report if name not in ("command", "machine")}))
    if options.json:
        with atomic_path(options.json) as partial_file:
            partial_file.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if not report["ok"]:
        raise SystemExit("not every bar is held")


if __name__ == "__main__":
    main()

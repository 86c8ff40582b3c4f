"""The web page in a real browser: Python's answers, nothing sent, words for all that goes wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ASTRONAUT
from PIL import Image
from typer.testing import CliRunner

from agelens import AgeEstimator, Face, Landmarks
from agelens.cli import export_web  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.page import files as page
from agelens.pipeline.calibration import Calibration, intervals, quantile
from agelens.pipeline.images import load_image
from agelens.pipeline.model import AgeModel
from agelens.pipeline.quality import cut_face
from agelens.types import Detection

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
BUILT = (page.STATIC / "index.html").is_file()
in_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and BUILT),
    reason="needs Debian's chromium and chromium-driver, and the page: npm ci && npm run build",
)
FLAGS = [
    "--headless",
    "--no-sandbox",
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
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def estimator() -> AgeEstimator:
    """With the model that the page runs, whatever the default is."""
    return AgeEstimator("light")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    result = CliRunner().invoke(commands, ["export-web", str(folder)])
    assert result.exit_code == 0, result.output
    with files(folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows the astronaut, her face in the left of the picture."""
    video = tmp_path_factory.mktemp("camera") / "astronaut.mjpeg"
    with Image.open(ASTRONAUT) as image:
        wide = Image.new("RGB", (640, 480))
        wide.paste(image.convert("RGB").resize((480, 480)))
    wide.save(video, "JPEG", quality=90)
    video.write_bytes(video.read_bytes() * 30)
    fake = "--use-fake-device-for-media-stream"
    with chromium(fake, f"--use-file-for-fake-video-capture={video}") as driver:
        yield driver


def wait(done: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < deadline, "the page did not get there"
        time.sleep(0.05)
    return value


def find(driver: Any, name: str) -> Any:
    return driver.find_element(By.ID, name)


def text(driver: Any, name: str = "status") -> str:
    return str(find(driver, name).text)


def faces(driver: Any) -> list[dict[str, Any]]:
    script = "return [...document.querySelectorAll('#faces > li')].map(x => x.dataset.face)"
    return [json.loads(face) for face in driver.execute_script(script)]


def choose(driver: Any, path: Path) -> list[dict[str, Any]]:
    find(driver, "file").send_keys(str(path))
    wait(lambda: "Looking" not in text(driver) and text(driver))
    return faces(driver)


def same_face(found: dict[str, Any], face: Face, estimator: AgeEstimator, picture: Path) -> None:
    """Hold the browser's face against Python's.

    The int8 model answers a change of its crop's last bits, such as landmarks 0.0001 pixels away
    bring, with a year; so each step is held against Python's on the browser's own input to it,
    and only what is between them is wide.
    """
    expected = face.to_dict()
    for name, value in expected["box"].items():
        assert found["box"][name] == pytest.approx(value, abs=0.05)
    marks = np.array([found["landmarks"][name] for name in expected["landmarks"]])
    assert marks == pytest.approx(face.landmarks.to_array(), abs=0.05)
    assert found["score"] == pytest.approx(face.score, abs=1e-3)

    pixels, model = load_image(picture), estimator.model
    landmarks = Landmarks.from_array(marks)
    found_there = Detection(face.box, landmarks, face.score)
    crop, quality = cut_face(pixels, found_there, model.template, model.size)
    for name in ("size", "sharpness", "brightness", "contrast", "yaw", "cut_off"):
        known = getattr(quality, name)
        assert found["quality"][name] == pytest.approx(known, rel=1e-5, abs=1e-5), name
    assert found["quality"]["reasons"] == expected["quality"]["reasons"]

    row, ages = np.array([found["distribution"]]), np.asarray(model.ages, np.float64)
    assert found["age"] == pytest.approx(quantile(row, ages, 0.5)[0], abs=1e-6)
    ends = found["interval"]["low"], found["interval"]["high"]
    assert ends == pytest.approx(intervals(row, ages, model.calibration, 0.9)[0], abs=1e-6)
    assert found["at_least"] == {"18": pytest.approx(row[0, ages >= 18].sum())}

    native = model.calibration.calibrated(model.predict(crop[None]))
    assert found["age"] == pytest.approx(quantile(native, ages, 0.5)[0], abs=1.5)
    assert np.abs(np.cumsum(row[0] - native[0])).max() < 0.1
    assert found["age"] == pytest.approx(face.age, abs=3)


def test_an_unbuilt_page_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "STATIC", tmp_path)
    result = CliRunner().invoke(commands, ["export-web", str(tmp_path / "site")])
    assert isinstance(result.exception, page.PageError)
    assert "npm run build" in str(result.exception)
    assert not (tmp_path / "site").exists()


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_export_replaces_its_own_files_only(tmp_path: Path) -> None:
    address = "https://ages.example/api/"
    command = ["export-web", str(tmp_path), "--service", address]
    foreign = [tmp_path / "CNAME", tmp_path / "agelens" / "old.js"]
    foreign[1].parent.mkdir()
    for path in foreign:
        path.touch()
    assert CliRunner().invoke(commands, command).exit_code == 0
    assert all(path.exists() for path in foreign)
    known = tmp_path / "models" / "manifest.json"
    manifest = json.loads(known.read_text())
    here = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert here - {"agelens/old.js", "models/manifest.json"} == set(manifest["files"])

    (tmp_path / "agelens" / "earlier.js").touch()
    listed = [*manifest["files"], "agelens/earlier.js", "agelens/../CNAME", "CNAME"]
    known.write_text(json.dumps(manifest | {"files": listed}))
    assert CliRunner().invoke(commands, command).exit_code == 0
    assert all(path.exists() for path in foreign)
    assert here == {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert json.loads(known.read_text()) == manifest
    assert manifest["service"] == "https://ages.example/api/v1/estimate"
    for part in ("age", "detector"):
        assert (tmp_path / "models" / manifest[part]["file"]).stat().st_size > 1_000_000
    html = (tmp_path / "index.html").read_text()
    assert "connect-src 'self' https://ages.example;" in html
    refused = CliRunner().invoke(commands, ["export-web", str(tmp_path), "--service", "x.example"])
    assert "http" in str(refused.exception)


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_a_models_bytes_are_given_under_their_own_digest_only() -> None:
    pytest.importorskip("fastapi", reason="needs agelens[web]")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    app.include_router(page.page_routes(AgeModel("light")))
    client = TestClient(app)
    manifest = client.get("/models/manifest.json").json()
    for part in ("age", "detector"):
        name, digest = manifest[part]["file"], manifest[part]["sha256"]
        answer = client.get(f"/models/{name}?{digest}")
        assert hashlib.sha256(answer.content).hexdigest() == digest
        assert "immutable" in answer.headers["cache-control"]
        for query in ("", f"?{digest[::-1]}"):
            refused = client.get(f"/models/{name}{query}")
            assert refused.status_code == 404
            assert "immutable" not in refused.headers.get("cache-control", "")


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
        wait(lambda: "/models/age.onnx is of another version" in text(browser))
        assert not any("age.onnx" in kept for kept in cached(browser))


def cached(driver: Any) -> list[str]:
    """Addresses of what the page keeps."""
    script = "return caches.open('agelens').then(c => c.keys()).then(k => k.map(r => r.url))"
    return list(driver.execute_script(script))


@in_browser
def test_the_browser_gives_pythons_answer(
    browser: Any, site: str, estimator: AgeEstimator, tmp_path: Path
) -> None:
    browser.get(site)
    (face,) = estimator.estimate(ASTRONAUT)
    (found,) = choose(browser, ASTRONAUT)
    same_face(found, face, estimator, ASTRONAUT)
    card = browser.find_element(By.CSS_SELECTOR, "#faces > li").text
    assert f"{round(found['age'])} years" in card
    assert "at least 18" in card
    assert "1 thread" in text(browser, "about")

    # Two faces in a picture so large that it is searched in tiles, one small, one dark.
    crowd, small, dark = (tmp_path / f"{name}.png" for name in ("crowd", "small", "dark"))
    with Image.open(ASTRONAUT) as image:
        portrait = image.convert("RGB")
    wide = Image.new("RGB", (1500, 1024), "grey")
    wide.paste(portrait.resize((1024, 1024)))
    wide.paste(portrait.resize((450, 450)), (1034, 300))
    wide.save(crowd)
    portrait.resize((96, 96)).save(small)
    portrait.resize((160, 160)).point(lambda value: value // 22).save(dark)
    for picture, count, hint in (
        (crowd, 2, ""),
        (small, 1, "move closer"),
        (dark, 1, "more light"),
    ):
        known = estimator.estimate(picture)
        there = choose(browser, picture)
        assert len(known) == len(there) == count
        for one, other in zip(there, known, strict=True):
            same_face(one, other, estimator, picture)
        assert hint in browser.find_element(By.CLASS_NAME, "hints").text


@in_browser
def test_webgpu_gives_pythons_answer(site: str, estimator: AgeEstimator) -> None:
    (face,) = estimator.estimate(ASTRONAUT)
    with chromium(*RENDERED) as driver:
        driver.get(f"{site}?compute=webgpu")
        ask = "navigator.gpu.requestAdapter().then(card => arguments[0](Boolean(card)))"
        if not driver.execute_async_script(f"navigator.gpu ? {ask} : arguments[0](false)"):
            pytest.skip("this Chromium has no WebGPU, not even in software")
        (found,) = choose(driver, ASTRONAUT)
        computes = text(driver, "about")
    assert "graphics card (WebGPU)" in computes
    assert found["age"] == pytest.approx(face.age, abs=0.3)
    for name, value in face.to_dict()["box"].items():
        assert found["box"][name] == pytest.approx(value, abs=0.5)


@in_browser
def test_the_page_takes_a_model_of_another_size(browser: Any, tmp_path: Path) -> None:
    other = AgeEstimator("resnet50")
    # And with a calibration that changes much: it hardly knows the young, and is unsure.
    ages = np.arange(117.0)
    known = Calibration(
        2.0, np.exp((ages - 60) / 10), np.array([0.0, 80]), np.array([0.0, 0.9, 1]),
        np.array([[0.0, 0.5, 1], [0, 0.97, 1]])
    )  # fmt: skip
    other.model.calibration = known
    other.model.metadata["calibration"] = known.to_dict()
    page.export_page(tmp_path, other.model)
    (face,) = other.estimate(ASTRONAUT)
    assert face.age > 30  # 17.5 with its own
    with files(tmp_path) as url:
        browser.get(url)
        (found,) = choose(browser, ASTRONAUT)
    same_face(found, face, other, ASTRONAUT)


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
    assert sum("models/" in url for url in urls) == 3


@in_browser
def test_threads_where_the_server_lets_them(
    browser: Any, estimator: AgeEstimator, tmp_path: Path
) -> None:
    page.export_page(tmp_path, estimator.model)
    with files(tmp_path, ISOLATED) as url:
        browser.get(url)
        (face,) = estimator.estimate(ASTRONAUT)
        same_face(choose(browser, ASTRONAUT)[0], face, estimator, ASTRONAUT)
        cores = browser.execute_script("return navigator.hardwareConcurrency")
        assert cores == 1 or f"{min(4, cores)} threads" in text(browser, "about")


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
def test_words_for_what_is_no_picture(browser: Any, site: str, tmp_path: Path) -> None:
    browser.get(site)
    notes = tmp_path / "notes.jpg"
    notes.write_text("not a picture")
    assert choose(browser, notes) == []
    assert text(browser).startswith("notes.jpg: not a picture")
    blank = tmp_path / "blank.png"
    Image.new("RGB", (90, 70)).save(blank)
    assert choose(browser, blank) == []
    assert text(browser).startswith("No face")
    for event, words in (("paste", "clipboard holds no"), ("drop", "no picture file")):
        fire(browser, event, "")
        assert words in text(browser)


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


@in_browser
def test_paste_drop_and_keyboard(browser: Any, site: str) -> None:
    example = f"agelens/{next(name for name in page.page_files() if 'astronaut' in name)}"
    for event in ("paste", "drop"):
        browser.get(site)
        fire(browser, event, example)
        wait(lambda: len(faces(browser)) == 1)
    # One that comes before the page knows of its models waits for that.
    late = """const real = fetch; window.fetch = async (...asked) => {
        if (`${asked[0]}`.endsWith('manifest.json')) await new Promise(go => window.go = go);
        return real(...asked); }"""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": late})
    try:
        browser.get(site)
        fire(browser, "drop", example)
        assert text(browser).startswith("Looking")
        browser.execute_script("window.go()")
        wait(lambda: len(faces(browser)) == 1)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    browser.get(site)
    reached = set()
    for _ in range(8):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(browser.switch_to.active_element.get_attribute("id"))
    visible = browser.execute_script(
        "return [...document.querySelectorAll('button, input, select, a')]"
        ".filter(x => x.checkVisibility()).map(x => x.id)"
    )
    assert set(visible) == {"choose", "camera", "example", "age"}
    assert set(visible) <= reached
    while browser.switch_to.active_element.get_attribute("id") != "example":
        browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    (adult,) = wait(lambda: faces(browser))
    browser.switch_to.active_element.send_keys(Keys.TAB, Keys.BACKSPACE, Keys.DELETE, Keys.DELETE)
    assert find(browser, "age").get_attribute("value") == ""
    browser.execute_script("document.querySelector('#faces').replaceChildren()")
    fire(browser, "drop", example)
    (same,) = wait(lambda: faces(browser))  # while the field is empty, its last age counts
    assert same["at_least"] == adult["at_least"]
    browser.switch_to.active_element.send_keys("30", Keys.TAB)
    (older,) = wait(lambda: [face for face in faces(browser) if "30" in face["at_least"]])
    assert older["at_least"]["30"] < adult["at_least"]["18"]
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('button, input:not([hidden])')]"
        ".filter(x => !x.innerText && !x.labels?.length).length"
    )
    assert unnamed == 0


@in_browser
def test_a_phone_shows_all_without_sideways_scrolling(browser: Any, site: str) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    try:
        browser.get(site)
        choose(browser, ASTRONAUT)
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in ground[4:-1].split(",")) < 40
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@in_browser
def test_words_for_a_camera_that_is_absent_or_refused(browser: Any, camera: Any, site: str) -> None:
    browser.get(site)
    find(browser, "camera").click()
    wait(lambda: "No camera was found" in text(browser))
    camera.get(site)
    denied = {"permission": {"name": "camera"}, "setting": "denied", "origin": site}
    camera.execute_cdp_cmd("Browser.setPermission", denied)
    find(camera, "camera").click()
    wait(lambda: "The camera was refused" in text(camera))
    assert text(camera, "camera") == "Use the camera"


@in_browser
def test_the_camera_is_mirrored_and_tells_its_speed(camera: Any, site: str) -> None:
    granted = {"permission": {"name": "camera"}, "setting": "granted", "origin": site}
    camera.execute_cdp_cmd("Browser.setPermission", granted)
    camera.get(site)
    find(camera, "camera").click()
    wait(lambda: text(camera, "fps").endswith("fps") and faces(camera))
    assert float(text(camera, "fps").split()[0]) > 0
    (face,) = faces(camera)
    assert face["box"]["x2"] < 320  # of 640: left in the camera's picture, right in the mirror
    left = camera.execute_script("return document.querySelector('#boxes > div').style.left")
    assert float(left[:-1]) == pytest.approx(100 * (1 - face["box"]["x2"] / 640), abs=2)
    find(camera, "camera").click()
    wait(lambda: not faces(camera))
    assert not find(camera, "video").is_displayed()


@in_browser
def test_of_two_starts_one_camera_stays_on(camera: Any, site: str) -> None:
    granted = {"permission": {"name": "camera"}, "setting": "granted", "origin": site}
    camera.execute_cdp_cmd("Browser.setPermission", granted)
    camera.get(site)
    camera.execute_script(
        """const media = navigator.mediaDevices, real = media.getUserMedia.bind(media);
        window.tracks = [];
        media.getUserMedia = async asked => {
          const at = tracks.push(null) - 1, stream = await real(asked);
          tracks[at] = stream.getTracks()[0];
          if (at === 0) await new Promise(go => window.go = go);  // the first comes last
          return stream;
        };
        document.getElementById('camera').click(); document.getElementById('camera').click();"""
    )
    states = "return tracks.map(track => track?.readyState)"
    wait(lambda: text(camera, "fps").endswith("fps") and faces(camera))
    wait(lambda: camera.execute_script("return Boolean(window.go)"))
    assert camera.execute_script(states) == ["live", "live"]
    camera.execute_script("window.go()")
    wait(lambda: camera.execute_script(states) == ["ended", "live"])
    assert text(camera, "camera") == "Stop the camera"
    find(camera, "camera").click()
    wait(lambda: camera.execute_script(states) == ["ended", "ended"])


@in_browser
def test_the_service_gives_the_page_and_answers_its_switch(browser: Any) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="needs agelens[web]")
    from agelens.service.app import create_app
    from agelens.service.settings import Settings

    app = create_app(Settings(model="light", jobs=1, api_keys=("secret",)))
    app.include_router(page.page_routes(app.state.service.estimator.model))
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
        find(browser, "key").send_keys("secret", Keys.ENTER)
        (there,) = wait(lambda: faces(browser))
        assert "distribution" not in there
        assert there["box"] == pytest.approx(here["box"], abs=0.05)
        assert there["age"] == pytest.approx(here["age"], abs=3)
        assert set(there["at_least"]) == {"18"}
        found = browser.execute_async_script(
            "fetch('metrics', {headers: {'X-API-Key': 'secret'}})"
            ".then(r => r.text()).then(arguments[0])"
        )
        assert 'agelens_requests_total{route="/v1/estimate",status="200"} 1.0' in found
    finally:
        server.should_exit = True
        thread.join(20)

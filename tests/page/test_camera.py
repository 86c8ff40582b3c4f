"""The camera: absent, refused, mirrored, started twice."""

from __future__ import annotations

from typing import Any

import pytest

from page.browsing import faces, find, in_browser, text, wait


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
    # What is shown is the frame that was looked at, and the guide is gone: the face is good.
    size = "const c = document.getElementById('still'); return [c.width, c.height]"
    assert camera.execute_script(size) == [640, 480]
    assert find(camera, "still").is_displayed()
    assert not find(camera, "guide").is_displayed()
    find(camera, "camera").click()
    wait(lambda: not faces(camera))
    assert not find(camera, "video").is_displayed()


@in_browser
def test_a_guide_says_what_to_do_until_the_face_is_good(camera: Any, site: str) -> None:
    granted = {"permission": {"name": "camera"}, "setting": "granted", "origin": site}
    camera.execute_cdp_cmd("Browser.setPermission", granted)
    camera.get(site)
    # The camera's picture is black at first, and then it is spoilt in other ways.
    camera.execute_script(
        """const real = window.createImageBitmap; window.filter = 'brightness(0)';
        window.createImageBitmap = (source, ...more) => {
          if (!(source instanceof HTMLVideoElement)) return real(source, ...more);
          const canvas = new OffscreenCanvas(640, 480), context = canvas.getContext('2d');
          context.filter = window.filter;
          context.drawImage(source, 0, 0, 640, 480);
          return real(canvas);
        };"""
    )
    find(camera, "camera").click()
    for picture, words in (
        ("brightness(0)", "more light"),  # nobody can be seen
        ("brightness(0) invert(0.4)", "into the oval"),  # nobody is there
        ("brightness(0.12)", "more light"),  # a face, so dark that it looks blurred
        ("blur(6px)", "hold still"),
    ):
        camera.execute_script("window.filter = arguments[0]", picture)
        wait(lambda words=words: words in text(camera, "guide"))
    camera.execute_script("window.filter = 'none'")
    wait(lambda: faces(camera) and not find(camera, "guide").is_displayed())
    find(camera, "camera").click()


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

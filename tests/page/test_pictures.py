"""Pictures that are chosen, dropped and pasted; words for what is none; keyboard and phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ASTRONAUT
from PIL import Image

from agelens.page import files as page
from page.browsing import choose, faces, find, fire, in_browser, text, wait

Keys = pytest.importorskip("selenium.webdriver", reason="needs selenium").Keys


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


@in_browser
def test_paste_drop_and_keyboard(browser: Any, site: str) -> None:
    example = next(name for name in page.page_files() if "astronaut" in name)
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
    for _ in range(12):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(browser.switch_to.active_element.get_attribute("id"))
    visible = browser.execute_script(
        "return [...document.querySelectorAll('button, input, select, a')]"
        ".filter(x => x.checkVisibility()).map(x => x.id)"
    )
    links = {""}  # of the foot; they have no names
    assert set(visible) == {"choose", "camera", "example", "age", "language"} | links
    assert set(visible) <= reached
    while browser.switch_to.active_element.get_attribute("id") != "example":
        browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    (adult,) = wait(lambda: faces(browser))
    while browser.switch_to.active_element.get_attribute("id") != "age":
        browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.BACKSPACE, Keys.DELETE, Keys.DELETE)
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

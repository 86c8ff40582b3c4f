"""What is shown of faces: labels, numbers, several pictures, what is taken away; accessibility."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ASTRONAUT, ROOT
from PIL import Image

from agelens import AgeEstimator
from page.browsing import (
    check_accessibility,
    choose,
    faces,
    find,
    in_browser,
    screen,
    text,
    wait,
    with_axe,
)


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Three faces, one at the upper border."""
    with Image.open(ASTRONAUT) as image:
        portrait = image.convert("RGB")
    wide = Image.new("RGB", (900, 600), "grey")
    wide.paste(portrait)
    wide.paste(portrait.resize((300, 300)).crop((0, 30, 300, 300)), (550, 0))
    wide.paste(portrait.resize((200, 200)), (600, 350))
    path = tmp_path / "a crowd, at the station.png"
    wide.save(path)
    return path


def rectangles(driver: Any, selector: str) -> list[tuple[float, float, float, float]]:
    script = """return [...document.querySelectorAll(arguments[0])]
        .filter(x => getComputedStyle(x).visibility === 'visible')
        .map(x => x.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"""
    return [tuple(corners) for corners in driver.execute_script(script, selector)]


@in_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_labels_cover_no_face_and_stay_inside(
    browser: Any, site: str, crowd: Path, width: int
) -> None:
    with screen(browser, width):
        browser.get(site)
        assert len(choose(browser, crowd)) == 3
        labels, boxes = rectangles(browser, "#labels > *"), rectangles(browser, "#boxes > *")
        (frame,) = rectangles(browser, "#frame")
    assert len(labels) == len(boxes) == 3
    for left, top, right, bottom in labels:
        assert frame[0] <= left < right <= frame[2]
        assert frame[1] <= top < bottom <= frame[3]
        for x1, y1, x2, y2 in boxes:
            assert right <= x1 or x2 <= left or bottom <= y1 or y2 <= top


@in_browser
def test_cards_and_faces_are_linked_by_their_numbers(browser: Any, site: str, crowd: Path) -> None:
    browser.get(site)
    choose(browser, crowd)
    numbers = browser.find_elements("css selector", "#faces .number")
    labels = browser.find_elements("css selector", "#labels > span")
    assert [number.text for number in numbers] == ["1", "2", "3"]
    assert [label.text.split(":")[0] for label in labels] == ["1", "2", "3"]
    chosen = "return [...document.querySelectorAll('.chosen')].map(x =>"
    chosen += " [x.parentNode.id, [...x.parentNode.children].indexOf(x)])"
    everywhere = [["boxes", 1], ["labels", 1], ["faces", 1]]
    browser.execute_script("arguments[0].focus()", numbers[1])  # as the keyboard does
    assert browser.execute_script(chosen) == everywhere
    browser.execute_script("document.activeElement.blur()")
    assert browser.execute_script(chosen) == []
    browser.find_elements("css selector", "#boxes > div")[1].click()  # or a touch
    assert browser.execute_script(chosen) == everywhere
    assert browser.switch_to.active_element == numbers[1]


@in_browser
def test_several_pictures_at_once(
    browser: Any, site: str, crowd: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    browser.get(site)
    find(browser, "file").send_keys("\n".join(map(str, (crowd, broken, ASTRONAUT))))
    wait(lambda: text(browser).startswith("3 pictures, 4 faces"))
    assert len(faces(browser)) == 3
    buttons = browser.find_elements("css selector", "#pictures button")
    counts = [button.text.splitlines()[-1] for button in buttons]
    assert counts == ["3 faces", "not read", "1 face"]
    buttons[1].click()
    wait(lambda: "not a picture" in text(browser))
    assert faces(browser) == []
    buttons[2].click()
    (face,) = wait(lambda: faces(browser))
    (known,) = estimator.estimate(ASTRONAUT)
    assert face["age"] == pytest.approx(known.age, abs=0.3)


@in_browser
def test_results_are_copied_and_saved(
    browser: Any, site: str, crowd: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    allow = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", allow)
    browser.get(site)
    assert not find(browser, "results").is_displayed()
    choose(browser, crowd)
    known = estimator.estimate(crowd)

    def saved(button: str, name: str) -> Path:
        find(browser, button).click()
        wait(lambda: (folder / name).is_file() and (folder / name).stat().st_size, 20)
        return folder / name

    rows = list(csv.DictReader(saved("save-csv", "ages.csv").open(encoding="utf-8")))
    assert [row["path"] for row in rows] == [crowd.name] * 3
    assert list(rows[0]) == list(known.to_rows([18])[0])
    assert [float(row["age"]) for row in rows] == pytest.approx([f.age for f in known], abs=0.3)
    (picture,) = json.loads(saved("save-json", "ages.json").read_text())
    assert picture.keys() == known.to_dict().keys()
    assert picture["faces"][0].keys() - {"at_least"} == known[0].to_dict().keys()
    with Image.open(saved("save-picture", f"{crowd.stem}-ages.jpg")) as drawn:
        assert drawn.size == (known.width, known.height)
        with Image.open(crowd) as plain:
            changed = np.abs(np.array(drawn, int) - np.array(plain)).max(axis=2) > 100
    assert 0.001 < changed.mean() < 0.1  # boxes and labels, and nothing else
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": site[:-1]}
    browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    find(browser, "copy").click()
    wait(lambda: text(browser, "copy") == "Copied", 20)
    script = "navigator.clipboard.readText().then(arguments[0])"
    lines = browser.execute_async_script(script).splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [[crowd.name, n] for n in "123"]


@in_browser
def test_another_language_is_chosen_and_stays(browser: Any, site: str, crowd: Path) -> None:
    browser.get(site)
    choose(browser, crowd)
    assert find(browser, "language").get_attribute("value") == "en"  # as the browser's
    speak(browser, "de")
    assert text(browser, "choose") == "Bilder wählen"
    wait(lambda: text(browser).startswith("3 Gesichter"))
    assert "Intervall" in browser.find_element("css selector", "#faces .interval").text
    assert "Prozessor" in text(browser, "about")
    browser.refresh()
    assert text(browser, "choose") == "Bilder wählen"
    assert browser.execute_script("return document.documentElement.lang") == "de"
    broken = crowd.with_name("broken.jpg")
    broken.write_text("no picture")
    find(browser, "file").send_keys(str(broken))
    wait(lambda: "kein Bild" in text(browser))  # in the worker's words, too
    speak(browser, "en")
    assert text(browser, "choose") == "Choose pictures"


@in_browser
def test_the_footer_leads_to_privacy_model_card_and_source(browser: Any, site: str) -> None:
    browser.get(site)
    wait(lambda: find(browser, "links").is_displayed())
    links = browser.find_elements("css selector", "#links a")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert [link.get_attribute("href") for link in links] == [
        f"{known['Documentation']}service/#privacy",
        f"{known['Source']}/blob/main/MODEL_CARD.md",
        known["Source"],
    ]
    assert "\n## Privacy\n" in (ROOT / "docs" / "service.md").read_text("utf-8")


def speak(driver: Any, language: str) -> None:
    driver.find_element("css selector", f"#language option[value={language}]").click()


@in_browser
@with_axe
def test_no_violation_of_accessibility_in_ten_states(
    camera: Any, site: str, crowd: Path, tmp_path: Path
) -> None:
    broken = tmp_path / f"{'a-very-long-name' * 8}.jpg"
    broken.write_text("no picture")
    checked = []

    def check(state: str) -> None:
        check_accessibility(camera, state)
        checked.append(state)

    granted = {"permission": {"name": "camera"}, "setting": "granted", "origin": site}
    camera.execute_cdp_cmd("Browser.setPermission", granted)
    camera.get(site)
    check("loading")
    wait(lambda: text(camera, "about"))
    check("ready")
    find(camera, "camera").click()
    wait(lambda: faces(camera))
    check("camera")
    camera.execute_script("document.getElementById('guide').hidden = false")
    check("guide")
    find(camera, "camera").click()
    choose(camera, broken)
    check("a picture that cannot be read")
    choose(camera, crowd)
    camera.execute_script("document.querySelector('#faces .number').focus()")
    check("a face that is chosen")
    find(camera, "file").send_keys(f"{crowd}\n{broken}\n{ASTRONAUT}")
    wait(lambda: text(camera).startswith("3 pictures"))
    check("several pictures")
    camera.find_element("css selector", "summary").click()
    check("privacy")
    speak(camera, "de")
    check("another language")
    speak(camera, "en")
    camera.execute_cdp_cmd("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    try:
        size = "return getComputedStyle(document.body).fontSize"
        wait(lambda: camera.execute_script(size) == "32px")
        check("text of 200 %")
    finally:
        camera.execute_cdp_cmd("Page.setFontSizes", {"fontSizes": {"standard": 16}})
    assert len(checked) == 10

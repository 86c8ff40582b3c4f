"""The report on a dataset: measures against worked examples, and the page as its reader sees it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from agelens.data.manifest import Dataset
from agelens.explore.measures import (
    contrast,
    cut_off_fraction,
    effective_side,
    flatness,
    lettering,
    mean_colour,
    roll,
    sharpness,
    yaw,
)
from agelens.explore.report import explore
from agelens.explore.statistics import (
    age_summary,
    effective_number,
    heaps,
    splits_agree,
    suspicion,
    whipple,
)
from agelens.types import Landmarks

# A face in the middle of a 100 x 100 picture: eyes, nose, mouth, ears.
POINTS = np.array([[35, 40], [65, 40], [50, 55], [50, 70], [20, 45], [80, 45]], float)
TEMPLATE = POINTS[:4] / 100


def turned(degrees: float) -> Landmarks:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Landmarks.from_array((POINTS - 50) @ matrix.T + 50)


def test_contrast_and_sharpness_by_hand() -> None:
    flat = np.full((40, 40), 90, np.uint8)
    halves = np.repeat(np.array([[0, 255]], np.uint8), 20, 1).repeat(40, 0)
    assert contrast(flat) == sharpness(flat) == 0
    assert contrast(halves) == pytest.approx(0.5)
    blurred = cv2.GaussianBlur(halves, (9, 9), 3)
    assert 0 < sharpness(blurred) < sharpness(halves)


@pytest.mark.parametrize("side", [24, 48, 96])
def test_the_side_before_enlarging_is_found(photo: NDArray[np.uint8], side: int) -> None:
    face = cv2.cvtColor(photo[60:260, 120:320], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (200, 200), interpolation=cv2.INTER_CUBIC)
    assert side * 0.6 <= effective_side(enlarged) <= side * 1.35
    assert effective_side(enlarged) < effective_side(face)


def test_mean_colour_says_which_cast() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    assert mean_colour(grey) == pytest.approx((0, 0), abs=0.5)
    red, blue = (
        np.full((8, 8, 3), colour, np.uint8) for colour in ((180, 100, 100), (90, 90, 190))
    )
    assert mean_colour(red)[0] > 10
    assert mean_colour(blue)[1] < -10


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 12.0])
def test_roll_is_the_turn_of_the_eyes(degrees: float) -> None:
    assert roll(turned(degrees)) == pytest.approx(degrees, abs=1e-6)
    assert yaw(turned(degrees)) == pytest.approx(0, abs=1e-6)


def test_yaw_follows_the_nose() -> None:
    moved = POINTS.copy()
    moved[2, 0] += 10
    right = yaw(Landmarks.from_array(moved))
    moved[2, 0] -= 20
    assert right == pytest.approx(-yaw(Landmarks.from_array(moved)))
    assert 5 < right < 30


def test_cut_off_fraction_by_hand() -> None:
    whole = Landmarks.from_array(POINTS)
    assert cut_off_fraction(whole, TEMPLATE, 100, 100) == pytest.approx(0, abs=1e-6)
    assert cut_off_fraction(whole, TEMPLATE, 100, 75) == pytest.approx(0.25, abs=1e-6)
    away = Landmarks.from_array(POINTS - [40, 0])
    assert cut_off_fraction(away, TEMPLATE, 100, 100) == pytest.approx(0.4, abs=1e-6)


def test_lettering_sees_letters_outside_the_face_only() -> None:
    plain = np.full((200, 200), 128, np.uint8)
    written = cv2.putText(plain.copy(), "(c) somebody", (5, 190), 0, 0.8, 255, 1)
    box = np.array([0.0, 0.0, 200.0, 150.0])
    assert lettering(plain, box) == 0
    assert lettering(written, box) > 0.02
    assert lettering(written, np.array([0.0, 150.0, 200.0, 200.0])) == 0
    assert flatness(plain) == 1
    assert 0.8 < flatness(written) < 1


def test_heaps_and_whipple_by_hand() -> None:
    even = np.full(80, 50)
    assert heaps(even) == {}
    assert whipple(even) == pytest.approx(100)
    heaped = even.copy()
    heaped[26] = 200
    assert heaps(heaped) == {26: pytest.approx(4)}
    round_only = np.where(np.arange(80) % 5 == 0, 100, 0)
    assert whipple(round_only) == pytest.approx(500)
    assert whipple(np.zeros(10, int)) is None


def test_effective_number_by_hand() -> None:
    assert effective_number(np.array([0, 1, 2]), beta=0.5) == pytest.approx([0, 1, 1.5])
    assert effective_number(np.array([10**6]))[0] == pytest.approx(1000)


def test_age_summary_by_hand() -> None:
    facts = age_summary(pd.Series([10, 20, 30, 80]))
    assert (facts["mean"], facts["median"], facts["share_under_40"]) == (35, 25, 0.75)
    assert facts["skewness"] > 0


def test_splits_that_differ_are_told_from_those_that_agree() -> None:
    rng = np.random.default_rng(0)
    same = pd.DataFrame(
        {
            "age": rng.integers(0, 80, 900),
            "split": np.repeat(["train", "validation", "test"], 300),
            "gender": rng.choice(["male", "female"], 900),
            "ethnicity": None,
        }
    )
    tests = splits_agree(same)
    assert set(tests) == {"age", "gender"}
    assert all(test["p"] > 0.01 for test in tests.values())
    other = same.assign(age=same["age"] + 15 * (same["split"] == "test"))
    other.loc[other["split"] == "test", "gender"] = "male"
    assert all(test["p"] < 0.01 for test in splits_agree(other).values())


def test_suspicion_weighs_an_error_by_the_doubt() -> None:
    grid = np.arange(117.0)
    narrow, wide = (np.exp(-((grid - 30) ** 2) / (2 * s**2)) for s in (2, 12))
    distribution = np.stack([d / d.sum() for d in (narrow, narrow, wide)])
    found = suspicion(np.array([30.0, 50.0, 50.0]), distribution, grid)
    assert found["tail"][0] == pytest.approx(1, abs=0.01)
    assert found["tail"][1] < 1e-6 < 0.05 < found["tail"][2]
    assert found["error"].tolist() == pytest.approx([0, -20, -20], abs=0.1)


class Page(HTMLParser):
    """Collects what a page shows and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.captions: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "srcset", "data"}]
        assert tag not in {"script", "link", "iframe"}

    def handle_data(self, data: str) -> None:
        if self._inside in {"h2", "h3"}:
            self.headings.append(data.strip())
        if self._inside == "figcaption":
            self.captions.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ""


@pytest.fixture(scope="module")
def report(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert explore(dataset, folder, jobs=2) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page((report / "report.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def numbers(report: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((report / "report.json").read_text("utf-8"))
    return values


def test_the_page_loads_nothing(page: Page) -> None:
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)


def test_every_section_and_figure_is_there(page: Page, report: Path) -> None:
    for title in (
        "Overview", "Sources", "Distributions", "Imbalance", "Looks", "Faults",
        "Likely label errors", "A note on the labels",
    ):  # fmt: skip
        assert title in page.headings
    figures = {path.stem for path in (report / "figures").iterdir()}
    for name in figures:
        svg = (report / "figures" / f"{name}.svg").read_text("utf-8")
        assert svg.rstrip().endswith("</svg>")
        image = cv2.imread(str(report / "figures" / f"{name}.png"))
        assert image is not None
        assert image.std() > 1
    assert {"age-by-year", "age-by-gender", "age-by-ethnicity", "age-by-split"} <= figures


def test_the_faults_of_the_folder_are_found(numbers: dict[str, Any], page: Page) -> None:
    faults = numbers["faults"]
    assert faults["unreadable"] == ["58_0_0_20170117000000007.jpg.chip.jpg"]
    assert set(faults["bad_name"]) == {"39_1_20170116174525125.jpg.chip.jpg", "readme.jpg"}
    assert "55_0_0_20170117000000004.jpg.chip.jpg" in faults["no_face"]
    exact = faults["exact_copies"]
    assert (exact["groups"], exact["files"]) == (2, 4)
    assert exact["with_conflicting_ages"] == 1
    assert exact["mean_spread_of_conflicting_ages"] == 25
    assert "33_0_1_20170117000000001.jpg.chip.jpg" in exact["members"][0]  # conflicts come first
    assert any("24_1_3_20170117000000003.jpg.chip.jpg" in group
               for group in faults["near_copies"]["members"])  # fmt: skip
    assert any("33, male, Black" in caption for caption in page.captions)


def test_the_numbers_are_those_of_the_manifest(numbers: dict[str, Any], dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert numbers["overview"]["files"] == len(manifest)
    assert sum(numbers["overview"]["splits"].values()) == numbers["overview"]["usable"]
    labelled = manifest[manifest["age"].notna() & ~manifest["exact_copy"]]
    ages = numbers["distributions"]["age"]
    assert ages["mean"] == pytest.approx(labelled["age"].astype(float).mean())
    assert sum(numbers["distributions"]["by_year"]) == len(labelled)
    shares = numbers["imbalance"]["shares_by_band"]
    for name in ("as they are", "weights sqrt_lds", "sampling sqrt", "as trained"):
        assert sum(shares[name].values()) == pytest.approx(1)


def test_label_errors_are_ranked(numbers: dict[str, Any], dataset: Dataset) -> None:
    judged = numbers["likely-label-errors"]
    tails = [round(row["tail"], 4) for row in judged["ranked"]]
    assert tails == sorted(tails)
    # The model learnt from another dataset, so it can judge every row with a label and a face.
    rows = dataset.manifest
    fit = rows["age"].notna() & rows["landmarks"].notna() & ~rows["implausible_landmarks"]
    assert judged["pictures"] == fit.sum()


def test_a_second_report_reads_the_measures_again(dataset: Dataset, tmp_path: Path) -> None:
    cached = sorted((dataset.folder / "cache").glob("measures-*.parquet"))
    stamps = [path.stat().st_mtime_ns for path in cached]
    command = [sys.executable, "-m", "agelens", "data", "explore", str(dataset.folder)]
    command += ["-o", str(tmp_path / "again"), "--recipe", "efficientnet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "again" / "report.html")
    assert [path.stat().st_mtime_ns for path in cached] == stamps
    numbers = json.loads((tmp_path / "again" / "report.json").read_text("utf-8"))
    assert numbers["imbalance"]["recipe"]["source"] == "The recipe efficientnet"


def test_a_folder_that_was_not_prepared_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agelens", "data", "explore", str(tmp_path), "-o"]
    done = subprocess.run(
        [*command, str(tmp_path / "report")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.search("data prepare", done.stderr)

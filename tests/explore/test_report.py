"""The report on a dataset, as its reader sees it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from pages import Page

from agelens.data.manifest import Dataset
from agelens.explore.report import explore


@pytest.fixture(scope="module")
def report(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert explore(dataset, folder, jobs=2) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report / "report.html")


@pytest.fixture(scope="module")
def numbers(report: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((report / "report.json").read_text("utf-8"))
    return values


def test_the_page_loads_nothing(page: Page) -> None:
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)


def test_every_section_and_figure_is_there(page: Page, report: Path) -> None:
    for title in (
        "In short", "Overview", "Sources", "Distributions", "Imbalance", "Image properties",
        "Issues", "Likely label errors",
        "A note on the labels",
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


def test_the_issues_of_the_folder_are_found(numbers: dict[str, Any], page: Page) -> None:
    issues = numbers["issues"]
    assert issues["unreadable"] == ["58_0_0_20170117000000007.jpg.chip.jpg"]
    assert set(issues["bad_name"]) == {"39_1_20170116174525125.jpg.chip.jpg", "readme.jpg"}
    assert "55_0_0_20170117000000004.jpg.chip.jpg" in issues["no_face"]
    exact = issues["exact_copies"]
    assert (exact["groups"], exact["files"]) == (2, 4)
    assert exact["with_conflicting_ages"] == 1
    assert exact["mean_spread_of_conflicting_ages"] == 25
    assert "33_0_1_20170117000000001.jpg.chip.jpg" in exact["members"][0]  # conflicts come first
    assert any("24_1_3_20170117000000003.jpg.chip.jpg" in group
               for group in issues["near_copies"]["members"])  # fmt: skip
    assert any("33, male, Black" in caption for caption in page.captions)


def test_the_numbers_are_those_of_the_manifest(numbers: dict[str, Any], dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert numbers["overview"]["files"] == len(manifest)
    assert sum(numbers["overview"]["splits"].values()) == numbers["overview"]["usable"]
    labelled = manifest[manifest["age"].notna() & ~manifest["exact_copy"]]
    ages = numbers["distributions"]["age"]
    assert ages["mean"] == pytest.approx(labelled["age"].astype(float).mean())
    assert sum(numbers["distributions"]["by_year"]) == len(labelled)
    weights = numbers["imbalance"]["weights_by_band"]
    for name in ("as they are", "weights sqrt_lds", "sampling sqrt", "as trained"):
        assert sum(weights[name].values()) == pytest.approx(1)


def test_label_errors_are_ranked(numbers: dict[str, Any], dataset: Dataset) -> None:
    found = numbers["likely-label-errors"]
    qualities = [round(row["label_quality"], 4) for row in found["ranked"]]
    assert qualities == sorted(qualities)
    # The model learnt from a source of this name, so the training part is left out.
    rows = dataset.manifest
    fit = rows["age"].notna() & rows["landmarks"].notna() & ~rows["implausible_landmarks"]
    fit &= rows["split"].isin(["validation", "calibration"])
    assert found["pictures"] == fit.sum()


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


def test_the_verdict_comes_first(page: Page, dataset: Dataset) -> None:
    assert page.headings[1] == "In short"  # after the title
    files = len(dataset.manifest)
    assert f"of {files:,} files can be used" in page.words
    assert "guessing age" in page.words
    assert "3.70 by MiVOLO" in page.words  # the files are named as UTKFace's are
    assert "Ages with fewer than 100 pictures to learn from, by band: 00-02" in page.words


def test_lists_without_reason_are_left_out(page: Page, numbers: dict[str, Any]) -> None:
    # Of what is ranked, only pictures with a reason are shown: this one is of one grey.
    assert numbers["issues"]["flatness"] == {"55_0_0_20170117000000004.jpg.chip.jpg": 1.0}
    assert len(numbers["issues"]["lettering"]) < 5
    assert not [words for words in page.headings if words.endswith(": none.")]

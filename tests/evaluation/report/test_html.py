"""The page of an evaluation, as its reader sees it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pandas as pd
import pytest
from conftest import agelens
from pages import Page

from agelens.data.manifest import Dataset
from agelens.evaluation.measured import Measured
from agelens.evaluation.report import tables, words
from agelens.evaluation.report.plots import bars
from agelens.evaluation.results import Evaluation
from agelens.evaluation.robustness.conditions import KINDS


@pytest.fixture(scope="module")
def result(evaluated: Path) -> Evaluation:
    return Evaluation.model_validate_json((evaluated / "numbers.json").read_bytes())


def test_the_page_is_whole_and_loads_nothing(evaluated: Path) -> None:
    page = Page(evaluated / "report" / "index.html")
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    for title in (
        "In short", "Summary", "Errors", "Intervals", "Age 18", "Age 40", "Groups",
        "Bad conditions", "Comparison", "Cases",
    ):  # fmt: skip
        assert title in page.headings
    assert all(page.alts)
    assert (evaluated / "report" / "report.json").read_bytes() == (
        evaluated / "numbers.json"
    ).read_bytes()
    figures = {path.stem for path in (evaluated / "report" / "figures").glob("*.png")}
    for name in figures:
        image = cv2.imread(str(evaluated / "report" / "figures" / f"{name}.png"))
        assert image is not None
        assert image.std() > 1
    assert figures == {
        "scatter", "errors-by-age", "cumulative-score", "interval-coverage", "probability-18",
        "probability-40", "checks-18", "checks-40", "groups", "groups-crossed", "comparison",
        "bad-light-and-colour", "bad-noise", "bad-blur-and-detail", "bad-hidden-parts",
        "bad-framing",
    }  # fmt: skip


def test_its_numbers_are_those_of_the_estimates(evaluated: Path, result: Evaluation) -> None:
    page = Page(evaluated / "report" / "index.html")
    table = pd.read_csv(evaluated / "predictions.csv").dropna(subset="predicted")
    errors = (table["predicted"] - table["age"]).abs()
    own = result.overall
    assert own["mae"].value == pytest.approx(errors.mean())
    assert words.metric("mae", own) in page.words
    assert f"wrong by {errors.mean():.2f}" in page.words
    worst, row = page.captions[0], table.loc[errors.idxmax()]
    assert worst.startswith(f"label {row['age']}\nestimate {row['predicted']:.1f}\n")
    assert result.cumulative_score[5] == pytest.approx((errors <= 5).mean())
    whole = (table["predicted"].round() - table["age"]).abs()
    assert result.whole_years["mae"].value == pytest.approx(whole.mean())
    assert words.metric("within_5", result.whole_years) in page.words
    scatter = next(alt for alt in page.alts if alt.startswith("Density"))
    young = table[table["age"] <= 2]
    middle = f"labelled {young['age'].median():.0f}, estimated {young['predicted'].median():.0f}"
    assert middle in scatter


def test_the_verdict_comes_first_in_words_and_colour(evaluated: Path) -> None:
    page = Page(evaluated / "report" / "index.html")
    assert page.headings[1] == "In short"
    assert "expect:" in page.words
    assert "falls short:" in page.words  # 40 chips of one face, with 12 ages
    assert {"expect", "falls-short"} <= page.classes


def test_a_second_report_estimates_nothing_and_leaves_out_what_was_not_measured(
    evaluated: Path, dataset: Dataset
) -> None:
    folder = evaluated / "report"
    journals = {path: path.read_bytes() for path in folder.glob("predictions-*.jsonl")}
    assert len(journals) == 2
    before = Page(folder / "index.html").captions
    done = agelens("evaluate", "light", dataset.folder, "--split", "train", "--report", folder)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in folder.glob("predictions-*.jsonl")} == journals
    page = Page(folder / "index.html")
    assert page.captions == before
    assert "Age 18" in page.headings  # without --thresholds
    assert not {"Age 40", "Bad conditions", "Comparison"} & set(page.headings)


def test_every_kind_of_corruption_is_in_one_family() -> None:
    named = [kind for kinds in tables.FAMILIES.values() for kind in kinds]
    assert sorted(named) == sorted(KINDS)


def test_error_bars_are_never_negative() -> None:
    """A percentile interval may leave its value outside; matplotlib refuses such a bar."""
    lengths = bars([Measured(value=2, low=2.5, high=3), Measured(value=2, low=1, high=4)])
    assert lengths.tolist() == [[0, 1], [1, 2]]

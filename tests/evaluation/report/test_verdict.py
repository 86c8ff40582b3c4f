"""What a verdict says, of results made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from agelens.evaluation.measured import (
    ConstantGuess,
    Measured,
    Metrics,
    Standardised,
    StandardisedGroup,
    WidestGap,
)
from agelens.evaluation.report.verdict import verdict
from agelens.evaluation.report.words import metric
from agelens.evaluation.results import Evaluation
from agelens.reporting.page import Status


def figures(count: int, mae: float = 4.0, bias: float = 0.0, coverage: float = 0.9) -> Metrics:
    def around(value: float, half: float) -> Measured:
        return Measured(value=value, low=value - half, high=value + half)

    return Metrics(
        count=count,
        mae=around(mae, 0.1),
        bias=around(bias, 0.1),
        coverage=around(coverage, 0.02),
        width=around(16, 1),
    )


def result(**changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "model": "light", "model_sha256": "0", "dataset": "0", "split": "test",
        "benchmark": "UTKFace", "agelens": "0", "images": 1000, "missed": [], "miss_rate": 0.0,
        "nominal_coverage": 0.9, "overall": figures(1000), "groups": {}, "crossings": {},
        "constant_guess": ConstantGuess(age=30, mae=15), "standardised": {}, "quality": {},
        "whole_years": figures(1000), "cumulative_score": [],
    }  # fmt: skip
    return Evaluation(**(values | changes))


def said(one: Evaluation, words: str) -> tuple[Status, str]:
    (found,) = [finding for finding in verdict(one) if words in finding.text]
    return found.status, found.text


def test_a_constant_guess_and_the_best_known() -> None:
    status, text = said(result(), "Guessing age 30")
    assert status is Status.GOOD
    assert "15.0 years on average; the model's error is 27% of that" in text
    poor = result(constant_guess=ConstantGuess(age=30, mae=4.5))
    assert said(poor, "Guessing age 30")[0] is Status.POOR
    status, text = said(result(), "best that is known")
    assert status is Status.FAIR
    assert "0.30 years more than" in text
    best = said(result(overall=figures(1000, mae=3.5)), "best that is known")
    assert best[0] is Status.GOOD
    assert "0.20 years less than" in best[1]
    for changed in (result(split="validation"), result(benchmark=None)):
        assert not [one for one in verdict(changed) if "best that is known" in one.text]


def test_what_falls_short_is_named_and_small_groups_say_nothing() -> None:
    ages = {
        "10-19": figures(200, coverage=0.8, bias=1.0),
        "80-116": figures(90, mae=7, bias=-5),
        "00-02": figures(3, mae=50, bias=40, coverage=0.1),
    }
    one = result(groups={"age": ages})
    status, text = said(one, "fewer than 90%")
    assert status is Status.POOR
    assert text.endswith("80% at 10-19.")
    assert said(one, "missed most")[1].startswith("Ages 80-116")
    status, text = said(one, "Bias differs")
    assert status is Status.POOR
    assert "+1.0 years at 10-19, -5.0 at 80-116" in text


@pytest.mark.parametrize(
    ("low", "status", "words"),
    [(-0.2, Status.GOOD, "which may be chance"), (0.8, Status.POOR, "(a over b).")],
)
def test_a_gap_between_groups_counts_when_it_is_sure(
    low: float, status: Status, words: str
) -> None:
    group = StandardisedGroup(value=4, low=3, high=5, count=100)
    gap = WidestGap(worst="a", best="b", difference=Measured(value=1.2, low=low, high=2))
    equal = Standardised(groups={"a": group, "b": group}, bands=["20-29"], fraction=1, widest=gap)
    found = said(result(standardised={"gender": equal}), "equal ages")
    assert found[0] is status
    assert words in found[1]


def test_few_pictures_have_no_interval() -> None:
    assert metric("mae", figures(3)) == "4.00"
    assert metric("mae", figures(10)) == "4.00 [3.90, 4.10]"

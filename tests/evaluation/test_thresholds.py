"""Age checks and their error rates, by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ASTRONAUT

from agelens import AgeEstimator
from agelens.decide import AgeCheck
from agelens.evaluation.thresholds import (
    error_rates,
    lowest_challenge,
    measure_thresholds,
    parse_ages,
    rate,
    reliability,
)

TRUE = np.array([5, 15, 16, 17, 18, 20, 30, 40])
ESTIMATES = np.array([6.0, 19, 26, 14, 17, 24, 33, 41])


def test_error_rates_by_hand() -> None:
    rates = error_rates(TRUE, ESTIMATES, age=18, challenge=18)
    assert rates.false_positive_rate.value == 2 / 4
    assert rates.false_positive_rate_near.value == 2 / 3  # without the child of 5
    assert rates.false_negative_rate.value == 1 / 4
    stricter = error_rates(TRUE, ESTIMATES, age=18, challenge=25)
    assert stricter.false_positive_rate.events == 1
    assert stricter.false_negative_rate.events == 2


def test_an_estimate_at_the_challenge_age_passes() -> None:
    assert error_rates([17], [25.0], 18, 25).false_positive_rate.value == 1
    assert error_rates([17], [24.999], 18, 25).false_positive_rate.value == 0


def test_exact_intervals() -> None:
    none = rate(0, 20)
    assert none is not None
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))  # closed form for no error
    assert rate(0, 0) is None


def test_the_lowest_challenge_age() -> None:
    assert lowest_challenge(TRUE, ESTIMATES, 18, 0.25).observed == 20
    assert lowest_challenge(TRUE, ESTIMATES, 18, 0.0).observed == 27
    assert lowest_challenge(TRUE, ESTIMATES, 18, 0.01).assured is None  # too few to be sure


def test_reliability_by_hand() -> None:
    table = reliability([0.1, 0.12, 0.95, 0.95], [False, True, True, True])
    assert [row.mean_probability for row in table.bins] == pytest.approx([0.11, 0.95])
    wanted = 0.5 * abs(0.11 - 0.5) + 0.5 * 0.05
    assert table.expected_calibration_error == pytest.approx(wanted)


def test_thresholds_by_group() -> None:
    groups = pd.DataFrame({"gender": ["female", "male"] * 4})
    table = measure_thresholds(
        pd.Series(TRUE), pd.Series(ESTIMATES), groups, np.linspace(0, 1, 8), 18, 0.25
    )
    men = table.challenges[18].groups["gender"]["male"]
    assert men.false_positive_rate.count == 2
    assert men.false_positive_rate.value == 1 / 2
    assert men.small
    assert list(table.challenges) == list(range(18, 31))


def test_ages_are_parsed() -> None:
    assert parse_ages("18,21") == [18, 21]
    for text in ("18,x", "0", "18,,21"):
        with pytest.raises(ValueError, match=r"0|invalid"):
            parse_ages(text)


def test_a_check_decides(estimator: AgeEstimator) -> None:
    (face,) = estimator.estimate(ASTRONAUT)
    assert AgeCheck(18, 18).decide(face).decision == "pass"
    strict = AgeCheck(18, 60).decide(face)
    assert strict.decision == "challenge"
    assert strict.probability == face.at_least(18)
    assert 0.5 < face.at_least(18) < face.at_least(10) <= 1
    with pytest.raises(ValueError, match="below"):
        AgeCheck(21, 18)


def test_decide_as_a_process() -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agelens", "decide", str(ASTRONAUT), *options]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("--age", "18", "--challenge", "60", "--format", "json")
    assert done.returncode == 0, done.stderr
    ((picture),) = json.loads(done.stdout)
    (face,) = picture["faces"]
    assert face["decision"] == "challenge"
    assert 0 < face["probability"] < 1
    assert "challenge" in run("--challenge", "60").stdout
    assert "pass" in run().stdout
    assert run("--age", "21", "--challenge", "18").returncode == 2

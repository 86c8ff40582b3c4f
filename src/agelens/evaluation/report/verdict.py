"""What to expect of a model, and what fell short: the first thing that a report says."""

from __future__ import annotations

from collections.abc import Iterator

from agelens.evaluation.cross_fitting import COVERAGE, Gain
from agelens.evaluation.known import PUBLISHED
from agelens.evaluation.measured import Groups, Metrics
from agelens.evaluation.report.words import plain, years
from agelens.evaluation.results import Evaluation
from agelens.reporting.page import Finding, Status


def verdict(result: Evaluation) -> list[Finding]:
    """Findings in the order of their weight: the error, comparisons, intervals, groups."""
    return [
        *_seen(result),
        *_expected(result),
        *_bands(result),
        *_constant_guess(result),
        *_published(result),
        *_intervals(result),
        *_ages(result),
        *_groups(result),
        *_conditions(result),
        _missed(result),
    ]


def gained(gain: Gain) -> Finding:
    """Whether a model is better than the one before it, on faces held out of it."""
    error, covered = gain.error.difference, gain.covered
    off_before, off_after = (abs(value - COVERAGE) for value in (covered.first, covered.second))
    surely_wider = covered.difference.low > 0 or covered.difference.high < 0
    holds = off_after < off_before and surely_wider
    if error.low > 0 or (off_after > off_before and surely_wider):
        return Finding(
            Status.POOR, "It is worse than before on faces that were held out: keep what you had."
        )
    parts = ["its intervals hold more nearly what they say"] * holds
    parts += ["its estimates err less"] * (error.high < 0)
    if not parts:
        return Finding(Status.FAIR, "Nothing was gained for sure on faces that were held out.")
    return Finding(Status.GOOD, f"On faces that were held out {' and '.join(parts)}.")


def graded(value: float, *, fair: float, poor: float) -> Status:
    """Good below `fair`, poor above `poor`."""
    return Status.GOOD if value <= fair else Status.FAIR if value <= poor else Status.POOR


def _seen(result: Evaluation) -> Iterator[Finding]:
    """Faces that the model's calibration has seen: what is said of them is no new face's figure."""
    if result.calibrated_on:
        yield Finding(
            Status.POOR,
            f"The model's calibration was learnt from {result.calibrated_on:,} of these "
            f"{result.images:,} pictures: intervals and estimates look better here than they are "
            "for new faces.",
        )


def _bands(result: Evaluation) -> Iterator[Finding]:
    if result.bands is not None:
        own = result.bands.overall
        yield Finding(
            Status.EXPECT,
            f"Of {own.count:,} faces whose label is a band of ages, "
            f"{years(own.in_band, '{:.1%}')} of the estimates are in it; their mean "
            f"distance from it is {years(own.distance)} years.",
        )


def _expected(result: Evaluation) -> Iterator[Finding]:
    own = result.overall
    if "mae" not in own:
        return
    text = f"An error of {years(own['mae'])} years on average"
    if "median_error" in own:
        text += f"; half of the faces are within {own['median_error'].value:.1f} years"
    if "within_10" in own:
        text += f", {own['within_10'].value:.0%} within 10"
    yield Finding(Status.EXPECT, f"{text} ({own.count:,} faces of the {result.split} part).")


def _constant_guess(result: Evaluation) -> Iterator[Finding]:
    guess = result.constant_guess
    if guess is not None and guess.mae > 0:
        mae = result.overall["mae"].value
        yield Finding(
            graded(mae / guess.mae, fair=0.5, poor=0.8),
            f"Guessing age {guess.age:.0f} for every face would be wrong by {guess.mae:.1f} years "
            f"on average; the model's error is {mae / guess.mae:.0%} of that.",
        )


def _published(result: Evaluation) -> Iterator[Finding]:
    known = PUBLISHED.get(result.benchmark or "", ())
    if not known or result.split != "test" or "mae" not in result.overall:
        return
    best, mae = known[0], result.overall["mae"].value
    gap = mae - best.mae
    compared = f"{gap:.2f} years more than" if gap > 0 else f"{-gap:.2f} years less than"
    others = "; ".join(f"{one.mae:.2f} by {one.method}" for one in known)
    yield Finding(
        graded(mae, fair=best.mae, poor=best.mae * 1.25),
        f"That is {compared} the best that is known of {result.benchmark}: {others}. Each was "
        "measured on its authors' own split.",
    )


def _intervals(result: Evaluation) -> Iterator[Finding]:
    nominal = result.nominal_coverage
    if "coverage" not in result.overall:
        return
    own = result.overall["coverage"]
    width = result.overall["width"].value
    yield Finding(
        Status.GOOD if own.high >= nominal else Status.POOR,
        f"Intervals of {nominal:.0%} hold {years(own, '{:.1%}')} of the labels, and are "
        f"{width:.1f} years wide on average.",
    )
    short = {
        name: figures["coverage"].value
        for name, figures in _large(result.groups.get("age", {})).items()
        if figures["coverage"].high < nominal
    }
    if short:
        listed = ", ".join(f"{value:.0%} at {name}" for name, value in short.items())
        yield Finding(
            Status.POOR, f"By labelled age they hold fewer than {nominal:.0%} for some: {listed}."
        )


def _ages(result: Evaluation) -> Iterator[Finding]:
    bands = _large(result.groups.get("age", {}))
    if not bands:
        return
    worst = max(bands, key=lambda name: bands[name]["mae"].value)
    yield Finding(
        Status.EXPECT,
        f"Ages {worst} are missed most, by {years(bands[worst]['mae'])} years on average.",
    )
    old = max(bands, key=lambda name: bands[name]["bias"].value)
    young = min(bands, key=lambda name: bands[name]["bias"].value)
    largest = max(abs(bands[name]["bias"].value) for name in (old, young))
    yield Finding(
        graded(largest, fair=1, poor=2.5),
        f"Bias differs with age: {bands[old]['bias'].value:+.1f} years at {old}, "
        f"{bands[young]['bias'].value:+.1f} at {young} (above 0: too old).",
    )


def _groups(result: Evaluation) -> Iterator[Finding]:
    for topic in ("gender", "ethnicity"):
        values = result.standardised.get(topic)
        if values is None or any(group.small for group in values.groups.values()):
            continue
        gap = values.widest.difference
        sure = gap.low > 0
        status = graded(gap.value, fair=0.5, poor=1) if sure else Status.GOOD
        chance = "" if sure else ", which may be chance"
        yield Finding(
            status,
            f"Between groups of equal ages, by {topic}, errors differ by at most "
            f"{years(gap)} years ({values.widest.worst} over {values.widest.best}){chance}.",
        )


def _conditions(result: Evaluation) -> Iterator[Finding]:
    if result.corruptions is None:
        return
    known = {
        span: means.ratio
        for span, means in result.corruptions.means.items()
        if means is not None and means.ratio is not None
    }
    if known:
        span, ratio = list(known.items())[-1]
        yield Finding(
            graded(ratio, fair=1.1, poor=1.25),
            f"In bad conditions of severities {span}, errors are {ratio:.2f} times those of "
            "clean pictures.",
        )
    worst = max(
        (
            (row.ratio, plain(kind), level)
            for kind, own in result.corruptions.kinds.items()
            for level, row in own.severities.items()
            if row.ratio is not None
        ),
        default=None,
    )
    if worst is not None:
        ratio, kind, level = worst
        yield Finding(
            graded(ratio, fair=1.25, poor=2),
            f"The worst bad condition is {kind} of severity {level}: {ratio:.2f} times the error.",
        )


def _missed(result: Evaluation) -> Finding:
    return Finding(
        graded(result.miss_rate, fair=0.005, poor=0.02),
        f"No face was found in {len(result.missed):,} of {result.images:,} pictures; they have no "
        "estimate, and no error above.",
    )


def _large(groups: Groups) -> dict[str, Metrics]:
    return {name: figures for name, figures in groups.items() if not figures.small}

"""What figures are called and how they are written, wherever they are shown."""

from __future__ import annotations

from pathlib import Path

from agelens.evaluation.measured import (
    SMALL_GROUP,
    LowestChallenge,
    Measured,
    Metrics,
    Rate,
    Standardised,
)

METRICS = {
    "mae": "mean absolute error, years",
    "rmse": "root mean square error, years",
    "bias": "bias, years (above 0: too old)",
    "median_error": "median error, years",
    "within_3": "within 3 years",
    "within_5": "within 5 years",
    "within_10": "within 10 years",
    "coverage": "label inside the interval",
    "width": "width of the interval, years",
}
SHORT = {
    "mae": "MAE, years",
    "bias": "bias, years",
    "within_5": "within 5 years",
    "coverage": "in interval",
    "width": "width, years",
}
"""For the heads of narrow columns."""
FRACTIONS = ("within_3", "within_5", "within_10", "coverage")
"""Metrics from 0 to 1, which are written as percentages."""
FEW = 10
"""An interval of fewer pictures says nothing, and is not shown."""
DASH = "–"
NOTE = (
    f"Brackets: 95 % bootstrap interval over pictures; none below {FEW} pictures. "
    f"*: under {SMALL_GROUP} pictures, too few to compare."
)


def model_label(model: str) -> str:
    """What a model is called: a shipped name, or its file's."""
    return Path(model).name


def named(name: str, *, small: bool) -> str:
    """A group's name, marked where the group is too small to compare."""
    return name + "*" * small


def plain(name: str) -> str:
    """A name of the JSON file in words."""
    return name.replace("_", " ")


def metric(name: str, figures: Metrics, *, interval: bool = True) -> str:
    """A metric, with its interval if that is wanted and there are pictures enough."""
    form = "{:.1%}" if name in FRACTIONS else "{:+.2f}" if name == "bias" else "{:.2f}"
    if interval and figures.count >= FEW:
        return years(figures[name], form)
    return form.format(figures[name].value)


def years(figure: Measured, form: str = "{:.2f}") -> str:
    """A figure with its interval; in years, unless `form` says otherwise."""
    return f"{form} [{form}, {form}]".format(figure.value, figure.low, figure.high)


def percent(rate: Rate | None, *, interval: bool = True) -> str:
    """A rate, with its interval if that is wanted; a dash where there was nobody to count."""
    if rate is None:
        return DASH
    return years(rate, "{:.1%}") if interval else f"{rate.value:.1%}"


def lowest_challenge(found: LowestChallenge, whose: str) -> str:
    """A sentence on the challenge age that keeps false positives in bounds."""
    observed, assured = (age or "no age" for age in (found.observed, found.assured))
    return (
        f"Challenge age for at most {found.bound:.1%} false positives of {whose}: {observed} "
        f"as observed, {assured} by the upper end of the interval."
    )


def widest(topic: str, values: Standardised) -> str:
    """A sentence on the widest gap between groups of equal ages."""
    pair = values.widest
    small = [name for name, group in values.groups.items() if group.small]
    warning = f" Under {SMALL_GROUP} pictures: {'; '.join(small)}." if small else ""
    return (
        f"As if all were equally old, by {topic}: the error for {pair.worst} is "
        f"{years(pair.difference)} years above that for {pair.best}, over "
        f"{values.fraction:.0%} of the pictures.{warning}"
    )

"""The figures of an evaluation's report, drawn from its numbers and its estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from agelens.ages import AGE_BANDS
from agelens.evaluation.measured import (
    CleanFigures,
    Comparison,
    CorruptionKind,
    Groups,
    Intervals,
    Measured,
    Threshold,
)
from agelens.reporting.figures import BLUE, GREEN, GREY, ORANGE, RED, Figure, draw

DENSITY = ListedColormap(mpl.colormaps["Blues"](np.linspace(0.3, 1, 256)))
"""Without its palest part, which nobody sees on white."""
YEARS = 15
"""The cumulative score is drawn up to so many years."""
MARKERS = "osD^v"
ERROR_BARS: dict[str, Any] = {"ecolor": "#1b1f24", "elinewidth": 1, "capsize": 2}


def bars(figures: Sequence[Measured]) -> NDArray[np.float64]:
    """Lengths below and above of error bars, ``[2, N]``; never negative."""
    ends = [(f.value - f.low, f.high - f.value) for f in figures]
    return np.asarray(np.maximum(np.array(ends, float).reshape(-1, 2).T, 0))


def values(figures: Sequence[Measured]) -> list[float]:
    """The values of figures that have intervals."""
    return [figure.value for figure in figures]


def scatter(found: pd.DataFrame, title: str) -> Figure:
    """Estimated against labelled age, as density, with the median of each age band."""
    true, estimate = found["age"].to_numpy(float), found["predicted"].to_numpy(float)
    end = max(true.max(), estimate.max()) + 3
    band = np.searchsorted(AGE_BANDS, true, side="right")
    medians = [(np.median(true[band == b]), np.median(estimate[band == b])) for b in set(band)]

    def paint(axes: Axes) -> None:
        # Hexagons of 2.5 years, on a grid that does not move with the ages.
        columns = max(2, round(end / 2.5))
        rows = max(2, round(columns / 3**0.5))
        hexes = axes.hexbin(
            true, estimate, gridsize=(columns, rows), bins="log",
            extent=(0, end, 0, end), mincnt=1, cmap=DENSITY, linewidths=0.1,
        )  # fmt: skip
        counts = np.asarray(hexes.get_array())
        hexes.set_clim(1, max(2, counts.max()))
        bar = axes.get_figure().colorbar(hexes, ax=axes, label="pictures")  # type: ignore[union-attr]
        bar.ax.yaxis.set_major_formatter("{x:.0f}")
        axes.plot([0, end], [0, end], color=GREY, lw=1.2, ls="--", label="estimate = label")
        axes.plot(*zip(*sorted(medians), strict=True), "o-", color=RED, ms=4, lw=1.2,
                  label="median of each age band")  # fmt: skip
        axes.set(xlabel="labelled age, years", ylabel="estimated age, years")
        axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axes.legend(fontsize=8, loc="upper left")

    alt = (
        "Density of pictures by labelled age (across) and estimated age (up), with the line on "
        "which both are equal and the median estimate of each band of labelled ages. "
        + "; ".join(f"labelled {x:.0f}, estimated {y:.0f}" for x, y in sorted(medians))
    )
    return draw("scatter", title, paint, size=(6.4, 5.4), alt=alt)


def errors_by_age(bands: Groups, title: str) -> Figure:
    """Mean absolute error and bias of each band of labelled ages, with bootstrap intervals."""
    names = list(bands)
    absolute = [bands[name]["mae"] for name in names]
    signed = [bands[name]["bias"] for name in names]

    def paint(left: Axes, right: Axes) -> None:
        left.bar(names, values(absolute), color=BLUE, yerr=bars(absolute), error_kw=ERROR_BARS)
        left.set(ylabel="mean absolute error, years", xlabel="labelled age")
        right.axhline(0, color=GREY, lw=1)
        colours = [ORANGE if value > 0 else BLUE for value in values(signed)]
        right.bar(names, values(signed), color=colours, yerr=bars(signed), error_kw=ERROR_BARS)
        right.set(ylabel="bias, years (above 0: too old)", xlabel="labelled age")
        for axes in (left, right):
            axes.tick_params(axis="x", rotation=45)

    alt = "Mean absolute error and bias by labelled age. " + "; ".join(
        f"{name}: {mae:.2f} and {bias:+.2f} years"
        for name, mae, bias in zip(names, values(absolute), values(signed), strict=True)
    )
    return draw("errors-by-age", title, paint, columns=2, size=(9.5, 3.8), alt=alt)


def cumulative(score: Sequence[float], title: str) -> Figure:
    """The fraction of estimates that are at most 0, 1, … years away."""
    shown = score[: YEARS + 1]

    def paint(axes: Axes) -> None:
        axes.plot(range(len(shown)), shown, "o-", color=BLUE, ms=4)
        for year in (3, 5, 10):
            if year < len(shown):
                axes.annotate(f"{shown[year]:.0%}", (year, shown[year]), (6, -11),
                              textcoords="offset points", fontsize=9)  # fmt: skip
        axes.set(xlabel="error of at most so many years", ylabel="fraction of pictures")
        axes.set(xlim=(0, YEARS + 0.3), ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))

    alt = "Fraction of estimates within so many years. " + "; ".join(
        f"{year}: {fraction:.0%}" for year, fraction in enumerate(shown)
    )
    return draw("cumulative-score", title, paint, alt=alt)


def coverage(intervals: Intervals, nominal: float, title: str) -> Figure:
    """Observed against nominal coverage, and the coverage of one level by estimated age."""
    levels = [level.nominal for level in intervals.levels]
    observed = [level.observed for level in intervals.levels]
    nearest = min(levels, key=lambda level: abs(level - nominal))
    estimated = {
        band: next(level.observed for level in own.levels if level.nominal == nearest)
        for band, own in intervals.estimated.items()
    }

    def paint(left: Axes, right: Axes) -> None:
        left.plot([0.45, 1], [0.45, 1], color=GREY, ls="--", lw=1.2, label="as promised")
        left.errorbar(levels, values(observed), bars(observed), fmt="o-", color=BLUE, ms=4,
                      **ERROR_BARS, label="observed")  # fmt: skip
        left.set(xlabel="nominal coverage", ylabel="fraction of labels inside")
        left.legend(fontsize=8)
        own = list(estimated.values())
        right.axhline(nearest, color=GREY, ls="--", lw=1.2)
        right.errorbar(list(estimated), values(own), bars(own), fmt="o", color=BLUE, ms=5,
                       **ERROR_BARS)  # fmt: skip
        right.set(xlabel="estimated age", ylabel=f"fraction inside intervals of {nearest:.0%}")
        right.set_ylim(top=1.03)
        right.tick_params(axis="x", rotation=45)
        left.xaxis.set_major_formatter(PercentFormatter(1))
        for axes in (left, right):
            axes.yaxis.set_major_formatter(PercentFormatter(1))

    alt = "Fraction of labels inside the intervals. Of nominal coverage: " + "; ".join(
        f"{level:.0%}: {value:.1%}" for level, value in zip(levels, values(observed), strict=True)
    )
    alt += f". At {nearest:.0%}, by estimated age: " + "; ".join(
        f"{band}: {figure.value:.1%}" for band, figure in estimated.items()
    )
    return draw("interval-coverage", title, paint, columns=2, size=(9.5, 3.8), alt=alt)


def probabilities(age: int, figures: Threshold, title: str) -> Figure:
    """Reliability diagram of the probability of having reached an age."""
    means = [row.mean_probability for row in figures.reliability.bins]
    observed = [row.observed for row in figures.reliability.bins]

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2, label="as predicted")
        axes.errorbar(means, values(observed), bars(observed), fmt="o-", color=BLUE, ms=5,
                      **ERROR_BARS, label="observed")  # fmt: skip
        axes.set(
            xlabel=f"predicted probability of {age} or older", ylabel=f"fraction that is {age}+"
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(fontsize=8, loc="upper left")

    alt = f"Fraction that is {age} or older by predicted probability. " + "; ".join(
        f"{x:.0%}: {figure.value:.0%} of {figure.count}"
        for x, figure in zip(means, observed, strict=True)
    )
    return draw(f"probability-{age}", title, paint, size=(5.2, 4.8), alt=alt)


def checks(age: int, figures: Threshold, title: str) -> Figure:
    """Error rates of a check by challenge age; bands are their 95 % intervals."""
    first, last = figures.near
    lines = {
        "false_positive_rate": (f"under {age}, passed", RED, "o-"),
        "false_positive_rate_near": (f"{first} to {last}, passed", ORANGE, "s--"),
        "false_negative_rate": (f"{age} or older, stopped", BLUE, "^-"),
    }

    def paint(axes: Axes) -> None:
        for name, (label, colour, form) in lines.items():
            rates = {at: getattr(row.overall, name) for at, row in figures.challenges.items()}
            known = {at: rate for at, rate in rates.items() if rate is not None}
            own = list(known.values())
            axes.plot(list(known), values(own), form, color=colour, ms=4, label=label)
            axes.fill_between(list(known), [r.low for r in own], [r.high for r in own],
                              color=colour, alpha=0.15, lw=0)  # fmt: skip
        axes.set(xlabel="challenge age, years", ylabel="error rate")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(fontsize=8)

    alt = f"Error rates of a check for {age} by challenge age; the table below has them."
    return draw(f"checks-{age}", title, paint, alt=alt)


def groups(name: str, title: str, rows: Mapping[str, tuple[Measured, Measured | None]]) -> Figure:
    """Mean absolute error of groups as it is, and as if all groups were equally old."""

    def paint(axes: Axes) -> None:
        places = np.arange(len(rows))[::-1]
        both = [one for one, _ in rows.values()], [other for _, other in rows.values()]
        for shift, figures, colour, label in (
            (0.2, both[0], BLUE, "as it is"),
            (-0.2, both[1], ORANGE, "of equal ages"),
        ):
            known = [(place, f) for place, f in zip(places, figures, strict=True) if f is not None]
            own = [figure for _, figure in known]
            if own:
                axes.barh([place + shift for place, _ in known], values(own), 0.38, color=colour,
                          xerr=bars(own), error_kw=ERROR_BARS, label=label)  # fmt: skip
        axes.set_yticks(places, list(rows))
        axes.set(xlabel="mean absolute error, years")
        axes.grid(visible=False, axis="y")
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))

    alt = "Mean absolute error, years, as it is and of equal ages. " + "; ".join(
        f"{group}: {one.value:.2f}" + ("" if other is None else f" and {other.value:.2f}")
        for group, (one, other) in rows.items()
    )
    return draw(name, title, paint, size=(8.2, 0.9 + 0.48 * len(rows)), alt=alt)


def corruptions(
    name: str, title: str, kinds: Mapping[str, CorruptionKind], clean: CleanFigures
) -> Figure:
    """Mean absolute error and miss rate by severity; 0 is the clean picture."""

    def paint(left: Axes, right: Axes) -> None:
        for index, (kind, own) in enumerate(kinds.items()):
            marker, label = MARKERS[index % len(MARKERS)], kind.replace("_", " ")
            rows: dict[int, CleanFigures] = {0: clean, **own.severities}
            for axes, key in ((left, "mae"), (right, "miss_rate")):
                known = (getattr(row, key) for row in rows.values())
                heights = [np.nan if value is None else value for value in known]
                axes.plot(list(rows), heights, marker=marker, ms=5, label=label)
        left.set(xlabel="severity", ylabel="mean absolute error, years")
        right.set(xlabel="severity", ylabel="no face found")
        right.yaxis.set_major_formatter(PercentFormatter(1))
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.set_xticks(range(6))
        left.legend(fontsize=8)

    alt = "Mean absolute error and fraction of faces missed by severity; the table below has them."
    return draw(name, title, paint, columns=2, size=(9.5, 3.6), alt=alt)


def differences(compared: Comparison, first: str, second: str, title: str) -> Figure:
    """Mean absolute errors of two models by group, and their paired differences."""
    rows = {"all": compared.overall["mae"]} | {
        f"{topic} {name}": own.mae
        for topic, groups in compared.groups.items()
        for name, own in groups.items()
    }

    def paint(left: Axes, right: Axes) -> None:
        places = np.arange(len(rows))[::-1]
        for side, shift, colour, label in (
            ("first", 0.2, BLUE, first),
            ("second", -0.2, GREEN, second),
        ):
            own = [getattr(row, side) for row in rows.values()]
            left.barh(places + shift, own, 0.38, color=colour, label=label)
        left.set_yticks(places, list(rows))
        left.set(xlabel="mean absolute error, years")
        left.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        gaps = [row.difference for row in rows.values()]
        right.axvline(0, color=GREY, lw=1)
        right.errorbar(values(gaps), places, xerr=bars(gaps), fmt="o", color=BLUE, ms=5,
                       **ERROR_BARS)  # fmt: skip
        right.tick_params(axis="y", length=0, labelleft=False)
        right.set(xlabel=f"difference, years (below 0: {second} errs less)")
        for axes in (left, right):
            axes.set_ylim(-0.7, len(rows) - 0.3)
            axes.grid(visible=False, axis="y")

    alt = f"Mean absolute error of {first}, of {second}, and the difference, years. " + "; ".join(
        f"{name}: {row.first:.2f}, {row.second:.2f}, {row.difference.value:+.2f}"
        for name, row in rows.items()
    )
    return draw("comparison", title, paint, columns=2, size=(9.5, 1.4 + 0.34 * len(rows)), alt=alt)

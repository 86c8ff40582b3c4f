"""An evaluation as a table in the terminal and as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agelens.evaluation.metrics import SMALL_GROUP
from agelens.files import atomic_path

COLUMNS = {
    "mae": "MAE", "bias": "bias", "rmse": "RMSE", "median_error": "median",
    "within_3": "≤ 3 y", "within_5": "≤ 5 y", "within_10": "≤ 10 y",
    "coverage": "coverage", "width": "width",
}  # fmt: skip
BAND_COLUMNS = {"in_band": "in band", "distance": "years away", "outside": "… of those outside"}
SHARES = ("within", "coverage", "in_band")
"""Beginnings of the names of metrics that are shares."""
RATES = ("false_positive_rate", "false_positive_rate_near", "false_negative_rate")


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the figures of `agelens.evaluation.evaluate.evaluate`, errors in years."""
    console = console or Console()
    title = f"{report['model']} on {report['split']}: {report['images']:,} pictures"
    kinds = {"": COLUMNS, "labels are bands": BAND_COLUMNS}
    for (kind, names), measured in zip(
        kinds.items(), (report, report.get("bands", {})), strict=True
    ):
        if "overall" in measured:
            _print_metrics(measured, names, ", ".join(filter(None, (title, kind))), console)
    count, rate = len(report["missed"]), report["miss_rate"]
    console.print(f"No face found in {count} pictures ({rate:.2%}).")
    for path in report["missed"]:
        console.print(f"  {path}", highlight=False)
    console.print(f"Brackets: 95 % bootstrap interval. *: under {SMALL_GROUP} pictures.")
    for topic, values in report.get("standardised", {}).items():
        console.print(widest(topic, values).replace("[", r"\["))
    for age, figures in report.get("thresholds", {}).items():
        console.print(_checks(age, figures))
        error = figures["reliability"]["expected_calibration_error"]
        console.print(f"Expected calibration error of P(age ≥ {age}): {error:.3f}.")
        console.print(least_challenge(figures["least_challenge"], f"all under {age}"))
        first, last = figures["near"]
        console.print(least_challenge(figures["least_challenge_near"], f"those {first} to {last}"))
    if "compared" in report:
        print_comparison(report["model"], report["compared"], console)
    if "corruptions" in report:
        print_corruptions(report["corruptions"], console)


def _print_metrics(
    measured: dict[str, Any], columns: dict[str, str], title: str, console: Console
) -> None:
    columns = {metric: name for metric, name in columns.items() if metric in measured["overall"]}
    table = Table("", "n", *columns.values(), title=title)
    _add(table, columns, "all", measured["overall"], interval=True)
    for column, values in measured["groups"].items():
        table.add_section()
        for value, figures in values.items():
            _add(table, columns, f"{column} {value}", figures, interval=False)
    console.print(table)


def print_comparison(model: str, compared: dict[str, Any], console: Console) -> None:
    """Print the figures of `agelens.evaluation.compare.compare`."""
    other = compared["with"]
    table = Table("", model, other, "difference", title=f"{compared['count']:,} pictures of both")
    for metric, figures in compared["overall"].items():
        sides = (f"{figures[side]:.3f}" for side in ("first", "second"))
        difference = years(figures["difference"], "{:+.3f}").replace("[", r"\[")
        table.add_row(COLUMNS[metric], *sides, difference)
    console.print(table)


def print_corruptions(report: dict[str, Any], console: Console) -> None:
    """Print the figures of `agelens.evaluation.robustness.run.evaluate_corruptions`."""
    levels = sorted({level for kind in report["kinds"].values() for level in kind["severities"]})
    title = f"MAE over clean MAE ({report['clean']['mae']:.2f}); share of faces missed"
    table = Table("", *levels, title=f"{title}; {report['pictures']:,} pictures")
    for name, kind in report["kinds"].items():
        cells = []
        for level in levels:
            figures = kind["severities"][level]
            ratio = "–" if figures["ratio"] is None else f"{figures['ratio']:.2f}"
            cells.append(f"{ratio}  {figures['miss_rate']:.1%}")
        table.add_row(name.replace("_", " "), *cells)
    console.print(table)
    for span, means in report["means"].items():
        if means is not None and means["ratio"] is not None:
            console.print(
                f"Severities {span}: ratio {means['ratio']:.2f}, missed {means['miss_rate']:.1%}."
            )


def least_challenge(found: dict[str, Any], whose: str) -> str:
    """A sentence on the challenge age that keeps false positives in bounds."""
    observed, assured = (found[key] or "no age" for key in ("observed", "assured"))
    return (
        f"Challenge age for at most {found['bound']:.1%} false positives of {whose}: {observed} "
        f"as observed, {assured} by the upper end of the interval."
    )


def share(figure: dict[str, Any] | None) -> str:
    """A rate with its interval, or a dash."""
    if figure is None:
        return "–"
    return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"


def years(figure: dict[str, Any], form: str = "{:.2f}") -> str:
    """A figure in years with its interval."""
    return f"{form} [{form}, {form}]".format(figure["value"], figure["low"], figure["high"])


def widest(topic: str, values: dict[str, Any]) -> str:
    """A sentence on the widest gap between groups of equal ages."""
    pair = values["widest"]
    small = [name for name, group in values["groups"].items() if group["small"]]
    warning = f" Under {SMALL_GROUP} pictures: {'; '.join(small)}." if small else ""
    return (
        f"Age-standardised MAE by {topic}: {pair['high']} {years(pair['difference'])} above "
        f"{pair['low']}, over {values['share']:.0%} of the ages.{warning}"
    )


def _checks(age: str, figures: dict[str, Any]) -> Table:
    """Error rates of a check by challenge age."""
    first, last = figures["near"]
    title = f"Checks for {age}: passed under age, stopped of age"
    table = Table("challenge", f"under {age}", f"{first} to {last}", "of age", title=title)
    for challenge, row in figures["challenges"].items():
        rates = (row["overall"][name] for name in RATES)
        table.add_row(challenge, *(share(rate).replace("[", r"\[") for rate in rates))
    return table


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write the report, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _add(
    table: Table, columns: Iterable[str], name: str, figures: dict[str, Any], *, interval: bool
) -> None:
    cells = []
    for metric in columns:
        if metric not in figures:
            cells.append("–")
            continue
        figure = figures[metric]
        form = "{:.1%}" if metric.startswith(SHARES) else "{:.2f}"
        cell = form.format(figure["value"])
        if interval:
            cell += f"\n[{form.format(figure['low'])}, {form.format(figure['high'])}]"
        cells.append(cell.replace("[", r"\["))
    small = "*" if figures["count"] < SMALL_GROUP else ""
    table.add_row(name + small, f"{figures['count']:,}", *cells)

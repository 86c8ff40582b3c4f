"""An evaluation as a table in the terminal and as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agelens.evaluation.metrics import SMALL_GROUP
from agelens.files import atomic_path

COLUMNS = {
    "mae": "MAE", "bias": "bias", "rmse": "RMSE", "median_error": "median",
    "within_3": "≤ 3 y", "within_5": "≤ 5 y", "within_10": "≤ 10 y",
}  # fmt: skip


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the figures of `agelens.evaluation.evaluate.evaluate`, errors in years."""
    console = console or Console()
    title = f"{report['model']} on {report['split']}: {report['images']:,} pictures"
    table = Table("", "n", *COLUMNS.values(), title=title)
    _add(table, "all", report["overall"], interval=True)
    for column, values in report["groups"].items():
        table.add_section()
        for value, figures in values.items():
            _add(table, f"{column} {value}", figures, interval=False)
    console.print(table)
    count, rate = len(report["missed"]), report["miss_rate"]
    console.print(f"No face found in {count} pictures ({rate:.2%}).")
    for path in report["missed"]:
        console.print(f"  {path}", highlight=False)
    console.print(f"Brackets: 95 % bootstrap interval. *: under {SMALL_GROUP} pictures.")


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write the report, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _add(table: Table, name: str, figures: dict[str, Any], *, interval: bool) -> None:
    cells = []
    for metric in COLUMNS:
        figure = figures[metric]
        form = "{:.1%}" if metric.startswith("within") else "{:.2f}"
        cell = form.format(figure["value"])
        if interval:
            cell += f"\n[{form.format(figure['low'])}, {form.format(figure['high'])}]"
        cells.append(cell.replace("[", r"\["))
    small = "*" if figures["count"] < SMALL_GROUP else ""
    table.add_row(name + small, f"{figures['count']:,}", *cells)

"""Tables, sentences and verdicts of a report, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from agelens.cli.rows import shortened
from agelens.reporting.page import Status, Table, Verdict

STYLES = {Status.EXPECT: "bold", Status.GOOD: "green", Status.FAIR: "yellow", Status.POOR: "red"}
GAP = 2
"""Empty columns of the terminal between two columns of a table; one is Rich's own."""
SHORTEST = 12
"""A name is not shortened to less than this."""


def print_table(table: Table, console: Console) -> None:
    """Print a table with its title; names too long for the terminal keep their end."""
    if not table.rows:
        return
    head = list(table.head)
    rows = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in table.rows]
    if _width([head, *rows]) > console.width:  # a word to a line; intervals below their values
        head = [name.replace(" ", "\n") for name in head]
        rows = [[first, *(cell.replace(" [", "\n[") for cell in rest)] for first, *rest in rows]
    room = max(SHORTEST, console.width - _width([line[1:] for line in (head, *rows)]) - GAP)
    drawn = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False
    )
    for index, name in enumerate(head):
        drawn.add_column(Text(name), justify="right" if index else "left")
    for first, *rest in rows:
        drawn.add_row(Text(shortened(first, room)), *map(Text, rest))
    console.print()
    console.print(Text(table.title, style="bold"))
    console.print(drawn)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that rows need; a cell may have several lines."""
    columns = list(zip(*rows, strict=True))
    widths = [max(cell_len(line) for cell in one for line in cell.split("\n")) for one in columns]
    return sum(widths) + GAP * (len(widths) - 1)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print findings, each after the word, in its colour, that says how good it is."""
    width = max(map(len, Status))
    drawn = RichTable.grid(padding=(0, GAP, 0, 0))
    drawn.add_column(width=width, no_wrap=True)
    drawn.add_column()
    for finding in verdict.findings:
        drawn.add_row(Text(finding.status, style=STYLES[finding.status]), Text(finding.text))
    console.print(drawn)


def print_text(text: str, console: Console) -> None:
    """Print a sentence, as it is."""
    console.print(Text(text))

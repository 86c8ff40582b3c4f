"""What `agelens evaluate` prints: the verdict, the main figures, and all of them on demand."""

from __future__ import annotations

from rich.console import Console

from agelens.cli.tables import print_table, print_text, print_verdict
from agelens.evaluation.measured import Threshold
from agelens.evaluation.report import tables, words
from agelens.evaluation.report.verdict import verdict
from agelens.evaluation.results import Evaluation
from agelens.reporting.page import Verdict

MISSED = 5
"""So many pictures without a face are named, unless all figures are asked for."""


def print_evaluation(
    result: Evaluation, *, details: bool = False, console: Console | None = None
) -> None:
    """Print a result.

    Args:
        result: of `agelens.evaluation.evaluate.evaluate`.
        details: print every table with its intervals, also of the groups.
        console: to print to; the terminal by default.
    """
    console = console or Console()
    model = words.model_label(result.model)
    print_text(f"{model} on {result.images:,} pictures of the {result.split} part", console)
    console.print()
    print_verdict(Verdict(verdict(result)), console)
    print_table(tables.overall(result), console)
    print_table(tables.every_group(result), console)
    if result.bands is not None:
        print_table(tables.bands(result.bands), console)
    print_text(words.NOTE, console)
    shown = result.missed if details else result.missed[:MISSED]
    for path in shown:
        print_text(f"No face found in {path}", console)
    if len(shown) < len(result.missed):
        print_text(f"… and in {len(result.missed) - len(shown):,} others", console)
    for age, figures in result.thresholds.items():
        _print_checks(age, figures, console, details=details)
    if result.compared is not None:
        first, *by_group = tables.comparison(result.model, result.compared)
        for table in (first, *(by_group if details else ())):
            print_table(table, console)
    if result.corruptions is not None:
        print_table(tables.corruption_ratios(result.corruptions), console)
    if details:
        _print_details(result, console)
    else:
        print_text("\nEvery table with its intervals: --details, --report or --json.", console)


def _print_checks(age: int, figures: Threshold, console: Console, *, details: bool) -> None:
    print_table(tables.challenges(age, figures, interval=details), console)
    error = figures.reliability.expected_calibration_error
    first, last = figures.near
    for sentence in (
        f"Expected calibration error of the probability of {age} or older: {error:.3f}.",
        words.lowest_challenge(figures.lowest_challenge, f"all under {age}"),
        words.lowest_challenge(figures.lowest_challenge_near, f"those {first} to {last}"),
    ):
        print_text(sentence, console)
    if details:
        for table in (tables.reliability(age, figures), *tables.challenges_by_group(age, figures)):
            print_table(table, console)


def _print_details(result: Evaluation, console: Console) -> None:
    for topic, groups in (result.groups | {"quality": result.quality} | result.crossings).items():
        print_table(tables.by_group(f"By {topic}", topic, groups), console)
    for topic, values in result.standardised.items():
        print_table(tables.standardised(topic, values), console)
        print_text(words.widest(topic, values), console)
    if result.intervals is not None:
        for table in tables.coverages(result.intervals):
            print_table(table, console)
    if result.corruptions is not None:
        print_table(tables.corruption_means(result.corruptions), console)
        for family, kinds in tables.families(result.corruptions):
            print_table(tables.corruption_levels(family, kinds, result.corruptions.clean), console)

"""The report of an evaluation as one HTML page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from agelens.ages import age_band
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.evaluation.measured import Groups, Measured, Standardised, Threshold
from agelens.evaluation.report import plots, tables, words
from agelens.evaluation.report.verdict import verdict
from agelens.evaluation.results import Evaluation
from agelens.files import Inputs
from agelens.reporting.page import (
    NUMBERS,
    Block,
    Gallery,
    Section,
    Table,
    Text,
    Verdict,
    thumbnail,
    write_report,
)

PAGE = "index.html"
CASES = 24
BEST_OF_BAND = 3
"""The best cases are so many of every age band: of all, they would be babies."""


def report_folder(folder: Path) -> Path:
    """Make the folder of a report, before what goes into it is measured.

    Raises:
        DataError: it cannot be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be a report's folder: {error.strerror}") from error
    return folder


def report_files(folder: Path) -> list[Path]:
    """The files of a report that are there for other programs and people to open."""
    return [folder / PAGE, folder / NUMBERS]


def write_page(
    result: Evaluation,
    table: pd.DataFrame,
    dataset: Dataset,
    folder: Path,
    *,
    inputs: Inputs | None = None,
) -> Path:
    """Write ``index.html``, ``report.json`` and ``figures/``; each file whole or not at all.

    Args:
        result: of `evaluate`; sections of what was not measured are left out.
        table: from `predict_split`.
        dataset: whose pictures these are; small copies of some are in the page.
        folder: where the files go.
        inputs: files that must not be written over.

    Returns:
        Path of the page.
    """
    found = table[table["predicted"].notna()]
    sections = [
        Section("In short", [Verdict(verdict(result))]),
        _summary(result),
        _errors(result, found),
        _intervals(result),
        *(_checks(age, figures) for age, figures in result.thresholds.items()),
        _groups(result),
        _conditions(result),
        _comparison(result),
        _cases(table, found, dataset),
    ]
    title = f"{words.model_label(result.model)} on the {result.split} part"
    own = result.overall
    summary = (
        f"Ages of {own.count:,} faces, wrong by {words.years(own['mae'])} years on average; "
        f"{own['within_5'].value:.0%} are within 5 years."
    )
    numbers = result.model_dump_json(indent=2) + "\n"
    return write_report(folder, title, summary, sections, page=PAGE, numbers=numbers, inputs=inputs)


def _summary(result: Evaluation) -> Section:
    facts = [
        ("made by", f"agelens {result.agelens}"),
        ("pictures", f"{result.images:,} of the {result.split} part, from their files"),
        ("model file, SHA-256", result.model_sha256),
        ("dataset, digest", result.dataset),
    ]
    blocks: list[Block] = [
        tables.overall(result),
        Text(words.NOTE),
        Table("What was measured", ("", ""), facts),
        tables.by_group("By quality of the picture", "quality", result.quality),
    ]
    if result.bands is not None:
        blocks.append(tables.bands(result.bands))
    if result.command is not None:
        blocks.append(Text(f"Command: {result.command}"))
    return Section("Summary", blocks)


def _errors(result: Evaluation, found: pd.DataFrame) -> Section:
    own, bands, score = result.overall, result.groups["age"], result.cumulative_score
    worst = max(bands, key=lambda band: bands[band]["mae"].value)
    best = min(bands, key=lambda band: bands[band]["mae"].value)
    low, high = (f"{bands[band]['mae'].value:.2f}" for band in (best, worst))
    direction = "too old" if own["bias"].value > 0 else "too young"
    return Section(
        "Errors",
        [
            plots.scatter(
                found, f"Estimates are {abs(own['bias'].value):.2f} years {direction} on average"
            ),
            plots.errors_by_age(
                bands, f"From {low} years at ages {best} to {high} at ages {worst}"
            ),
            tables.by_group("By labelled age", "age", bands),
            plots.cumulative(
                score, f"{score[5]:.0%} of the estimates are within 5 years, {score[10]:.0%} in 10"
            ),
            Table(
                "Cumulative score",
                ("within years", *map(str, range(plots.YEARS + 1))),
                [("pictures", *(f"{value:.0%}" for value in score[: plots.YEARS + 1]))],
            ),
        ],
    )


def _intervals(result: Evaluation) -> Section:
    section = Section("Intervals")
    if result.intervals is not None:
        nominal, observed = result.nominal_coverage, result.overall["coverage"].value
        title = f"Intervals of {nominal:.0%} hold {observed:.1%} of the labels"
        figure = plots.coverage(result.intervals, nominal, title)
        section.blocks = [figure, *tables.coverages(result.intervals)]
    return section


def _checks(age: int, figures: Threshold) -> Section:
    error = figures.reliability.expected_calibration_error
    first, last = figures.near
    return Section(
        f"Age {age}",
        [
            plots.probabilities(
                age,
                figures,
                f"The probability of {age} or older is wrong by {error:.3f} on average "
                "(expected calibration error)",
            ),
            tables.reliability(age, figures),
            plots.checks(age, figures, f"How often a check for {age} is wrong, by challenge age"),
            Text(words.lowest_challenge(figures.lowest_challenge, f"all under {age}")),
            Text(words.lowest_challenge(figures.lowest_challenge_near, f"those {first} to {last}")),
            tables.challenges(age, figures),
            *tables.challenges_by_group(age, figures),
        ],
    )


def _groups(result: Evaluation) -> Section:
    section = Section("Groups")
    equal = result.standardised
    crude = {topic: groups for topic, groups in result.groups.items() if topic != "age"}
    rows = {
        name: both
        for topic, groups in crude.items()
        for name, both in _both(equal, topic, groups).items()
    }
    if rows:
        section.blocks.append(
            plots.groups("groups", "Errors by group, as they are and of equal ages", rows)
        )
    for topic, values in equal.items():
        section.blocks += [Text(words.widest(topic, values)), tables.standardised(topic, values)]
    for topic, groups in crude.items():
        section.blocks.append(tables.by_group(f"By {topic}, as it is", topic, groups))
    for topic, groups in result.crossings.items():
        if "age" not in topic:
            title = f"Errors by {topic}, as they are and of equal ages"
            section.blocks.append(
                plots.groups("groups-crossed", title, _both(equal, topic, groups))
            )
        section.blocks.append(tables.by_group(f"By {topic}, as it is", topic, groups))
    return section


def _both(
    equal: dict[str, Standardised], topic: str, groups: Groups
) -> dict[str, tuple[Measured, Measured | None]]:
    """The errors of each group as they are, and of equal ages where they could be had."""
    known = equal[topic].groups if topic in equal else {}
    return {name: (figures["mae"], known.get(name)) for name, figures in groups.items()}


def _conditions(result: Evaluation) -> Section:
    section, corruptions = Section("Bad conditions"), result.corruptions
    if corruptions is None:
        return section
    clean = corruptions.clean
    section.blocks = [
        Text(
            f"{corruptions.pictures:,} pictures, each corrupted before it was searched for a face. "
            f"Clean, the same pictures err by {clean.mae:.2f} years and {clean.miss_rate:.1%} "
            "have no face that is found. Errors are of the faces that were found."
        ),
        tables.corruption_means(corruptions),
    ]
    for family, kinds in tables.families(corruptions):
        errors = [
            (row.mae, words.plain(name), level)
            for name, kind in kinds.items()
            for level, row in kind.severities.items()
            if row.mae is not None
        ]
        title = family
        if errors:
            mae, name, level = max(errors)
            title += f": at worst {mae:.2f} years ({name}, severity {level})"
        section.blocks += [
            plots.corruptions(f"bad-{family.lower().replace(' ', '-')}", title, kinds, clean),
            tables.corruption_levels(family, kinds, clean),
        ]
    return section


def _comparison(result: Evaluation) -> Section:
    section, compared = Section("Comparison"), result.compared
    if compared is None:
        return section
    first, second = (words.model_label(model) for model in (result.model, compared.second))
    gap = compared.overall["mae"].difference
    sure = gap.low > 0 or gap.high < 0
    chance = "" if sure else ", which may be chance"
    less = "less" if gap.value < 0 else "more"
    title = f"{second} errs by {abs(gap.value):.3f} years {less} than {first}{chance}"
    section.blocks = [
        Text(
            "Differences are second minus first, on the pictures in which both found a face, "
            "with 95 % intervals of a paired bootstrap."
        ),
        plots.differences(compared, first, second, title),
        *tables.comparison(result.model, compared),
    ]
    return section


def _cases(table: pd.DataFrame, found: pd.DataFrame, dataset: Dataset) -> Section:
    """The pictures whose estimates are furthest from their labels, and nearest to them."""
    errors = (found["predicted"] - found["age"].astype(float)).abs().sort_values(kind="stable")
    bands = pd.Series(age_band(found["age"].to_numpy(int)), index=found.index)[errors.index]
    best = errors.groupby(bands).head(BEST_OF_BAND)
    best = best.iloc[bands[best.index].argsort(kind="stable")]
    missed = table[table["predicted"].isna()]

    def gallery(title: str, rows: pd.DataFrame, note: str = "") -> Gallery:
        pictures = [
            [thumbnail(dataset.root / str(row["path"]), _caption(row))]
            for row in rows.to_dict("records")
        ]
        return Gallery(title, pictures, note)

    section = Section("Cases")
    section.blocks = [
        Text(
            "These are faces of the dataset. Its licence holds for them: do not publish this page."
        ),
        gallery(
            "Furthest from the label",
            found.loc[errors.index[::-1][:CASES]],
            "A label may be wrong, too.",
        ),
        gallery(f"Nearest to the label, {BEST_OF_BAND} of each age band", found.loc[best.index]),
    ]
    if len(missed):
        note = f"{len(missed):,} in all."
        section.blocks.append(gallery("No face found", missed.head(CASES), note))
    return section


def _caption(row: dict[Any, Any]) -> str:
    lines = [f"label {row['age']}"]
    if pd.notna(row["predicted"]):
        lines += [f"estimate {row['predicted']:.1f}", f"{row['low']:.0f} to {row['high']:.0f}"]
    groups = [str(row[name]) for name in ("gender", "ethnicity") if pd.notna(row[name])]
    name = str(row["path"]).rpartition("/")[2].removesuffix(".jpg.chip.jpg")
    return "\n".join([*lines, *([", ".join(groups)] if groups else []), name])

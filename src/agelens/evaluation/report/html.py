"""The report of an evaluation as one HTML page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from agelens.ages import age_band
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.evaluation.report import plots, tables
from agelens.evaluation.report.terminal import least_challenge, widest, years
from agelens.reporting.page import Gallery, Section, Table, Text, thumbnail, write_report

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


def write_page(report: dict[str, Any], table: pd.DataFrame, dataset: Dataset, folder: Path) -> Path:
    """Write ``index.html``, ``report.json`` and ``figures/``; each file whole or not at all.

    Args:
        report: what `agelens evaluate --json` writes; sections of what was not measured are left
            out.
        table: from `predict_split`.
        dataset: whose pictures these are; small copies of some are in the page.
        folder: where the files go.

    Returns:
        Path of the page.
    """
    found = table[table["predicted"].notna()]
    sections = [_summary(report), _ages(report, found), _intervals(report), *_checks(report)]
    sections.append(_groups(report))
    if "corruptions" in report:
        sections.append(_corruptions(report["corruptions"]))
    if "compared" in report:
        sections.append(_comparison(report))
    sections.append(_cases(table, found, dataset))
    title = f"{tables.label(report['model'])} on the {report['split']} part"
    own = report["overall"]
    summary = (
        f"Ages of {own['count']:,} faces, wrong by {years(own['mae'])} years on average; "
        f"{own['within_5']['value']:.0%} are within 5 years."
    )
    return write_report(folder, title, summary, sections, page=PAGE, numbers=report)


def _summary(report: dict[str, Any]) -> Section:
    section = Section("Summary", [tables.overall(report), Text(tables.NOTE)])
    facts = [
        ("made by", f"agelens {report['agelens']}"),
        ("pictures", f"{report['images']:,} of the {report['split']} part, from their files"),
    ]
    facts += [
        (name, report[key])
        for key, name in (("model_sha256", "model file, SHA-256"), ("dataset", "dataset, digest"))
        if key in report
    ]
    section.blocks.append(Table("What was measured", ("", ""), facts))
    section.blocks.append(
        tables.by_group("By quality of the picture", "quality", report["quality"])
    )
    if "command" in report:
        section.blocks.append(Text(f"Command: {report['command']}"))
    return section


def _ages(report: dict[str, Any], found: pd.DataFrame) -> Section:
    own, bands, score = report["overall"], report["groups"]["age"], report["cumulative_score"]
    worst = max(bands, key=lambda band: bands[band]["mae"]["value"])
    best = min(bands, key=lambda band: bands[band]["mae"]["value"])
    low, high = (f"{bands[band]['mae']['value']:.2f}" for band in (best, worst))
    direction = "too old" if own["bias"]["value"] > 0 else "too young"
    return Section(
        "Errors",
        [
            plots.scatter(
                found, f"Estimates are {abs(own['bias']['value']):.2f} years {direction} on average"
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
                [("share of pictures", *(f"{share:.0%}" for share in score[: plots.YEARS + 1]))],
            ),
        ],
    )


def _intervals(report: dict[str, Any]) -> Section:
    nominal, observed = report["coverage"], report["overall"]["coverage"]["value"]
    title = f"Intervals of {nominal:.0%} hold {observed:.1%} of the labels"
    figure = plots.coverage(report["intervals"], nominal, title)
    return Section("Intervals", [figure, *tables.coverages(report["intervals"])])


def _checks(report: dict[str, Any]) -> list[Section]:
    sections = []
    for age, figures in report.get("thresholds", {}).items():
        error = figures["reliability"]["expected_calibration_error"]
        first, last = figures["near"]
        section = Section(f"Age {age}")
        section.blocks = [
            plots.probabilities(
                age,
                figures["reliability"],
                f"The probability of {age} or older is wrong by {error:.3f} on average "
                "(expected calibration error)",
            ),
            tables.stated_shares(age, figures),
            plots.checks(age, figures, f"Who a check for {age} judges wrongly, by challenge age"),
            Text(least_challenge(figures["least_challenge"], f"all under {age}")),
            Text(least_challenge(figures["least_challenge_near"], f"those {first} to {last}")),
            *tables.checks(age, figures),
        ]
        sections.append(section)
    return sections


def _groups(report: dict[str, Any]) -> Section:
    section = Section("Groups")
    equal = report["standardised"]
    raw = {topic: report["groups"][topic] for topic in report["groups"] if topic != "age"}
    rows = {name: both for topic in raw for name, both in _both(equal, topic, raw[topic]).items()}
    if rows:
        section.blocks.append(
            plots.groups("groups", "Errors by group, as they are and of equal ages", rows)
        )
    for topic, values in equal.items():
        section.blocks += [Text(widest(topic, values)), tables.standardised(topic, values)]
    for topic, groups in raw.items():
        section.blocks.append(tables.by_group(f"By {topic}, as it is", topic, groups))
    for topic, groups in report["crossings"].items():
        if "age" not in topic:
            title = f"Errors by {topic}, as they are and of equal ages"
            section.blocks.append(
                plots.groups("groups-crossed", title, _both(equal, topic, groups))
            )
        section.blocks.append(tables.by_group(f"By {topic}, as it is", topic, groups))
    return section


def _both(
    equal: dict[str, Any], topic: str, groups: dict[str, Any]
) -> dict[str, tuple[Any, Any | None]]:
    """The errors of each group as they are, and of equal ages where they could be had."""
    known = equal[topic]["groups"] if topic in equal else {}
    return {name: (figures["mae"], known.get(name)) for name, figures in groups.items()}


def _corruptions(corruptions: dict[str, Any]) -> Section:
    section = Section("Bad conditions")
    clean = corruptions["clean"]
    section.blocks = [
        Text(
            f"{corruptions['pictures']:,} pictures, each spoilt before it was searched for a face. "
            f"Clean, the same pictures err by {clean['mae']:.2f} years and {clean['miss_rate']:.1%}"
            " are missed. Errors are of the faces that were found."
        ),
        tables.corruption_means(corruptions),
    ]
    for family, kinds in tables.families(corruptions):
        cells = [
            (row["mae"], name.replace("_", " "), level)
            for name, kind in kinds.items()
            for level, row in kind["severities"].items()
            if row["mae"] is not None
        ]
        title = family
        if cells:
            mae, name, level = max(cells)
            title += f": at worst {mae:.2f} years ({name}, severity {level})"
        section.blocks += [
            plots.corruptions(f"bad-{family.lower().replace(' ', '-')}", title, kinds, clean),
            tables.corruption_levels(family, kinds, clean),
        ]
    return section


def _comparison(report: dict[str, Any]) -> Section:
    compared = report["compared"]
    first, second = (tables.label(model) for model in (report["model"], compared["with"]))
    gap = compared["overall"]["mae"]["difference"]
    sure = gap["low"] > 0 or gap["high"] < 0
    verdict = "" if sure else ", which may be chance"
    less = "less" if gap["value"] < 0 else "more"
    title = f"{second} errs by {abs(gap['value']):.3f} years {less} than {first}{verdict}"
    return Section(
        "Comparison",
        [
            Text(
                "Differences are second minus first, on the pictures in which both found a face, "
                "with 95 % intervals of a paired bootstrap."
            ),
            plots.differences(compared, first, second, title),
            *tables.comparison(report["model"], compared),
        ],
    )


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

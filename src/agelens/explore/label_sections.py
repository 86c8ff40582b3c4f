"""The report's sections on rows and labels: overview, and distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agelens.data.manifest import FLAGS, usable
from agelens.explore.statistics import (
    age_counts,
    age_summary,
    band_counts,
    heaps,
    splits_agree,
    whipple,
)
from agelens.reporting.figures import BLUE, GREEN, ORANGE, PALETTE, RED, draw
from agelens.reporting.page import Block, Section, Table, Text

FLAG_MEANINGS = {
    "unreadable": "cannot be decoded",
    "label_conflict": "a copy carries another label",
    "exact_copy": "byte for byte another file, not the first",
    "no_face": "no face found",
    "implausible_landmarks": "eyes, nose and mouth are not where a face has them",
    "bad_name": "the name, or the table, lacks a label",
    "wrong_size": "not the size that the dataset promises",
    "grey": "no colour",
}
TOPICS = ("gender", "ethnicity")
SUMMARY_HEAD = ("", "pictures", "mean", "median", "standard deviation", "skewness")


def summary_cells(facts: dict[str, float]) -> tuple[int, str, str, str, str]:
    """The cells below `SUMMARY_HEAD` of an `age_summary`."""
    return (
        int(facts["count"]),
        f"{facts['mean']:.1f}",
        f"{facts['median']:.0f}",
        f"{facts['standard_deviation']:.1f}",
        f"{facts['skewness']:.2f}",
    )


def counted(counts: pd.Series) -> dict[str, int]:
    """Counts by name, of a column's `value_counts`."""
    return {str(name): int(count) for name, count in counts.items()}


def overview(manifest: pd.DataFrame) -> Section:
    """Counts, sizes, flags, and what training reads."""
    used = manifest[usable(manifest)]
    section = Section("Overview")
    whole = manifest[manifest["width"].notna()]
    sizes = (whole["width"].astype(str) + " x " + whole["height"].astype(str)).value_counts()
    flags = {name: int(manifest[name].sum()) for name in FLAGS}
    folders = manifest["path"].str.rpartition("/")[0].replace("", ".").value_counts()
    parts = used["split"].value_counts()
    section.numbers = {
        "files": len(manifest),
        "usable": len(used),
        "flags": flags,
        "sizes": counted(sizes),
        "folders": counted(folders),
        "splits": counted(parts),
    }
    rows: list[tuple[str, str, int]] = [
        (name.replace("_", " "), FLAG_MEANINGS[name], flags[name]) for name in FLAGS
    ]
    section.blocks = [
        Text(
            f"{len(manifest):,} files were found and {len(used):,} can be used: those that are "
            "readable, have an age or a band of ages, have no copy with another label, and are "
            "the first of their exact copies. Training leaves out faces that were not found, too. "
            "Nothing was deleted."
        ),
        Table("Flags", ("flag", "meaning", "files"), rows),
        Table("What is used", ("split", "pictures"), list(counted(parts).items())),
        Table(
            "Sizes of pictures",
            ("pixels", "files"),
            list(counted(sizes.head(10)).items()),
        ),
        Table("Where the files lie", ("folder", "files"), list(counted(folders.head(10)).items())),
    ]
    return section


def distributions(manifest: pd.DataFrame) -> Section:
    """Ages, gender, ethnicity, their crossings, and whether the splits agree."""
    labelled = manifest[manifest["age"].notna() & ~manifest["exact_copy"]]
    ages = labelled["age"]
    facts, counts = age_summary(ages), age_counts(ages)
    found, index, by_band = heaps(counts), whipple(counts), band_counts(ages)
    section = Section("Distributions")
    section.numbers = {
        "age": facts,
        "by_year": counts,
        "heaps": found,
        "whipple_index": index,
        "by_band": by_band,
    }
    excess = {age: counts[age] * (1 - 1 / ratio) for age, ratio in found.items()}
    highest = sorted(sorted(excess, key=lambda age: excess[age], reverse=True)[:8])

    def years(axes: Axes) -> None:
        colours = [ORANGE if age in found else BLUE for age in range(len(counts))]
        axes.bar(range(len(counts)), counts, width=0.9, color=colours)
        for age in highest:
            axes.annotate(str(age), (age, counts[age]), ha="center", va="bottom", fontsize=8)
        axes.axvline(facts["mean"], color=RED, lw=1.2, label=f"mean {facts['mean']:.1f}")
        axes.axvline(facts["median"], color=GREEN, lw=1.2, label=f"median {facts['median']:.0f}")
        axes.bar(0, 0, color=ORANGE, label="heap: 1.5 times its neighbours or more")
        axes.set(xlabel="age, years", ylabel="pictures", xlim=(-1, len(counts)))
        axes.legend(fontsize=8)

    def bands(axes: Axes) -> None:
        bars = axes.bar(list(by_band), list(by_band.values()), color=BLUE)
        axes.bar_label(bars, [f"{n:,}" for n in by_band.values()], fontsize=8)
        axes.set(xlabel="age, years", ylabel="pictures")

    named = ", ".join(str(age) for age in highest) or "no year"
    section.blocks = [
        Text("Exact copies count once here; files without an age do not count."),
        draw(
            "age-by-year",
            f"Half are {facts['median']:.0f} or younger, {facts['fraction_under_40']:.0%} are "
            f"under 40 (skewness {facts['skewness']:.2f}); labels heap at {named}",
            years,
        ),
        Table("Ages", SUMMARY_HEAD, [("all", *summary_cells(facts))]),
        Table(
            "Heaps",
            ("age", "pictures", "times its neighbours"),
            [(age, int(counts[age]), f"{found[age]:.1f}") for age in sorted(found)],
        ),
        Text(
            "Whipple's index, 100 where nobody prefers ages that end in 0 or 5, is "
            + ("not defined here." if index is None else f"{index:.0f}.")
        ),
        draw("age-by-band", _thinnest(by_band), bands),
        Table(
            "Pictures by band",
            ("band", "pictures", "fraction"),
            [
                (f"ages {name}", count, f"{count / len(ages):.1%}")
                for name, count in by_band.items()
            ],
        ),
    ]
    for topic in TOPICS:
        if labelled[topic].notna().any():
            section.blocks += _topic(labelled, topic, section)
    if all(labelled[topic].notna().any() for topic in TOPICS):
        crossed = pd.crosstab(labelled["gender"], labelled["ethnicity"], margins=True)
        section.numbers["gender_by_ethnicity"] = crossed.to_dict()
        section.blocks.append(
            Table(
                "Gender by ethnicity",
                ("", *map(str, crossed.columns)),
                [(str(name), *map(int, row)) for name, row in crossed.iterrows()],
            )
        )
    _splits(manifest[usable(manifest)], section)
    return section


def _thinnest(by_band: dict[str, int]) -> str:
    there = {name: count for name, count in by_band.items() if count}
    most, least = max(there, key=lambda name: there[name]), min(there, key=lambda name: there[name])
    ratio = there[most] / there[least]
    return f"Ages {most} have {ratio:.0f} times the pictures of ages {least}"


def _topic(rows: pd.DataFrame, topic: str, section: Section) -> list[Block]:
    """Counts of a topic's values, and the ages of each."""
    known = rows[rows[topic].notna()]
    counts = known[topic].value_counts()
    groups = {
        str(name): known["age"][known[topic] == name].to_numpy(float) for name in counts.index
    }
    facts = {name: age_summary(pd.Series(values)) for name, values in groups.items()}
    section.numbers[topic] = {"counts": counted(counts), "ages": facts}

    def bars(left: Axes, right: Axes) -> None:
        colours = [PALETTE[i % len(PALETTE)] for i in range(len(groups))]
        drawn = left.barh(list(groups), counts, color=colours)
        left.bar_label(drawn, [f"{n / len(known):.0%}" for n in counts], fontsize=8, padding=2)
        left.set(xlabel="pictures")
        left.invert_yaxis()
        places = np.arange(1, len(groups) + 1)
        shapes = right.violinplot(list(groups.values()), places, showextrema=False, widths=0.9)
        bodies: Any = shapes["bodies"]
        for body, colour in zip(bodies, colours, strict=True):
            body.set(facecolor=colour, alpha=0.45)
        right.boxplot(
            list(groups.values()),
            positions=places,
            widths=0.18,
            showfliers=False,
            medianprops={"color": "black"},
        )
        right.set(ylabel="age, years")
        right.set_xticks(places, list(groups))

    oldest = max(facts, key=lambda name: facts[name]["median"])
    youngest = min(facts, key=lambda name: facts[name]["median"])
    title = (
        f"{topic.capitalize()}: {counts.index[0]} makes up {counts.iloc[0] / len(known):.0%}; "
        f"the median age goes from {facts[youngest]['median']:.0f} ({youngest}) to "
        f"{facts[oldest]['median']:.0f} ({oldest})"
    )
    table = Table(
        f"Age by {topic}",
        (topic, *SUMMARY_HEAD[1:]),
        [(name, *summary_cells(group)) for name, group in facts.items()],
    )
    return [draw(f"age-by-{topic}", title, bars, columns=2, size=(8, 3.4)), table]


def _splits(used: pd.DataFrame, section: Section) -> None:
    tests = splits_agree(used)
    parts = {str(name): part for name, part in used.groupby("split")}
    section.numbers["splits_agree"] = tests
    section.numbers["splits"] = {name: age_summary(part["age"]) for name, part in parts.items()}

    def histograms(axes: Axes) -> None:
        for (name, part), colour in zip(parts.items(), PALETTE, strict=False):
            values, edges = np.histogram(part["age"].astype(float), np.arange(0, 121, 5))
            axes.stairs(values / len(part), edges, label=name, color=colour, lw=1.5)
        axes.set(xlabel="age, years", ylabel="fraction of the split")
        axes.legend(fontsize=8)

    worst = min((test["p"] for test in tests.values()), default=1.0)
    verdict = "agree" if worst > 0.01 else "do not agree"
    rows = [
        (topic, ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in test.items()))
        for topic, test in tests.items()
    ]
    section.blocks += [
        draw("age-by-split", f"The splits {verdict} (smallest p {worst:.2g})", histograms),
        Table(
            "Ages by split",
            SUMMARY_HEAD,
            [(name, *summary_cells(facts)) for name, facts in section.numbers["splits"].items()],
        ),
        Table("Tests that the splits are drawn from one population", ("", "statistic"), rows),
    ]
    for topic in TOPICS:
        if used[topic].notna().any():
            crossed = pd.crosstab(used["split"], used[topic], normalize="index")
            section.numbers[f"split_by_{topic}"] = crossed.to_dict()
            section.blocks.append(
                Table(
                    f"{topic.capitalize()} by split",
                    ("split", *map(str, crossed.columns)),
                    [(str(name), *(f"{v:.1%}" for v in row)) for name, row in crossed.iterrows()],
                )
            )

"""The numbers of `agelens evaluate` as tables and sentences, for the report and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agelens.evaluation.metrics import SMALL_GROUP
from agelens.evaluation.report.terminal import RATES, share, years
from agelens.evaluation.robustness.conditions import JITTER
from agelens.reporting.page import Table

Numbers = Mapping[str, Any]
"""Some part of what `agelens evaluate --json` writes."""

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
SHARES = ("within_3", "within_5", "within_10", "coverage")
BRIEF = {
    "mae": "MAE, years", "bias": "bias, years", "within_5": "within 5 years",
    "coverage": "label in interval", "width": "width, years",
}  # fmt: skip
SHOWN_LEVELS = (0.5, 0.8, 0.9, 0.95)
FAMILIES = {
    "Light and colour": ("low_light", "over_exposure", "contrast", "colour_cast", "grey"),
    "Noise": ("gaussian_noise", "shot_noise", "iso_noise"),
    "Blur and detail": ("defocus_blur", "motion_blur", "jpeg", "low_resolution"),
    "Hidden parts": ("eyes_hidden", "mouth_hidden", "half_hidden"),
    "Framing": ("rotation", "tight_crop", "wide_crop", JITTER),
}
"""Kinds of corruption that are shown together."""
NOTE = f"Brackets: 95 % bootstrap interval over pictures. *: under {SMALL_GROUP} pictures."


def label(model: str) -> str:
    """What a model is called: a shipped name, or its file's."""
    return Path(model).name


def cell(metric: str, figure: Numbers, *, interval: bool = True) -> str:
    """A metric, with its interval if that is wanted."""
    if not interval:
        return f"{figure['value']:.1%}" if metric in SHARES else f"{figure['value']:.2f}"
    if metric in SHARES:
        return share(dict(figure))
    return years(dict(figure), "{:+.2f}" if metric == "bias" else "{:.2f}")


def overall(report: Numbers) -> Table:
    """Every metric of all pictures."""
    own = report["overall"]
    rows = [(name, cell(metric, own[metric])) for metric, name in METRICS.items() if metric in own]
    if "whole_years" in report:
        rows += [
            (
                f"{METRICS[metric]}, of ages in whole years",
                cell(metric, report["whole_years"][metric]),
            )
            for metric in ("mae", "within_5")
        ]
    missed = f"{len(report['missed']):,} of {report['images']:,} ({report['miss_rate']:.2%})"
    return Table("All pictures", ("", label(report["model"])), [*rows, ("no face found", missed)])


def by_group(title: str, topic: str, groups: Mapping[str, Numbers]) -> Table:
    """The main metrics of each group, error and bias with their intervals."""
    columns = [m for m in BRIEF if any(m in figures for figures in groups.values())]
    rows = [
        (
            _named(name, figures),
            figures["count"],
            *(cell(m, figures[m], interval=m in ("mae", "bias")) for m in columns),
        )
        for name, figures in groups.items()
    ]
    return Table(title, (topic, "pictures", *(BRIEF[m] for m in columns)), rows)


def standardised(topic: str, values: Numbers) -> Table:
    """Errors of groups as if all were equally old."""
    rows = [
        (_named(name, figure), figure["count"], years(dict(figure)))
        for name, figure in values["groups"].items()
    ]
    title = f"As if every {topic} had the same ages: {', '.join(values['bands'])}"
    return Table(title, (topic, "pictures", "MAE, years"), rows)


def coverages(intervals: Numbers) -> Iterator[Table]:
    """How often intervals hold the label: by what they promise, and by estimated age."""
    rows = [
        (f"{row['nominal']:.0%}", share(row["observed"]), f"{row['width']:.1f}")
        for row in intervals["levels"]
    ]
    yield Table(
        "Intervals of every stated coverage",
        ("stated coverage", "labels inside", "mean width, years"),
        rows,
    )
    shown = [row["nominal"] for row in intervals["levels"] if row["nominal"] in SHOWN_LEVELS]
    bands = []
    for band, own in intervals["estimated"].items():
        known = {row["nominal"]: row["observed"] for row in own["levels"]}
        bands.append((_named(band, own), own["count"], *(share(known[at]) for at in shown)))
    head = ("estimated age", "pictures", *(f"stated {level:.0%}" for level in shown))
    yield Table("Labels inside, by estimated age", head, bands)


def stated_shares(age: str, figures: Numbers) -> Table:
    """What became true of the probability of having reached an age."""
    rows = [
        (
            f"{row['from']:.0%} to {row['to']:.0%}",
            row["observed"]["count"],
            f"{row['stated']:.1%}",
            share(row["observed"]),
        )
        for row in figures["reliability"]["bins"]
    ]
    head = ("probability", "pictures", "mean stated", f"are {age} or older")
    return Table(f"Probability of {age} or older", head, rows)


def checks(age: str, figures: Numbers) -> Iterator[Table]:
    """Error rates of a check: by challenge age, and by group at one of them."""
    first, last = figures["near"]
    whose = (f"under {age}, passed", f"{first} to {last}, passed", f"{age} or older, stopped")
    rows = [
        (challenge, *(share(row["overall"][name]) for name in RATES))
        for challenge, row in figures["challenges"].items()
    ]
    yield Table(f"Checks for {age}", ("challenge age", *whose), rows)
    chosen = str(figures["least_challenge"]["observed"])
    if chosen not in figures["challenges"]:
        chosen = list(figures["challenges"])[-1]
    for topic, values in figures["challenges"][chosen]["groups"].items():
        own = [(_named(name, rates), *(share(rates[key]) for key in RATES))
               for name, rates in values.items()]  # fmt: skip
        yield Table(f"Challenge age {chosen}, by {topic}", (topic, *whose), own)


def families(corruptions: Numbers) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds that were measured, by family."""
    named = {kind for kinds in FAMILIES.values() for kind in kinds}
    other = tuple(kind for kind in corruptions["kinds"] if kind not in named)
    for family, kinds in (*FAMILIES.items(), ("Other", other)):
        own = {kind: corruptions["kinds"][kind] for kind in kinds if kind in corruptions["kinds"]}
        if own:
            yield family, own


def corruption_means(corruptions: Numbers) -> Table:
    """Each kind, over its severities."""
    spans = [span for span, means in corruptions["means"].items() if means is not None]
    head = ["condition"]
    for span in spans:
        head += [f"MAE, severities {span}", "times clean", "no face found"]
    kinds = {name.replace("_", " "): kind["means"] for name, kind in corruptions["kinds"].items()}
    rows = [
        (name, *(text for span in spans for text in _condition(means[span])))
        for name, means in (kinds | {"all": corruptions["means"]}).items()
    ]
    return Table("Means over severities", head, rows if spans else [])


def corruption_levels(family: str, kinds: Mapping[str, Numbers], clean: Numbers) -> Table:
    """Each kind of a family at each severity."""
    head = ("condition", "severity", "amount", "MAE, years", "times clean", "no face found")
    rows: list[tuple[str | int, ...]] = [("clean", 0, "–", *_condition({**clean, "ratio": 1.0}))]
    rows += [
        (name.replace("_", " "), level, f"{row['amount']:g} {kind['unit']}", *_condition(row))
        for name, kind in kinds.items()
        for level, row in kind["severities"].items()
    ]
    return Table(f"{family}: every severity", head, rows)


def comparison(model: str, compared: Numbers) -> Iterator[Table]:
    """Two models on the pictures in which both found a face."""
    head = (label(model), label(compared["with"]), "difference")
    rows = []
    for metric, figures in compared["overall"].items():
        form = "{:.1%}" if metric in SHARES else "{:.3f}"
        sides = (form.format(figures[side]) for side in ("first", "second"))
        rows.append((METRICS[metric], *sides, _difference(metric, figures["difference"])))
    yield Table(f"{compared['count']:,} pictures of both", ("", *head), rows)
    for topic, groups in compared["groups"].items():
        own = [
            (_named(name, figures), figures["count"],
             *(f"{figures['mae'][side]:.3f}" for side in ("first", "second")),
             _difference("mae", figures["mae"]["difference"]))
            for name, figures in groups.items()
        ]  # fmt: skip
        yield Table(f"Mean absolute error by {topic}", (topic, "pictures", *head), own)


def _difference(metric: str, figure: Numbers) -> str:
    return years(dict(figure), "{:+.1%}" if metric in SHARES else "{:+.3f}")


def _condition(figures: Numbers) -> tuple[str, str, str]:
    """Error, ratio to the clean one and miss rate; a dash where no face was found."""
    mae, ratio = (
        "–" if figures[key] is None else f"{figures[key]:.2f}" for key in ("mae", "ratio")
    )
    return mae, ratio, f"{figures['miss_rate']:.1%}"


def _named(name: str, figures: Numbers) -> str:
    """A group's name, marked where it is too small to compare."""
    small = figures.get("small", figures.get("count", SMALL_GROUP) < SMALL_GROUP)
    return name + "*" * bool(small)

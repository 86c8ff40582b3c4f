"""The result of an evaluation as tables, for the terminal, the page and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agelens.evaluation.cross_fitting import COVERAGE, Gain
from agelens.evaluation.measured import (
    BandFigures,
    CheckRates,
    CleanFigures,
    Comparison,
    ConditionFigures,
    ConditionMeans,
    CorruptionKind,
    Corruptions,
    Groups,
    Intervals,
    Measured,
    Paired,
    Standardised,
    Threshold,
)
from agelens.evaluation.report.words import (
    DASH,
    FRACTIONS,
    METRICS,
    SHORT,
    metric,
    model_label,
    named,
    percent,
    plain,
    years,
)
from agelens.evaluation.results import Evaluation
from agelens.evaluation.robustness.conditions import JITTER
from agelens.reporting.page import Table

Row = tuple[str | int, ...]
SHOWN_LEVELS = (0.5, 0.8, 0.9, 0.95)
FAMILIES = {
    "Light and colour": ("low_light", "over_exposure", "contrast", "colour_cast", "grey"),
    "Noise": ("gaussian_noise", "shot_noise", "iso_noise"),
    "Blur and detail": ("defocus_blur", "motion_blur", "jpeg", "low_resolution"),
    "Hidden parts": ("eyes_hidden", "mouth_hidden", "half_hidden"),
    "Framing": ("rotation", "tight_crop", "wide_crop", JITTER),
}
"""Kinds of corruption that are shown together."""


def overall(result: Evaluation) -> Table:
    """Every metric of all pictures."""
    own = result.overall
    rows = [(name, metric(key, own)) for key, name in METRICS.items() if key in own]
    rows += [
        (f"{METRICS[key]}, of ages in whole years", metric(key, result.whole_years))
        for key in ("mae", "within_5")
        if key in result.whole_years
    ]
    missed = f"{len(result.missed):,} of {result.images:,} ({result.miss_rate:.2%})"
    return Table(
        "All pictures", ("", model_label(result.model)), [*rows, ("no face found", missed)]
    )


def every_group(result: Evaluation) -> Table:
    """All groups in five columns, without intervals."""
    columns = [key for key in ("mae", "bias", "coverage") if key in result.overall]
    rows: list[Row] = [
        (
            named(f"{topic} {name}".strip(), small=figures.small),
            figures.count,
            *(metric(key, figures, interval=False) for key in columns),
        )
        for topic, groups in ({"": {"all": result.overall}} | result.groups).items()
        for name, figures in groups.items()
    ]
    rows = rows if result.overall.count else []
    return Table("By group", ("", "pictures", *(SHORT[key] for key in columns)), rows)


def bands(figures: BandFigures) -> Table:
    """Estimates against labels that are bands of ages."""
    rows: list[Row] = [
        (
            named(f"{topic} {name}".strip(), small=own.small),
            own.count,
            f"{own.in_band.value:.1%}",
            f"{own.distance.value:.2f}",
            DASH if own.outside is None else f"{own.outside.value:.2f}",
        )
        for topic, groups in ({"": {"all": figures.overall}} | figures.groups).items()
        for name, own in groups.items()
    ]
    head = ("", "pictures", "in the band", "years away", "of those outside")
    return Table("Labels that are bands of ages", head, rows)


def by_group(title: str, topic: str, groups: Groups) -> Table:
    """The main metrics of each group, error and bias with their intervals."""
    columns = [key for key in SHORT if any(key in figures for figures in groups.values())]
    rows: list[Row] = [
        (
            named(name, small=figures.small),
            figures.count,
            *(metric(key, figures, interval=key in ("mae", "bias")) for key in columns),
        )
        for name, figures in groups.items()
    ]
    return Table(title, (topic, "pictures", *(SHORT[key] for key in columns)), rows)


def standardised(topic: str, values: Standardised) -> Table:
    """Errors of groups as if all were equally old."""
    rows = [
        (named(name, small=figure.small), figure.count, years(figure))
        for name, figure in values.groups.items()
    ]
    title = f"As if every {topic} had the same ages: {', '.join(values.bands)}"
    return Table(title, (topic, "pictures", "MAE, years"), rows)


def coverages(intervals: Intervals) -> Iterator[Table]:
    """How often intervals hold the label: by what they promise, and by estimated age."""
    rows = [
        (f"{level.nominal:.0%}", percent(level.observed), f"{level.width:.1f}")
        for level in intervals.levels
    ]
    head = ("nominal coverage", "labels inside", "mean width, years")
    yield Table("Intervals of every nominal coverage", head, rows)
    shown = [level.nominal for level in intervals.levels if level.nominal in SHOWN_LEVELS]
    bands: list[Row] = []
    for band, own in intervals.estimated.items():
        known = {level.nominal: level.observed for level in own.levels}
        fractions = (percent(known[at]) for at in shown)
        bands.append((named(band, small=own.small), own.count, *fractions))
    names = ("estimated age", "pictures", *(f"nominal {level:.0%}" for level in shown))
    yield Table("Labels inside, by estimated age", names, bands)


def reliability(age: int, figures: Threshold) -> Table:
    """What became true of the probability of having reached an age."""
    rows = [
        (
            f"{row.low:.0%} to {row.high:.0%}",
            row.observed.count,
            f"{row.mean_probability:.1%}",
            percent(row.observed),
        )
        for row in figures.reliability.bins
    ]
    head = ("probability", "pictures", "mean probability", f"are {age} or older")
    return Table(f"Probability of {age} or older", head, rows)


def challenges(age: int, figures: Threshold, *, interval: bool = True) -> Table:
    """Error rates of a check by challenge age."""
    rows = [
        (str(challenge), *_rates(row.overall, interval=interval))
        for challenge, row in figures.challenges.items()
    ]
    return Table(f"Checks for {age}", ("challenge age", *_wrongly(age, figures)), rows)


def challenges_by_group(age: int, figures: Threshold) -> Iterator[Table]:
    """Error rates of each group at the lowest challenge age that keeps to the bound."""
    chosen = figures.lowest_challenge.observed
    if chosen not in figures.challenges:
        chosen = max(figures.challenges)
    for topic, groups in figures.challenges[chosen].groups.items():
        rows = [
            (named(name, small=rates.small), *_rates(rates, interval=True))
            for name, rates in groups.items()
        ]
        title = f"Challenge age {chosen}, by {topic}"
        yield Table(title, (topic, *_wrongly(age, figures)), rows)


def _wrongly(age: int, figures: Threshold) -> tuple[str, str, str]:
    first, last = figures.near
    return f"under {age}, passed", f"{first} to {last}, passed", f"{age} or older, stopped"


def _rates(rates: CheckRates, *, interval: bool) -> tuple[str, str, str]:
    return (
        percent(rates.false_positive_rate, interval=interval),
        percent(rates.false_positive_rate_near, interval=interval),
        percent(rates.false_negative_rate, interval=interval),
    )


def families(corruptions: Corruptions) -> Iterator[tuple[str, dict[str, CorruptionKind]]]:
    """The kinds that were measured, by family."""
    known = {kind for kinds in FAMILIES.values() for kind in kinds}
    other = tuple(kind for kind in corruptions.kinds if kind not in known)
    for family, kinds in (*FAMILIES.items(), ("Other", other)):
        own = {kind: corruptions.kinds[kind] for kind in kinds if kind in corruptions.kinds}
        if own:
            yield family, own


def corruption_means(corruptions: Corruptions) -> Table:
    """Each kind, over its severities."""
    spans = [span for span, means in corruptions.means.items() if means is not None]
    head = ["condition"]
    for span in spans:
        head += [f"MAE, severities {span}", "times clean", "no face found"]
    means = {plain(name): kind.means for name, kind in corruptions.kinds.items()}
    rows = [
        (name, *(text for span in spans for text in _condition(own[span])))
        for name, own in (means | {"all": corruptions.means}).items()
    ]
    return Table("Means over severities", head, rows if spans else [])


def corruption_ratios(corruptions: Corruptions) -> Table:
    """How many times the error of the clean pictures, for each kind at each severity."""
    levels = sorted({level for kind in corruptions.kinds.values() for level in kind.severities})
    rows = [
        (plain(name), *(_optional(kind.severities[level].ratio) for level in levels))
        for name, kind in corruptions.kinds.items()
    ]
    title = (
        f"Times the error of the clean pictures ({_optional(corruptions.clean.mae)} years), "
        "by severity"
    )
    return Table(title, ("condition", *map(str, levels)), rows)


def corruption_levels(
    family: str, kinds: Mapping[str, CorruptionKind], clean: CleanFigures
) -> Table:
    """Each kind of a family at each severity."""
    head = ("condition", "severity", "amount", "MAE, years", "times clean", "no face found")
    rows: list[Row] = [("clean", 0, DASH, _optional(clean.mae), "1.00", f"{clean.miss_rate:.1%}")]
    rows += [
        (plain(name), level, f"{row.amount:g} {kind.unit}", *_condition(row))
        for name, kind in kinds.items()
        for level, row in kind.severities.items()
    ]
    return Table(f"{family}: every severity", head, rows)


def comparison(model: str, compared: Comparison) -> Iterator[Table]:
    """Two models on the pictures in which both found a face."""
    head = (model_label(model), model_label(compared.second), "difference")
    rows = [(METRICS[key], *_paired(key, own)) for key, own in compared.overall.items()]
    yield Table(f"{compared.count:,} pictures of both", ("", *head), rows)
    for topic, groups in compared.groups.items():
        own = [
            (named(name, small=group.small), group.count, *_paired("mae", group.mae))
            for name, group in groups.items()
        ]
        yield Table(f"Mean absolute error by {topic}", (topic, "pictures", *head), own)


def gain(figures: Gain) -> Table:
    """What a calibration changed, each face held out of what it is measured with."""
    forms = {
        "covered": ("{:.1%}", "{:+.1%}"),
        "width": ("{:.1f}", "{:+.1f}"),
        "error": ("{:.2f}", "{:+.2f}"),
    }
    names = {
        "covered": f"labels inside intervals of {COVERAGE:.0%}",
        "width": METRICS["width"],
        "error": METRICS["mae"],
    }
    rows = [
        (
            names[key],
            form.format(own.first),
            form.format(own.second),
            years(own.difference, signed),
        )
        for key, (form, signed) in forms.items()
        for own in [getattr(figures, key)]
    ]
    title = "Faces that had no part in what they are measured with"
    return Table(title, ("", "before", "after", "difference"), rows)


def _paired(key: str, own: Paired) -> tuple[str, str, str]:
    form, signed = ("{:.1%}", "{:+.1%}") if key in FRACTIONS else ("{:.3f}", "{:+.3f}")
    difference: Measured = own.difference
    return form.format(own.first), form.format(own.second), years(difference, signed)


def _condition(figures: ConditionFigures | ConditionMeans | None) -> tuple[str, str, str]:
    """Error, ratio to the clean one and miss rate; a dash where no face was found."""
    if figures is None:
        return DASH, DASH, DASH
    missed = DASH if figures.miss_rate is None else f"{figures.miss_rate:.1%}"
    return _optional(figures.mae), _optional(figures.ratio), missed


def _optional(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"

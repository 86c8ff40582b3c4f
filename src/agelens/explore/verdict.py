"""What to expect of a dataset: the first thing that its report says."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from agelens.data.manifest import FLAGS, LABEL_FLAGS, usable
from agelens.evaluation.evaluate import constant_guess
from agelens.evaluation.known import PUBLISHED, public_name
from agelens.evaluation.report.verdict import graded
from agelens.explore.statistics import age_counts, band_counts, splits_agree, whipple
from agelens.reporting.page import Finding, Section, Status, Verdict

FEW = 100
"""An age band with fewer pictures in the training part is hardly learnt."""
UNLIKELY = 0.01
"""A label of a lower quality is likely to be wrong."""


def verdict(manifest: pd.DataFrame, predictions: pd.DataFrame) -> Section:
    """Findings: what can be used, what a model has to beat, what falls short.

    Args:
        manifest: of a prepared dataset.
        predictions: from `held_out_predictions`.
    """
    used = manifest[usable(manifest)]
    in_years = used[used["age"].notna()]
    findings = [*_usable(manifest, used)]
    if len(in_years):
        findings += [*_to_beat(manifest, in_years), *_ages(in_years), *_splits(in_years)]
    findings += [*_groups(used), *_labels(predictions)]
    return Section("In short", [Verdict(findings)])


def _usable(manifest: pd.DataFrame, used: pd.DataFrame) -> Iterator[Finding]:
    lost = 1 - len(used) / len(manifest)
    text = f"{len(used):,} of {len(manifest):,} files can be used"
    counts = {flag: int(manifest[flag].sum()) for flag in FLAGS if flag in manifest}
    counts = {flag: n for flag, n in counts.items() if n and flag in (*LABEL_FLAGS, "no_face")}
    if counts:
        reasons = (f"{n:,} {flag.replace('_', ' ')}" for flag, n in counts.items())
        text += f"; the others are left out for reasons such as: {', '.join(reasons)}"
    yield Finding(graded(lost, fair=0.05, poor=0.2), f"{text}.")


def _to_beat(manifest: pd.DataFrame, used: pd.DataFrame) -> Iterator[Finding]:
    guess = constant_guess(used["age"].astype(float))
    text = (
        f"A model has to be far better than guessing age {guess.age:.0f} for every face, which "
        f"would be wrong by {guess.mae:.1f} years on average"
    )
    known = PUBLISHED.get(public_name(manifest) or "", ())
    if known:
        text += "; published errors: " + "; ".join(
            f"{one.mae:.2f} by {one.method}" for one in known
        )
    yield Finding(Status.EXPECT, f"{text}.")


def _ages(used: pd.DataFrame) -> Iterator[Finding]:
    counts = band_counts(used["age"][used["split"] == "train"])
    rare = {band: count for band, count in counts.items() if count < FEW}
    if rare:
        listed = ", ".join(f"{band} ({count})" for band, count in rare.items())
        yield Finding(
            Status.POOR, f"Ages with fewer than {FEW} pictures to learn from, by band: {listed}."
        )
    else:
        yield Finding(
            Status.GOOD,
            f"Every age band has at least {min(counts.values()):,} pictures to learn from.",
        )
    index = whipple(age_counts(used["age"]))
    if index is not None:
        yield Finding(
            graded(index, fair=110, poor=125),
            f"Whipple's index is {index:.0f}: 100 where labels do not prefer ages that end in 0 or "
            "5, above 125 where they are rough guesses.",
        )


def _groups(used: pd.DataFrame) -> Iterator[Finding]:
    for topic in ("gender", "ethnicity"):
        fractions = used[topic].value_counts(normalize=True)
        if len(fractions) > 1:
            name, least = fractions.index[-1], float(fractions.iloc[-1])
            status = graded(-least * len(fractions), fair=-0.5, poor=-0.25)
            yield Finding(
                status, f"The rarest {topic} is {name}, with {least:.0%} of the pictures."
            )


def _splits(used: pd.DataFrame) -> Iterator[Finding]:
    worst = min((test["p"] for test in splits_agree(used).values()), default=None)
    if worst is not None:
        agree = "agree" if worst > 0.01 else "do not agree"
        status = Status.GOOD if worst > 0.01 else Status.POOR
        yield Finding(
            status, f"The splits {agree} in ages, genders and ethnicities (smallest p {worst:.2g})."
        )


def _labels(predictions: pd.DataFrame) -> Iterator[Finding]:
    if predictions.empty:
        return
    doubted = int((predictions["label_quality"] < UNLIKELY).sum())
    yield Finding(
        graded(doubted / len(predictions), fair=0.02, poor=0.05),
        f"{doubted:,} of {len(predictions):,} labels are likely to be wrong: a model that has not "
        f"seen them finds them less probable than {UNLIKELY:.0%}. Its predictions are "
        f"{predictions['error'].abs().mean():.1f} years from the labels on average.",
    )

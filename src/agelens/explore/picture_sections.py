"""The report's sections that show pictures: their properties, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agelens.data.manifest import Dataset, usable
from agelens.explore.table import ISSUES
from agelens.reporting.figures import BLUE, ORANGE, draw
from agelens.reporting.page import Block, Gallery, Picture, Section, Table, Text, thumbnail

RANDOM = 45
PER_DECADE = 9
EXTREMES = 9
GROUPS = 60
FLAGGED = 60
RANKED = 24
ERRORS = 96


class Measure(NamedTuple):
    """How a measure is shown."""

    column: str
    name: str
    unit: str
    low: str
    high: str


MEASURES = (
    Measure("brightness", "brightness", "mean, 0 black to 1 white", "darkest", "brightest"),
    Measure("contrast", "contrast of the face", "deviation of grey / 255", "least", "most"),
    Measure("sharpness", "sharpness of the face", "deviation of the Laplacian / of grey",
            "most blurred", "sharpest, or noisy"),
    Measure("effective_side", "side that the detail needs", "pixels", "most enlarged", ""),
    Measure("green_red", "cast from green to red", "Lab a", "greenest", "reddest"),
    Measure("blue_yellow", "cast from blue to yellow", "Lab b", "bluest", "yellowest"),
    Measure("roll", "roll of the head", "degrees, clockwise", "turned left", "turned right"),
    Measure("yaw", "yaw of the head, estimated", "degrees", "to the left", "to the right"),
)  # fmt: skip


class Pictures:
    """Makes the thumbnails of a dataset, with their labels as captions."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.rows = dataset, dataset.manifest

    def of(self, index: Any, note: str = "", *, named: bool = False) -> Picture:
        """The thumbnail of a manifest row, by its index, with its file's name on request."""
        row = self.rows.loc[index]
        low, high = row["age_low"], row["age_high"]
        band = pd.notna(low) and low < high
        age = f"{low}-{high}" if band else row["age"]
        values = [age, row["gender"], row["ethnicity"]]
        label = ", ".join(str(value) for value in values if pd.notna(value)) or "no label"
        name = row["path"].rpartition("/")[2].removesuffix(".jpg.chip.jpg") if named else ""
        caption = "\n".join(part for part in (label, note, name) if part)
        return thumbnail(self.dataset.root / row["path"], caption)

    def grid(
        self,
        title: str,
        indices: list[int],
        notes: list[str],
        text: str = "",
        *,
        named: bool = True,
    ) -> Gallery:
        """Single pictures side by side, each with its note."""
        pairs = zip(indices, notes, strict=True)
        groups = [[self.of(index, note, named=named)] for index, note in pairs]
        return Gallery(title, groups, text)


def image_properties(pictures: Pictures, measures: pd.DataFrame) -> Section:
    """Random faces, faces by decade, and every measure with its extremes."""
    rows = pictures.rows
    rng = np.random.default_rng(0)
    known = rows[usable(rows)]
    chosen = rng.choice(known.index, min(RANDOM, len(known)), replace=False).tolist()
    section = Section("Image properties")
    section.blocks = [pictures.grid("Faces at random", chosen, [""] * len(chosen), named=False)]
    for decade, part in known.groupby(known["age_low"] // 10 * 10):
        sample = rng.choice(part.index, min(PER_DECADE, len(part)), replace=False).tolist()
        title = f"Ages {decade} to {decade + 9}"
        section.blocks.append(pictures.grid(title, sample, [""] * len(sample), named=False))
    counts = {issue: int(measures[f"is_{issue}_issue"].sum()) for issue in (*ISSUES, "odd_size")}
    section.numbers["cleanvision"] = counts
    section.blocks.append(
        Table(
            "What cleanvision finds, at its own thresholds",
            ("issue", "pictures"),
            [(name.replace("_", " "), n) for name, n in counts.items()],
        )
    )
    for measure in MEASURES:
        values = measures[measure.column].dropna()
        if values.empty:
            continue
        quantiles = values.quantile([0.01, 0.05, 0.5, 0.95, 0.99])
        section.numbers[measure.column] = {str(k): float(v) for k, v in quantiles.items()}
        section.blocks += _measure(pictures, measure, values)
    return section


def _measure(pictures: Pictures, measure: Measure, values: pd.Series) -> list[Block]:
    low, middle, high = values.quantile([0.05, 0.5, 0.95])

    def histogram(axes: Axes) -> None:
        shown = values.clip(*values.quantile([0.002, 0.998]))
        axes.hist(shown, bins=60, color=BLUE)
        axes.axvline(middle, color=ORANGE, label=f"median {middle:.3g}")
        axes.set(xlabel=f"{measure.name} ({measure.unit})", ylabel="pictures")
        axes.legend(fontsize=8)

    title = (
        f"{measure.name.capitalize()}: nine in ten lie between {low:.3g} and {high:.3g} "
        f"({measure.unit})"
    )
    blocks: list[Block] = [draw(f"property-{measure.column}", title, histogram, size=(7.5, 2.6))]
    order = values.sort_values(kind="stable")
    for name, part in ((measure.low, order[:EXTREMES]), (measure.high, order[::-1][:EXTREMES])):
        if name:
            notes = [f"{value:.3g}" for value in part]
            blocks.append(
                pictures.grid(f"{measure.name.capitalize()}: {name}", part.index.tolist(), notes)
            )
    return blocks


def issues(pictures: Pictures, measures: pd.DataFrame) -> Section:
    """Files, duplicates, faces that were not found or are cut off, lettering, drawings."""
    rows = pictures.rows
    section = Section("Issues")
    add = section.blocks.append
    for flag, title in (
        ("unreadable", "Files that cannot be decoded"),
        ("bad_name", "Files without a whole label"),
        ("no_face", "No face found"),
        ("implausible_landmarks", "Eyes, nose and mouth unlike those of a face from the front"),
    ):
        found = rows[rows[flag]]
        section.numbers[flag] = found["path"].tolist()
        if found.empty:
            continue
        shown = found.index[:FLAGGED].tolist()
        add(pictures.grid(f"{title}: {len(found):,}", shown, [""] * len(shown)))
    _duplicates(pictures, section)
    ranked: list[tuple[str, float, str, str, Callable[[float], str]]] = [
        (
            "missing",
            0.1,
            "Faces that are cut off",
            "Fraction of the aligned face that lies outside the picture. It misses faces that a "
            "hand or a frame hides, and those that the detector completed wrongly.",
            "{:.0%} missing".format,
        ),
        (
            "lettering",
            0.02,
            "Letters and watermarks",
            "Fraction of thin, contrasting strokes outside the face. It finds lettering beside "
            "the face and takes fences, hair and patterned walls for it; it misses faint marks and "
            "all that lie on the face.",
            "{:.1%} strokes".format,
        ),
        (
            "flatness",
            0.5,
            "Drawings and flat backgrounds",
            "Fraction of pixels whose surroundings are one grey level. It finds drawings, cut-outs "
            "and over-exposed pictures; painted portraits have texture and are missed.",
            "{:.0%} flat".format,
        ),
    ]
    for column, least, title, note, caption in ranked:
        values = measures[column][measures[column] >= least]  # below, there is no reason to look
        top = values.sort_values(ascending=False, kind="stable")[:RANKED]
        section.numbers[column] = dict(
            zip(rows.loc[top.index, "path"], top.astype(float), strict=True)
        )
        add(pictures.grid(title, top.index.tolist(), [caption(value) for value in top], note))
    return section


def _duplicates(pictures: Pictures, section: Section) -> None:
    """Groups of copies side by side, those with conflicting labels first."""
    rows = pictures.rows
    exact = rows[rows["sha256"].notna() & rows["sha256"].duplicated(keep=False)]
    near = rows[rows["duplicate_kind"] == "near"]
    for name, title, part, key in (
        ("exact_copies", "Byte-for-byte copies", exact, "sha256"),
        ("near_copies", "Near copies", near, "duplicate_group"),
    ):
        if part.empty:
            section.numbers[name] = {"groups": 0, "files": 0, "members": []}
            continue
        grouped = part.groupby(key)
        facts = grouped[["gender", "ethnicity"]].nunique()
        spread = grouped["age_low"].max() - grouped["age_high"].min()  # of bands: what is between
        facts["spread"] = spread.clip(lower=0).fillna(0).astype(float)
        facts["conflict"] = (facts[["gender", "ethnicity"]] > 1).any(axis=1) | facts["spread"].gt(0)
        facts = facts.sort_values(["conflict", "spread"], ascending=False, kind="stable")
        aged = facts["spread"] > 0
        members = grouped.groups
        conflicting = int(facts["conflict"].sum())
        section.numbers[name] = {
            "groups": len(facts),
            "files": len(part),
            "with_conflicting_labels": conflicting,
            "with_conflicting_ages": int(aged.sum()),
            "with_conflicting_gender_or_ethnicity": int(
                (facts[["gender", "ethnicity"]] > 1).any(axis=1).sum()
            ),
            "mean_spread_of_conflicting_ages": float(facts["spread"][aged].mean()),
            "greatest_spread": float(facts["spread"].max()),
            "members": [rows.loc[members[group], "path"].tolist() for group in facts.index],
        }
        agreeing = facts.index[~facts["conflict"]][: GROUPS // 3]
        shown = [*facts.index[facts["conflict"]][: GROUPS - len(agreeing)], *agreeing]
        section.blocks.append(
            Gallery(
                f"{title}: {len(facts):,} groups of {len(part):,} files, {conflicting:,} with "
                "conflicting labels",
                [[pictures.of(index, named=True) for index in members[group]] for group in shown],
                f"{len(shown)} groups are shown, those whose labels conflict most first.",
            )
        )


def label_errors(pictures: Pictures, predictions: pd.DataFrame, model: str) -> Section:
    """Labels that a model which never saw them finds least likely."""
    section = Section("Likely label errors")
    rows = pictures.rows
    top = predictions[:ERRORS]
    section.numbers = {
        "model": model,
        "pictures": len(predictions),
        "mean_absolute_error": float(predictions["error"].abs().mean()),
        "ranked": [
            {"path": rows.at[i, "path"], "age": int(age), **top.loc[i].to_dict()}
            for i, age in rows.loc[top.index, "age"].items()
        ],
    }
    if predictions.empty:
        return section
    notes = [f"model: {row.predicted:.0f}" for row in top.itertuples()]
    section.blocks = [
        Text(
            f"The model {model} gave {len(predictions):,} pictures that it did not learn from a "
            "distribution over ages. Labels of the lowest quality, which lie farthest in its "
            "tails, come first. A label can be right and the model wrong: look before you change "
            "one. Pictures of the model's training part are left out (it has seen their labels), "
            "and those of the test part (nobody should choose by it)."
        ),
        pictures.grid("Label and prediction disagree most", top.index.tolist(), notes),
    ]

    def scatter(axes: Axes) -> None:
        ages = rows.loc[predictions.index, "age"].to_numpy(float)
        axes.plot([0, 116], [0, 116], color="black", lw=0.8)
        axes.scatter(ages, predictions["predicted"], s=4, alpha=0.35, color=BLUE, linewidths=0)
        shown = rows.loc[top.index, "age"].to_numpy(float)
        axes.scatter(shown, top["predicted"], s=10, color=ORANGE, label=f"the {len(top)} shown")
        axes.set(xlabel="label, years", ylabel="prediction, years")
        axes.legend(fontsize=8)

    error = section.numbers["mean_absolute_error"]
    title = f"Held-out predictions miss the label by {error:.1f} years on average"
    section.blocks.append(draw("label-errors", title, scatter, size=(6, 5)))
    return section

"""`agelens data explore`: the dataset's report, section after section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from agelens.data.manifest import Dataset, usable
from agelens.evaluation.known import public_name
from agelens.explore.imbalance_section import imbalance
from agelens.explore.label_sections import TOPICS, distributions, overview
from agelens.explore.picture_sections import Pictures, image_properties, issues, label_errors
from agelens.explore.source_section import sources
from agelens.explore.table import held_out_predictions, measures_of
from agelens.explore.verdict import verdict
from agelens.files import Inputs
from agelens.parallel import Progress, silent
from agelens.pipeline.model import file_of
from agelens.reporting.page import NUMBERS, PAGE, Section, Text, write_report

UTKFACE = (
    "UTKFace's ages were estimated by an algorithm (DEX, trained on IMDB and Wikipedia), checked "
    "by one person, its gender and ethnicity likewise: they say how old somebody looks, "
    "not when they were born, and heap at round numbers. What learns from them learns that too.",
    "Gender has two values and ethnicity five, chosen by the dataset's authors from looks. Figures "
    "by group describe those labels, not how people see themselves.",
    "The pictures were collected from the web. Nobody in them was asked. Licence: non-commercial "
    "research only; the copyright stays with the owners. Do not publish faces of this report.",
    "What the data cannot support: claims about people's real ages, about the few over 80, "
    "about the ethnicities lumped together as “Others”, about children by the month, and decisions "
    "about a person.",
)
OTHER = (
    "Ask of your labels: is it the age on the day of the picture or a guess, who made it, did the "
    "people consent, what does the licence allow, and who is missing?",
)


def explore(
    dataset: Dataset,
    folder: Path,
    *,
    model: str = "light",
    recipe: dict[str, Any] | None = None,
    jobs: int,
    progress: Progress = silent,
) -> Path:
    """Write the report of a prepared dataset.

    Args:
        dataset: from `agelens data prepare`.
        folder: where ``report.html``, ``report.json`` and ``figures/`` go.
        model: a model file or a shipped model's name; its predictions show labels that may be
            wrong.
        recipe: plain values of the training recipe whose answer to imbalance is shown; by default
            the one that the model was trained by.
        jobs: pictures in work at once.
        progress: called with the number of pictures done and their total, for each pass anew.

    Returns:
        Path of the page.

    Raises:
        OutputError: a file cannot be written, or is read.
    """
    inputs = Inputs([file_of(model), *dataset.files()])
    inputs.refuse(folder / PAGE, folder / NUMBERS)
    manifest = dataset.manifest
    measures = measures_of(dataset, jobs=jobs, progress=progress)
    predictions, opened = held_out_predictions(dataset, model, jobs=jobs, progress=progress)
    trained = opened.metadata["training"]
    chosen = recipe or trained["recipe"]
    source = f"The recipe {chosen.get('name', opened.name)}"
    if recipe is None and trained.get("averaged"):
        source += f" (the first of the averaged {', '.join(trained['averaged'])})"
    answer = chosen.get("imbalance", {})
    pictures = Pictures(dataset)
    sections = [verdict(manifest, predictions), overview(manifest), sources(dataset)]
    aged = manifest[manifest["age"].notna()]
    if usable(aged).any():
        weights, sampling = answer.get("weights", "none"), answer.get("sampling", "none")
        sections += [distributions(aged), imbalance(aged, weights, sampling, source)]
    sections += [
        image_properties(pictures, measures),
        issues(pictures, measures),
        label_errors(pictures, predictions, opened.name),
        _labels(manifest),
    ]
    used = manifest[usable(manifest)]
    title = f"{' and '.join(source.name for source in dataset.sources)} as agelens sees it"
    summary = (
        f"{len(manifest):,} files, {len(used):,} of them usable, ages {used['age_low'].min()} to "
        f"{used['age_high'].max()}"
    )
    middle = used["age"].median()
    summary += "." if pd.isna(middle) else f", median {middle:.0f} of those known in years."
    return write_report(folder, title, summary, sections, inputs=inputs)


def _labels(manifest: pd.DataFrame) -> Section:
    """What the labels are, and who is under-represented."""
    used = manifest[usable(manifest)]
    section = Section("A note on the labels")
    section.blocks = [Text(text) for text in (UTKFACE if public_name(manifest) else OTHER)]
    old = int((used["age_low"] >= 80).sum())
    rare = [f"{old:,} are 80 or older by their label"]
    for topic in TOPICS:
        counts = used[topic].value_counts()
        if len(counts):
            rare.append(f"{counts.iloc[-1]:,} have the {topic} “{counts.index[-1]}”")
    section.blocks.append(
        Text(f"Under-represented among the {len(used):,} used: " + "; ".join(rare) + ".")
    )
    section.numbers = {
        "age_80_or_more": old,
        **{topic: used[topic].value_counts().to_dict() for topic in TOPICS},
    }
    return section

"""The report's section on where pictures come from, and on labels that are bands of ages."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from agelens.data.manifest import COPY_FLAG, Dataset, usable
from agelens.reporting.figures import PALETTE, draw
from agelens.reporting.page import Section, Table


def sources(dataset: Dataset) -> Section:
    """The sets that the data come from, and how many usable pictures of each have which band."""
    manifest = dataset.manifest
    section = Section("Sources")
    used = manifest[usable(manifest)]
    rows = []
    for source in dataset.sources:
        files, own = (part[part["source"] == source.name] for part in (manifest, used))
        in_bands = int((own["age_low"] < own["age_high"]).sum())
        copies = int(files[COPY_FLAG].sum())
        rows.append((source.name, source.licence, len(files), len(own), in_bands, copies))
    keys = ("source", "licence", "files", "usable", "labelled_in_bands", "held_out_copies")
    section.numbers["sources"] = [dict(zip(keys, row, strict=True)) for row in rows]
    head = ("source", "licence", "files", "usable", "of these in bands", "left out as copies")
    title = "Where the pictures come from; copies of what another source holds back are left out"
    section.blocks = [Table(title, head, rows)]
    banded = used[used["age_low"] < used["age_high"]]
    if banded.empty:
        return section
    low, high = (banded[end].astype("string") for end in ("age_low", "age_high"))
    order = banded.groupby(low + "-" + high)["age_low"].min().sort_values(kind="stable").index
    counts = pd.crosstab(low + "-" + high, banded["source"].astype(str)).loc[order]
    section.numbers["bands"] = {
        str(name): counts[name].astype(int).to_dict() for name in counts.columns
    }

    def bars(axes: Axes) -> None:
        below = [0] * len(counts)
        for name, colour in zip(counts.columns, PALETTE, strict=False):
            axes.bar(counts.index, counts[name], bottom=below, color=colour, label=name)
            below = [under + count for under, count in zip(below, counts[name], strict=True)]
        axes.set(xlabel="band of ages, years", ylabel="usable pictures")
        axes.legend(fontsize=8)

    most, least = counts.sum(axis=1).idxmax(), counts.sum(axis=1).idxmin()
    section.blocks += [
        draw("bands", f"Most labels that are bands are {most}, fewest {least}", bars),
        Table(
            "Usable pictures by band",
            ("band", *map(str, counts.columns)),
            [(str(band), *map(int, row)) for band, row in counts.iterrows()],
        ),
    ]
    return section

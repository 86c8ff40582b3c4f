"""The report on sets whose labels are bands of ages."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from agelens.data.manifest import Dataset, Source, save, usable
from agelens.explore.report import explore
from agelens.explore.source_section import sources


def test_sources_and_bands_are_counted(several: Dataset) -> None:
    section = sources(several)
    rows = several.manifest[usable(several.manifest)]
    ours, theirs = section.numbers["sources"]
    assert (ours["source"], theirs["licence"]) == ("Exact", "CC BY 4.0")
    assert ours["files"] + theirs["files"] == len(several.manifest)
    assert theirs["usable"] == theirs["labelled_in_bands"] == (rows["source"] == "Bands").sum()
    assert ours["labelled_in_bands"] == ours["held_out_copies"] == 0
    bands = section.numbers["bands"]
    assert set(bands) == {"Bands"}
    assert sum(bands["Bands"].values()) == theirs["usable"]
    assert next(iter(bands["Bands"])) == "0-9"


def test_a_report_of_bands_alone(several: Dataset, tmp_path: Path) -> None:
    rows = several.manifest[several.manifest["source"] == "Bands"].reset_index(drop=True)
    rows["age"] = pd.NA
    about = [Source("Bands", "CC BY 4.0")]
    folder = tmp_path / "bands"
    dataset = save(folder, several.root, rows, several.template, about, made_from="a test")
    page = explore(dataset, tmp_path / "report", jobs=1)
    text = page.read_text("utf-8")
    assert "Bands as agelens sees it" in text
    assert "CC BY 4.0" in text
    assert "<h2>Distributions" not in text
    numbers = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert "distributions" not in numbers
    assert numbers["sources"]["bands"]["Bands"]
    assert numbers["likely-label-errors"]["pictures"] == 0

"""A table of labels: its form is recognised, and what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agelens import DataError
from agelens.data.labels import LabelTable
from agelens.data.sources import Labels


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path: Path) -> None:
    table = tmp_path / "labels.parquet"
    frame = pd.DataFrame({"path": ["a", "b"], "age": [1.5, None]})
    frame.assign(gender=pd.array([0, None], "Int64")).to_parquet(table)
    expected = [("a", Labels(1, "0", None)), ("b", Labels(None, None, None))]
    assert LabelTable.read(table, {}).rows == expected


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("0", 0), ("116", 116), ("116.5", 116), (" 7 ", 7), ("3e1", 30), ('"23,9"', 23),
        ("nan", None), ("", None), ("N/A", None), ("?", None),
    ],
)  # fmt: skip
def test_ages(tmp_path: Path, text: str, age: int | None) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"\ufeffpath,age\na.jpg,{text}\nshort.jpg\n", "utf-8")
    rows = LabelTable.read(table, {}).rows
    assert rows == [("a.jpg", Labels(age, None, None)), ("short.jpg", Labels(None, None, None))]


@pytest.mark.parametrize("text", ["117", "-0.5", "inf", "young", "29-20", "20-200"])
def test_a_wrong_age_is_named_with_its_row(tmp_path: Path, text: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"path,age\na.jpg,3\nb.jpg,{text}\n")
    with pytest.raises(DataError, match=r"labels\.csv, row 3: .*leave it empty where it is not"):
        LabelTable.read(table, {})


def test_values_that_the_first_line_does_not_name_are_not_dropped(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,age\na.jpg,3,male\n")
    with pytest.raises(DataError, match="more values than its first line names"):
        LabelTable.read(table, {})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings_are_recognised(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    table = tmp_path / "labels.csv"
    lines = [("path", "âge"), ("été.jpg", "23.9"), ("b.jpg", "20-29"), ("c.jpg", "30 to 39")]
    table.write_text("".join(separator.join(line) + "\n" for line in lines), encoding)
    assert LabelTable.read(table, {"age": "âge"}).rows == [
        ("été.jpg", Labels(23, None, None)),
        ("b.jpg", Labels(None, None, None, 20, 29)),
        ("c.jpg", Labels(None, None, None, 30, 39)),
    ]


def test_paths_may_be_absolute_and_of_another_form_of_unicode(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text(f"path;age\n{tmp_path}/in/e\u0301.jpg;20\n{tmp_path}/link/b.jpg;21\nx.jpg;2\n")
    rows = LabelTable.read(table, {})
    found, missing = rows.match(tmp_path, ["in/\u00e9.jpg", "b.jpg"])
    assert {path: labels.age for path, labels in found.items()} == {"in/\u00e9.jpg": 20}
    assert missing == 2
    found, missing = rows.match(tmp_path / "link", ["in/\u00e9.jpg", "b.jpg"])
    assert {path: labels.age for path, labels in found.items()} == {
        "in/\u00e9.jpg": 20,
        "b.jpg": 21,
    }
    assert missing == 1


BANDS = "path,age_low,age_high,split\n"


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("20,29", (20, 29)), ("70,116", (70, 116)), ("5,5", (5, 5)),
        ("20,", (None, None)), (",29", (None, None)),
    ],
)  # fmt: skip
def test_bands(tmp_path: Path, text: str, band: tuple[int | None, int | None]) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"{BANDS}a.jpg,{text},train\nb.jpg,1,2,\n")
    expected = [
        ("a.jpg", Labels(None, None, None, *band, "train")),
        ("b.jpg", Labels(None, None, None, 1, 2)),
    ]
    assert LabelTable.read(table, {}).rows == expected
    table.write_text("path,years,age_low,age_high\na.jpg,25,20,29\nb.jpg,,20,29\n")
    rows = LabelTable.read(table, {"age": "years"}).rows
    assert [labels[0:1] + labels[3:5] for _, labels in rows] == [(25, None, None), (None, 20, 29)]

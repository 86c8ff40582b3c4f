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
        ("nan", None), ("", None), ("N/A", None), ("?", None), ("unknown", None), ("25.0", 25),
    ],
)  # fmt: skip
def test_ages(tmp_path: Path, text: str, age: int | None) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"\ufeffpath,age\na.jpg,{text}\nshort.jpg\n", "utf-8")
    rows = LabelTable.read(table, {}).rows
    assert rows == [("a.jpg", Labels(age, None, None)), ("short.jpg", Labels(None, None, None))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,age\na.jpg,3\nb.jpg,25,5\n", "row 3 has more values .* quotation marks"),
        ('path,age\n"a.jpg,3\nb.jpg,4\n', "a quotation mark is not closed"),
        ("path,age,age\na.jpg,3,4\n", "two columns are called 'age'"),
        ("a.jpg,3\nb.jpg,4\n", "it has no header line; add one"),
        ("path,age,split\na.jpg,3,\nb.jpg,4,Train\n", "row 3: the split 'Train' is none of"),
        ('{"path": "a.jpg", "age": 3}\n', "JSON; save it as CSV"),
    ],
)
def test_faults_of_its_form_are_named(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=said):
        LabelTable.read(table, {})


@pytest.mark.parametrize("text", ["117", "-0.5", "inf", "young", "29-20", "20-200"])
def test_a_wrong_age_is_named_with_its_row(tmp_path: Path, text: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"path,age\na.jpg,3\nb.jpg,{text}\n")
    with pytest.raises(DataError, match=r"labels\.csv, row 3: .*leave it empty where it is not"):
        LabelTable.read(table, {})


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"PK\3\4", "save the table in it as CSV"),
        (b"\xd0\xcf\x11\xe0", "Excel"),
        (b"\x1f\x8b", "gunzip"),
    ],
)
def test_what_is_no_table_says_how_to_make_it_one(tmp_path: Path, start: bytes, said: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(start + bytes(range(256)))
    with pytest.raises(DataError, match=said):
        LabelTable.read(table, {})


def test_what_spreadsheets_add_is_passed_over_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = ["sep=|", "path|age", "a.jpg|60+", "", "|", "b.jpg|20-29", ""]
    table.write_text("\r\n".join(lines), "utf-8-sig")
    assert LabelTable.read(table, {}).rows == [
        ("a.jpg", Labels(None, None, None, 60, 116)), ("b.jpg", Labels(None, None, None, 20, 29))
    ]  # fmt: skip
    table.write_text("path;age\na.jpg;3\n\n\nb.jpg;2024-10-12\n")
    with pytest.raises(DataError, match="row 5: '2024-10-12' is no age"):
        LabelTable.read(table, {})


def test_values_that_the_first_line_does_not_name_are_not_dropped(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,age\na.jpg,3,male\n")
    with pytest.raises(DataError, match="more values than its first line names"):
        LabelTable.read(table, {})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
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


def test_paths_may_begin_at_the_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,age\nsets/faces/a.jpg,1\nsets\\faces\\in\\b.jpg,2\nfaces/c.jpg,3\n")
    found, missing = LabelTable.read(table, {}).match(
        tmp_path / "sets" / "faces", ["a.jpg", "in/b.jpg", "c.jpg"]
    )
    assert {path: labels.age for path, labels in found.items()} == {"a.jpg": 1, "in/b.jpg": 2}
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

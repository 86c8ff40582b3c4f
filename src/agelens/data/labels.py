"""Labels from a table, for pictures whose names say nothing."""

from __future__ import annotations

import codecs
import io
import math
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from agelens.ages import MAX_AGE
from agelens.data.sources import UNKNOWN, Labels
from agelens.data.split import PARTS
from agelens.errors import DataError
from agelens.pipeline.images import SUFFIXES

NAMES = ("path", "age", "age_low", "age_high", "gender", "ethnicity", "split")
"""What a table can say of a file: its path, its age or the ends of a band, and what it may lack."""
SEPARATORS = (",", ";", "\t", "|")
MISSING = frozenset(["", "na", "n/a", "nan", "null", "none", "unknown", "-", "?"])
"""How tables write, in any case, that an age is not known."""
_BAND = re.compile(r"\s*(?P<low>\d+)\s*(?:(?:-|–|to)\s*(?P<high>\d+)|\+)\s*")
_NO_TABLE = {
    b"PK\3\4": "a workbook or an archive; save the table in it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"\x1f\x8b": "compressed with gzip; decompress it with gunzip",
    b"{": "JSON; save it as CSV or Parquet",
    b"[": "JSON; save it as CSV or Parquet",
}
"""By how a file begins, what to say of it."""


def parse_columns(text: str) -> dict[str, str]:
    """Read ``age=Age in years,gender=Sex``.

    Args:
        text: pairs of one of `NAMES` and the table's own name for it; may be empty.

    Raises:
        DataError: a pair without "=", or a name that is none of `NAMES`, or is given twice.
    """
    columns: dict[str, str] = {}
    for pair in text.split(",") if text else []:
        key, _, column = pair.partition("=")
        name = key.strip()
        if name not in NAMES or not column:
            known = ", ".join(NAMES)
            raise DataError(f"--columns: {pair!r} is not NAME=COLUMN with a name of: {known}")
        if name in columns:
            raise DataError(f"--columns: {name} is given twice")
        columns[name] = column
    return columns


@dataclass(frozen=True)
class LabelTable:
    """A table of labels: its file, and what each of its rows says of which path."""

    file: Path
    rows: list[tuple[str, Labels]]

    @classmethod
    def read(cls, file: Path, columns: Mapping[str, str]) -> LabelTable:
        """Read a CSV or Parquet file; the file's beginning tells which it is.

        Of a CSV file the separator (comma, semicolon, tab or bar) and the encoding (UTF-8, UTF-16
        or Windows-1252) are recognised. An age is a number, in completed years: 23.9 is 23; or a
        band, as in "20-29" or "60+". One that is missing (see `MISSING`) is None. So are both ends
        of a band where one is missing; a band beside an age is passed over. Gender and ethnicity
        are any texts, kept as they are; empty is None. A split is a name of
        `agelens.data.split.PARTS`. An empty row is left out.

        Args:
            file: the table.
            columns: the table's names of `NAMES`, where they differ. The path and the age, or both
                ends of its band, must be there; the others where they are named here.

        Raises:
            DataError: the file is missing or broken, or lacks a column; or a value is wrong, whose
                row is named.
        """
        frame = _read(file)
        called = {name: columns.get(name, name) for name in NAMES}
        banded = called["age"] not in frame and "age" not in columns
        banded &= called["age_low"] in frame or called["age_high"] in frame
        wanted = {"path", *(("age_low", "age_high") if banded else ("age",)), *columns}
        for name in filter(wanted.__contains__, NAMES):
            if f"{called[name]}.1" in frame:  # as pandas calls a second one
                raise DataError(f"{file}: two columns are called {called[name]!r}")
            if called[name] not in frame:
                if any(Path(str(column)).suffix.lower() in SUFFIXES for column in frame):
                    raise DataError(
                        f"{file}: it has no header line; add one with the column names at the top, "
                        "such as path,age"
                    )
                there = ", ".join(repr(str(other)) for other in frame)
                raise DataError(
                    f"{file}: no column {called[name]!r} for the {name}; there are: {there}. "
                    f"Say which it is with --columns {name}=COLUMN"
                )
        paths, genders, ethnicities, splits = (
            _texts(frame, called[name]) for name in ("path", "gender", "ethnicity", "split")
        )
        parts = [part for part, _ in PARTS]
        years = [_texts(frame, called[name]) for name in ("age", "age_low", "age_high")]
        labels = []
        for row, values in enumerate(zip(*years, genders, ethnicities, splits, strict=True), 2):
            *ages, gender, ethnicity, split = values
            try:
                age, low, high = _age_and_band(*ages)
                if split is not None and split not in parts:
                    raise ValueError(f"the split {split!r} is none of: {', '.join(parts)}")
            except ValueError as error:
                raise DataError(
                    f"{file}, row {row}: {error}; leave it empty where it is not known"
                ) from error
            labels.append(Labels(age, gender, ethnicity, low, high, split))
        rows = zip(paths, labels, strict=True)
        return cls(file, [(path or "", said) for path, said in rows if path or said != UNKNOWN])

    def match(self, root: Path, files: Sequence[str]) -> tuple[dict[str, Labels], int]:
        """Find the files that the rows name.

        Args:
            root: the dataset's folder.
            files: paths below it, with forward slashes. A row names one by its path, absolute, from
                the root on or from the table's folder on, or by its bare name where only one file
                has it. Letters with accents are the same in every form of Unicode.

        Returns:
            The labels of each named file, and the number of rows whose file is not there.

        Raises:
            DataError: no row names a file, two label one file differently, or a bare name could
                be several files.
        """
        places = defaultdict(list)
        known = {_composed(file): file for file in files}
        for name, file in known.items():
            places[PurePosixPath(name).name].append(file)
        real, beside = root.resolve(), self.file.resolve().parent
        places_of_root = [root.absolute(), real]
        if real.is_relative_to(beside):
            places_of_root.append(real.relative_to(beside))
        roots = [f"{_composed(place.as_posix())}/" for place in places_of_root]
        found: dict[str, Labels] = {}
        missing = 0
        for path, labels in self.rows:
            name = _composed(PurePosixPath(path.replace("\\", "/")).as_posix())
            ways = [name, *(name.removeprefix(start) for start in roots)]
            candidates = [known[way] for way in ways if way in known][:1] or places.get(name, [])
            if not candidates:
                missing += 1
            elif len(candidates) > 1:
                raise DataError(
                    f"{self.file}: {path!r} may be {candidates[0]} or {candidates[1]}; "
                    "write the folder too"
                )
            elif found.setdefault(candidates[0], labels) != labels:
                raise DataError(f"{self.file}: two rows label {candidates[0]} differently")
        if not found:
            example = f"; the first is {self.rows[0][0]!r}" if self.rows else ""
            raise DataError(f"{self.file}: no row names a file of the dataset by its path{example}")
        return found, missing


def _read(file: Path) -> pd.DataFrame:
    try:
        data = file.read_bytes()
        if data.startswith(b"PAR1"):
            # With NumPy's types, whole numbers beside a missing one would become 1.0.
            return pd.read_parquet(io.BytesIO(data), dtype_backend="numpy_nullable")
        for start, words in _NO_TABLE.items():
            if data.startswith(start):
                raise DataError(f"{file}: {words}")
        text = _decoded(data)
        head = text.partition("\n")[0]
        if told := re.fullmatch(r"sep=(.)\r?", head):  # for Excel
            separator, text = told[1], text.partition("\n")[2]
        else:
            separator = max(SEPARATORS, key=head.count)
        # Texts, so that "NA" stays a gender and "007.jpg" a path.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it drops values
            return pd.read_csv(
                io.StringIO(text.lstrip("\r\n")),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,  # they count in the numbers of the rows
            )
    except pd.errors.ParserWarning as error:
        raise DataError(f"{file}: its rows have more values than its first line names") from error
    except pd.errors.ParserError as error:
        row = re.search(r"line (\d+), saw", str(error))
        fault = (
            f"row {row[1]} has more values than the first line names; what has a {separator} in it "
            "needs quotation marks"
            if row
            else "a quotation mark is not closed"
        )
        raise DataError(f"{file}: {fault}") from error
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: not a table, or not encoded as UTF-8, UTF-16 or Windows-1252"
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{file}: cannot be read as CSV or Parquet ({why})") from error


def _decoded(data: bytes) -> str:
    """Text in UTF-16 or UTF-8, with their marks or without, or else as Windows writes it."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    if b"\0" in data[:2]:  # a plain letter's other half
        return data.decode("utf-16-be" if data.startswith(b"\0") else "utf-16-le")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _composed(name: str) -> str:
    """With each accent in one character with its letter, as macOS does not write it."""
    return unicodedata.normalize("NFC", name)


def _age_and_band(
    age: str | None, low: str | None, high: str | None
) -> tuple[int | None, int | None, int | None]:
    """The age, and the band where there is no age.

    Raises:
        ValueError: a value is no age, or a band's ends are the wrong way round.
    """
    if age is not None and (match := _BAND.fullmatch(age)):
        age, low, high = None, match["low"], match["high"] or str(MAX_AGE)
    years, first, last = (_years(text) for text in (age, low, high))
    if years is not None or first is None or last is None:
        return years, None, None
    if first > last:
        raise ValueError(f"the band from {first} to {last} ends before it begins")
    return None, first, last


def _years(text: str | None) -> int | None:
    if text is None or text.strip().casefold() in MISSING:
        return None
    try:
        years = float(text.replace(",", "."))
    except ValueError:
        years = math.nan
    if not 0 <= years < MAX_AGE + 1:
        raise ValueError(f"{text!r} is no age from 0 to {MAX_AGE}")
    return int(years)


def _texts(frame: pd.DataFrame, column: str) -> list[str | None]:
    if column not in frame:
        return [None] * len(frame)
    return [text or None for text in frame[column].astype("string").fillna("")]

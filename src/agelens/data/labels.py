"""Labels from a table, for pictures whose names say nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from agelens.ages import MAX_AGE
from agelens.data.sources import Labels
from agelens.data.split import PARTS
from agelens.errors import DataError

NAMES = ("path", "age", "age_low", "age_high", "gender", "ethnicity", "split")
"""What a table can say of a file: its path, its age or the ends of a band, and what it may lack."""


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

        An age is a number, in completed years: 23.9 is 23. One that is missing, no number, or not
        from 0 to 116 is None. So are both ends of a band where one is, or where the first is not
        the lower; a band beside an age is passed over. Gender and ethnicity are any texts, kept as
        they are; empty is None. A split is a name of `agelens.data.split.PARTS`.

        Args:
            file: the table.
            columns: the table's names of `NAMES`, where they differ. The path and the age, or both
                ends of its band, must be there; the others where they are named here.

        Raises:
            DataError: the file is missing or broken, or lacks a column, or a split is no part.
        """
        frame = _read(file)
        called = {name: columns.get(name, name) for name in NAMES}
        banded = called["age"] not in frame and "age" not in columns
        banded &= called["age_low"] in frame or called["age_high"] in frame
        wanted = {"path", *(("age_low", "age_high") if banded else ("age",)), *columns}
        for name in filter(wanted.__contains__, NAMES):
            if called[name] not in frame:
                there = ", ".join(repr(str(other)) for other in frame)
                raise DataError(
                    f"{file}: no column {called[name]!r} for the {name}; there are: {there}. "
                    f"Say which it is with --columns {name}=COLUMN"
                )
        paths, genders, ethnicities, splits = (
            _texts(frame, called[name]) for name in ("path", "gender", "ethnicity", "split")
        )
        parts = [part for part, _ in PARTS]
        for split in splits:
            if split is not None and split not in parts:
                raise DataError(f"{file}: the split {split!r} is none of: {', '.join(parts)}")
        ages, lows, highs = (_ages(frame, called[name]) for name in ("age", "age_low", "age_high"))
        bands = map(_band, ages, lows, highs)
        labels = [
            Labels(age, gender, ethnicity, low, high, split)
            for age, gender, ethnicity, (low, high), split in zip(
                ages, genders, ethnicities, bands, splits, strict=True
            )
        ]
        return cls(file, list(zip((path or "" for path in paths), labels, strict=True)))

    def match(self, files: Sequence[str]) -> tuple[dict[str, Labels], int]:
        """Find the files that the rows name.

        Args:
            files: paths below the dataset's root, with forward slashes. A row names one by its
                path, or by its bare name where only one file has it.

        Returns:
            The labels of each named file, and the number of rows whose file is not there.

        Raises:
            DataError: no row names a file, two label one file differently, or a bare name could
                be several files.
        """
        places = defaultdict(list)
        for file in files:
            places[PurePosixPath(file).name].append(file)
        known = set(files)
        found: dict[str, Labels] = {}
        missing = 0
        for path, labels in self.rows:
            name = PurePosixPath(path.replace("\\", "/")).as_posix()
            candidates = [name] if name in known else places.get(name, [])
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
        with file.open("rb") as stream:
            parquet = stream.read(4) == b"PAR1"
        if parquet:
            # With NumPy's types, whole numbers beside a missing one would become 1.0.
            return pd.read_parquet(file, dtype_backend="numpy_nullable")
        # Texts, so that "NA" stays a gender and "007.jpg" a path.
        return pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as CSV or Parquet ({error})") from error


def _ages(frame: pd.DataFrame, column: str) -> list[int | None]:
    if column not in frame:
        return [None] * len(frame)
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return [int(years) if 0 <= years <= MAX_AGE else None for years in np.floor(numbers)]


def _band(age: int | None, low: int | None, high: int | None) -> tuple[int | None, int | None]:
    if age is not None or low is None or high is None or low > high:
        return None, None
    return low, high


def _texts(frame: pd.DataFrame, column: str) -> list[str | None]:
    if column not in frame:
        return [None] * len(frame)
    return [text or None for text in frame[column].astype("string").fillna("")]

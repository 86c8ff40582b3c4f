"""How results are printed: a table, JSON, JSON lines, CSV; and files of rows, Parquet too."""

from __future__ import annotations

import csv
import enum
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from agelens.files import Inputs, atomic_path, parquet_writer, printable

if TYPE_CHECKING:
    from agelens.decide import AgeCheck
    from agelens.faces import Faces

Record = dict[str, Any]
"""What was found in one picture, ready for JSON: `Faces.to_dict`, and each face's decision."""
Write = Callable[[Record], None]
CSV_COLUMNS = ("path", "face", "age", "low", "high", "score", "x1", "y1", "x2", "y2", "quality")
DECISION_COLUMNS = ("probability", "decision")
PICTURE_COLUMNS = ("faces", "error")
DIGITS = {"age": 1, "low": 1, "high": 1, "score": 3, "probability": 3} | dict.fromkeys(
    ("x1", "y1", "x2", "y2"), 1
)
"""Digits after the point in rows for people and spreadsheets. JSON is not rounded."""
KINDS = {"face": "int64", "faces": "int64"} | dict.fromkeys(
    ("path", "quality", "error", "decision"), "string"
)
"""Types of the columns of Parquet that are no fractions."""
ROW_ENDINGS = (".csv", ".jsonl", ".parquet")
WIDE = 110
"""Columns of a terminal from which on the table also says where each face is."""


class OutputFormat(enum.StrEnum):
    """How the faces are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def to_record(faces: Faces, check: AgeCheck | None) -> Record:
    """The result of one picture as plain numbers and texts, with the decision of each face."""
    record = faces.to_dict()
    if check is not None:
        for row, face in zip(record["faces"], faces, strict=True):
            row |= asdict(check.decide(face))
    return record


def printer(
    form: OutputFormat, stream: IO[str], *, decided: bool
) -> tuple[Write, Callable[[], None]]:
    """What prints a picture's rows as soon as they are known, and what ends the output.

    Args:
        form: of the output.
        stream: to print to.
        decided: the records hold decisions.
    """
    if form is OutputFormat.JSON:
        return _json_printer(stream)
    if form is OutputFormat.JSONL:
        return lambda record: _line(stream, json.dumps(record)), lambda: None
    if form is OutputFormat.CSV:
        rows = csv.DictWriter(stream, _columns(decided), lineterminator="\n")
        rows.writeheader()

        def write(record: Record) -> None:
            rows.writerows(to_rows(record, decided=decided))
            stream.flush()

        return write, lambda: None
    return _table_printer(stream, decided=decided)


def to_rows(record: Record, *, decided: bool) -> list[Record]:
    """A flat, rounded row for each face; one without a face for a picture that has none."""
    picture = {"path": record["path"], "faces": len(record["faces"]), "error": record["error"]}
    rows = []
    for number, face in enumerate(record["faces"], 1):
        values = {
            "face": number,
            "age": face["age"],
            "low": face["interval"]["low"],
            "high": face["interval"]["high"],
            "score": face["score"],
            **face["box"],
            "quality": ";".join(face["quality"]["reasons"]),
        } | {name: face[name] for name in DECISION_COLUMNS if decided}
        rows.append(
            picture
            | {
                name: round(value, DIGITS[name]) if name in DIGITS else value
                for name, value in values.items()
            }
        )
    empty = dict.fromkeys(_columns(decided))
    return [empty | row for row in rows or [picture]]


def write_rows(path: Path, records: Iterable[Record], *, decided: bool, inputs: Inputs) -> None:
    """Write a file of rows, whole or not at all; its ending, of `ROW_ENDINGS`, says in which form.

    Raises:
        OutputError: it cannot be written, or is one of `inputs`.
        MissingExtraError: Parquet without pyarrow.
    """
    if path.suffix.lower() == ".parquet":
        kinds = {name: KINDS.get(name, "double") for name in _columns(decided)}
        with parquet_writer(path, kinds, inputs=inputs) as write_row:
            for record in records:
                for row in to_rows(record | {"path": printable(record["path"])}, decided=decided):
                    write_row(row)
        return
    form = OutputFormat(path.suffix.lower()[1:])
    with (
        atomic_path(path, inputs=inputs) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        write, finish = printer(form, stream, decided=decided)
        for record in records:
            write(record)
        finish()


def _columns(decided: bool) -> tuple[str, ...]:
    return (*CSV_COLUMNS, *(DECISION_COLUMNS if decided else ()), *PICTURE_COLUMNS)


def _line(stream: IO[str], text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()  # whoever reads along sees each picture at once


def _json_printer(stream: IO[str]) -> tuple[Write, Callable[[], None]]:
    before = "["

    def write(record: Record) -> None:
        nonlocal before
        stream.write(before + "\n" + json.dumps(record, indent=2))
        stream.flush()
        before = ","

    return write, lambda: _line(stream, "[]" if before == "[" else "\n]")


def _table_printer(stream: IO[str], *, decided: bool) -> tuple[Write, Callable[[], None]]:
    width = shutil.get_terminal_size().columns
    columns = {"face": 4, "age": 5, "interval": 8}
    if decided:
        columns |= {"probability": 11, "decision": 9}
    elif width >= WIDE:
        columns |= {"x": 6, "y": 6, "size": 6}
    columns["score"] = 5
    room = width - sum(columns.values()) - 2 * (len(columns) + 1)
    name_width = max(12, room - 22)

    def cells(name: str, values: Sequence[str], last: str) -> None:
        padded = [value.rjust(size) for value, size in zip(values, columns.values(), strict=False)]
        line = "  ".join([set_cell_size(shortened(name, name_width), name_width), *padded, last])
        _line(stream, line.rstrip())

    def write(record: Record) -> None:
        if record["error"] is not None:
            return  # it is said on stderr
        if not record["faces"]:
            _line(
                stream,
                f"{set_cell_size(shortened(record['path'], name_width), name_width)}  no face",
            )
        for number, face in enumerate(record["faces"], 1):
            box, ends = face["box"], face["interval"]
            values = {
                "face": str(number),
                "age": f"{face['age']:.1f}",
                "interval": f"{ends['low']:.0f}-{ends['high']:.0f}",
                "x": f"{box['x1']:.0f}",
                "y": f"{box['y1']:.0f}",
                "size": f"{box['x2'] - box['x1']:.0f}",
                "score": f"{face['score']:.2f}",
            }
            if decided:
                values |= {
                    "probability": f"{face['probability']:.3f}",
                    "decision": face["decision"],
                }
            name = record["path"] if number == 1 else ""
            cells(name, [values[name] for name in columns], ", ".join(face["quality"]["reasons"]))

    cells("picture", list(columns), "quality")
    return write, lambda: None


def shortened(name: str, width: int) -> str:
    """A name in at most so many cells of a terminal; of a longer one the end is kept."""
    name = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
    if cell_len(name) <= width:
        return name
    while cell_len(name) > width - 1:
        name = name[1:]
    return f"…{name}"

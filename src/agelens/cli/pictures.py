"""`agelens predict`: paths in; faces out as a table, JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import enum
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agelens.errors import AgelensError, ImageError, UnreadableImageError
from agelens.files import atomic_path
from agelens.parallel import default_jobs, map_in_order
from agelens.pictures import Picture, find_pictures

if TYPE_CHECKING:
    from agelens.decide import AgeCheck
    from agelens.estimator import AgeEstimator
    from agelens.faces import Faces
    from agelens.types import Face


class OutputFormat(enum.StrEnum):
    """How the faces are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def predict(
    paths: list[str],
    *,
    output: OutputFormat = OutputFormat.TABLE,
    save: Path | None = None,
    largest: bool = False,
    min_score: float = 0.5,
    coverage: float = 0.9,
    model: str = "light",
    jobs: int | None = None,
    check: AgeCheck | None = None,
) -> int:
    """Estimate, print on stdout, and name on stderr what could not be read.

    Args:
        paths: files, folders, globs, or "-" for the bytes of one picture on stdin.
        output: form of the output.
        save: folder for annotated pictures.
        largest: keep only each picture's largest face.
        min_score: faces that the detector is less sure of are left out.
        coverage: of the intervals.
        model: a shipped model's name or a model file.
        jobs: pictures in work at once.
        check: whose decision is printed with each face.

    Returns:
        How many pictures could not be read.
    """
    from agelens.estimator import AgeEstimator

    pictures = [picture for path in paths for picture in find_pictures(path)]
    jobs = min(jobs or default_jobs(), len(pictures)) or 1
    # A processor each: faster in all than more for one picture, and quicker to start.
    estimator = AgeEstimator(model, min_score=min_score, threads=1, coverage=coverage)

    def read(picture: Picture) -> tuple[Face, ...] | ImageError:
        try:
            return _read(estimator, picture, largest=largest, save=save)
        except ImageError as error:
            return error

    write, finish = _writers(check)[output]()
    failed = 0
    for picture, outcome in map_in_order(read, pictures, jobs=jobs):
        if isinstance(outcome, ImageError):
            failed += 1
            sys.stderr.write(f"agelens: {picture.name}: {outcome.reason}\n")
        else:
            write(picture.name, outcome)
    finish()
    if failed and len(pictures) > 1:
        sys.stderr.write(f"agelens: {failed} of {len(pictures)} could not be read\n")
    return failed


def _read(
    estimator: AgeEstimator, picture: Picture, *, largest: bool, save: Path | None
) -> tuple[Face, ...]:
    if picture.problem is not None:
        raise UnreadableImageError(picture.name, picture.problem)
    stdin = picture.name == "<stdin>"
    faces = estimator.estimate(sys.stdin.buffer.read() if stdin else picture.name)
    if largest:
        faces = replace(faces, faces=faces[:1])
    if save is not None:
        _save(faces, save / picture.saved_as)
    return faces.faces


def _save(faces: Faces, path: Path) -> None:
    if path.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
        path = path.with_name(path.name + ".jpg")
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    try:
        with atomic_path(path) as partial:
            faces.draw().save(partial, kind, quality=92)
    except OSError as error:
        raise AgelensError(f"{path}: cannot be written ({error.strerror or error})") from error


Write = Callable[[str, "tuple[Face, ...]"], None]
Decided = Callable[["Face"], dict[str, Any]]
"""What a check adds to a face's row: nothing without one."""
Writer = Callable[[], tuple[Write, Callable[[], None]]]


def _writers(check: AgeCheck | None) -> dict[OutputFormat, Writer]:
    def decided(face: Face) -> dict[str, Any]:
        return {} if check is None else asdict(check.decide(face))

    columns = () if check is None else ("probability", "decision")
    return {
        OutputFormat.TABLE: lambda: _table_writer(columns, decided),
        OutputFormat.JSON: lambda: _json_writer(decided),
        OutputFormat.JSONL: lambda: _jsonl_writer(decided),
        OutputFormat.CSV: lambda: _csv_writer(columns, decided),
    }


def _as_dict(name: str, faces: tuple[Face, ...], decided: Decided) -> dict[str, Any]:
    return {"path": name, "faces": [face.to_dict() | decided(face) for face in faces]}


def _json_writer(decided: Decided) -> tuple[Write, Callable[[], None]]:
    rows: list[dict[str, Any]] = []

    def finish() -> None:
        json.dump(rows, sys.stdout, indent=2)
        sys.stdout.write("\n")

    return lambda name, faces: rows.append(_as_dict(name, faces, decided)), finish


def _jsonl_writer(decided: Decided) -> tuple[Write, Callable[[], None]]:
    def write(name: str, faces: tuple[Face, ...]) -> None:
        sys.stdout.write(json.dumps(_as_dict(name, faces, decided)) + "\n")
        sys.stdout.flush()

    return write, lambda: None


def _csv_writer(columns: Sequence[str], decided: Decided) -> tuple[Write, Callable[[], None]]:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    place = ("x1", "y1", "x2", "y2")
    rows.writerow(["path", "face", "age", "low", "high", "score", *place, "quality", *columns])

    def write(name: str, faces: tuple[Face, ...]) -> None:
        for index, face in enumerate(faces, 1):
            box, ends = face.box, face.interval
            place = [box.x1, box.y1, box.x2, box.y2]
            faults = ";".join(face.quality.reasons)
            extra = [decided(face)[column] for column in columns]
            cells = [name, index, face.age, ends.low, ends.high, face.score, *place, faults]
            rows.writerow([*cells, *extra])

    return write, lambda: None


def _table_writer(columns: Sequence[str], decided: Decided) -> tuple[Write, Callable[[], None]]:
    from rich.console import Console
    from rich.table import Table

    table = Table("picture", box=None, header_style="bold")  # long names are folded
    places = () if columns else ("x", "y", "size")  # a decision needs the room
    for column in ("face", "age", "interval", *places, "score"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("quality", *columns):
        table.add_column(column, no_wrap=True)

    def write(name: str, faces: tuple[Face, ...]) -> None:
        if not faces:
            table.add_row(name, "no face")
        for index, face in enumerate(faces, 1):
            box, ends = face.box, face.interval
            cells = [f"{face.age:.1f}", f"{ends.low:.0f}-{ends.high:.0f}"]
            if places:
                cells += [f"{number:.0f}" for number in (box.x1, box.y1, box.width)]
            cells += [f"{face.score:.2f}", ", ".join(face.quality.reasons)]
            values = (decided(face)[column] for column in columns)
            cells += [f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
            table.add_row(name if index == 1 else "", str(index), *cells)

    return write, lambda: Console().print(table)

"""What `agelens predict` and `agelens decide` do: pictures in, rows out as they are known."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agelens import __version__
from agelens.cli.rows import ROW_ENDINGS, OutputFormat, Record, printer, to_record, write_rows
from agelens.errors import AgelensError, ImageError, OutputError, UnreadableImageError
from agelens.faces import Faces, encode_drawn
from agelens.files import Inputs, atomic_path, on_one_line, short_name
from agelens.journal import Journal
from agelens.parallel import default_jobs, map_in_order
from agelens.pictures import Picture, find_pictures

if TYPE_CHECKING:
    from agelens.decide import AgeCheck

STDIN_NAME = "<stdin>"


@dataclass(frozen=True, slots=True)
class Options:
    """What a user chose; see the options of `agelens predict`."""

    form: OutputFormat = OutputFormat.TABLE
    output: Path | None = None
    resume: bool = False
    save: Path | None = None
    largest: bool = False
    min_score: float = 0.5
    coverage: float = 0.9
    crowd: bool = False
    model: str = "light"
    device: str = "auto"
    jobs: int | None = None
    check: AgeCheck | None = None


def predict(paths: list[str], options: Options) -> int:
    """Estimate, print the rows or write them to a file, and name on stderr what went wrong.

    Args:
        paths: files, folders, globs, or "-" for the bytes of one picture on stdin.
        options: of the command.

    Returns:
        How many pictures could not be read, or whose annotated copy could not be written.

    Raises:
        OutputError: the rows cannot be written.
    """
    pictures = [picture for path in paths for picture in find_pictures(path)]
    work = _Work(pictures, options)
    if options.output is None:
        write, finish = printer(options.form, sys.stdout, decided=options.check is not None)
        for record in work.records({}):
            work.status.clear()
            write(record)
        finish()
    else:
        _to_file(options.output, work)
    if work.failed and len(pictures) > 1:
        sys.stderr.write(f"agelens: {work.failed} of {len(pictures)} failed\n")
    return work.failed


def _to_file(output: Path, work: _Work) -> None:
    if output.suffix.lower() not in ROW_ENDINGS:
        raise OutputError(f"{output}: end its name in {', '.join(ROW_ENDINGS)}")
    unfinished = output.with_name(f"{short_name(output.name, 200)}.unfinished")
    work.inputs.refuse(output, unfinished)
    journal = Journal(unfinished, work.facts)
    if not work.options.resume:
        journal.clear()
    elif journal.path.exists() and not journal.records:
        sys.stderr.write(
            f"agelens: {journal.path}: of other settings or another model; begun anew\n"
        )
    known = {record["path"]: record for record in journal.records}
    faces = 0
    records: list[Record] = []
    try:
        with journal:
            for record in work.records(known):
                if record["path"] not in known:
                    journal.add(record)
                records.append(record)
                faces += len(record["faces"])
        write_rows(output, records, decided=work.options.check is not None, inputs=work.inputs)
    except (KeyboardInterrupt, OutputError):
        work.status.clear()
        if journal.path.exists():
            sys.stderr.write(
                f"agelens: stopped after {len(records):,} pictures; "
                "the same command with --resume goes on from there\n"
            )
        raise
    journal.path.unlink()
    sys.stderr.write(f"agelens: {output}: {faces:,} faces in {len(records):,} pictures\n")


class _Work:
    """The pictures of one command, estimated in their order."""

    def __init__(self, pictures: list[Picture], options: Options) -> None:
        from agelens.estimator import AgeEstimator

        self.options, self.failed = options, 0
        self._pictures = pictures
        self._saved_as = _distinct(pictures)
        # A processor each: faster in all than more for one picture, and quicker to start.
        self._estimator = AgeEstimator(
            options.model,
            device=options.device,
            threads=1,
            min_score=options.min_score,
            coverage=options.coverage,
            crowd=options.crowd,
        )
        names = [picture.name for picture in pictures]
        self.inputs = Inputs([*names, self._estimator.model.path])
        self.status = _Status(len(pictures))

    @property
    def facts(self) -> dict[str, object]:
        """All that a record depends on, besides its picture."""
        options, check = self.options, self.options.check
        return {
            "agelens": __version__,
            "model": self._estimator.model.digest,
            "coverage": options.coverage,
            "min_score": options.min_score,
            "largest": options.largest,
            "crowd": options.crowd,
            "check": check and [check.age, check.challenge],
        }

    def records(self, known: dict[str, Record]) -> Iterator[Record]:
        """A record for each picture, in order; those that are known are not made again."""
        jobs = min(self.options.jobs or default_jobs(), len(self._pictures)) or 1

        def read(number: int) -> tuple[Record, list[str]]:
            picture = self._pictures[number]
            if picture.name in known and picture.name != STDIN_NAME:
                return known[picture.name], []
            return self._read(picture, self._saved_as[number])

        for _, (record, problems) in map_in_order(read, range(len(self._pictures)), jobs=jobs):
            if record["error"] is not None:
                problems = [f"{record['path']}: {record['error']}", *problems]
            self.failed += bool(problems)
            if problems:
                self.status.clear()
                for problem in problems:
                    sys.stderr.write(f"agelens: {on_one_line(problem)}\n")
            self.status.count()
            yield record
        self.status.clear()

    def _read(self, picture: Picture, saved_as: Path) -> tuple[Record, list[str]]:
        """The record of one picture, and what else went wrong with it."""
        try:
            if picture.problem is not None:
                raise UnreadableImageError(picture.name, picture.problem)
            stdin = picture.name == STDIN_NAME
            source = sys.stdin.buffer.read() if stdin else picture.name
            faces = replace(self._estimator.estimate(source), source=picture.name)
        except ImageError as error:
            return to_record(Faces((), picture.name, error=error), None), []
        if self.options.largest:
            faces = replace(faces, faces=faces[:1])
        problems = []
        if self.options.save is not None:
            try:
                self._save(faces, self.options.save / saved_as)
            except AgelensError as error:
                problems = [str(error)]
        return to_record(faces, self.options.check), problems

    def _save(self, faces: Faces, path: Path) -> None:
        drawn = encode_drawn(faces, "PNG" if path.suffix.lower() == ".png" else "JPEG")
        with atomic_path(path, inputs=self.inputs) as partial:
            partial.write_bytes(drawn)


def _distinct(pictures: list[Picture]) -> list[Path]:
    """A path of its own for the annotated copy of each picture.

    Systems differ in whether they tell "É" from "é", and from "e" with an accent to follow.
    """

    def key(path: Path) -> str:
        return unicodedata.normalize("NFC", str(path)).casefold()

    taken: set[str] = set()
    paths = []
    for picture in pictures:
        path = picture.saved_as
        if path.suffix.lower() not in {".jpg", ".jpeg", ".png"}:
            path = path.with_name(path.name + ".jpg") if path.name else Path("picture.jpg")
        number, stem = 1, path.stem
        while key(path) in taken:
            number += 1
            path = path.with_name(f"{stem}-{number}{path.suffix}")
        taken.add(key(path))
        paths.append(path)
    return paths


class _Status:
    """How much is done, on stderr; nothing where that is no terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = self._shown = time.monotonic()
        self._visible = False
        self._on = total > 1 and sys.stderr.isatty()

    def count(self) -> None:
        """One more picture is done."""
        self._done += 1
        now = time.monotonic()
        if self._on and now - self._shown >= 0.2:
            self._shown, self._visible = now, True
            rate = self._done / (now - self._start)
            left = (self._total - self._done) / rate
            sys.stderr.write(
                f"\r{self._done:,} of {self._total:,} pictures, {rate:.1f} a second, "
                f"{int(left // 60)}:{int(left % 60):02d} left\033[K"
            )
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self._visible:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._visible = False

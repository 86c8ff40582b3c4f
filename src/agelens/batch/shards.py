"""From what a user names to shards: the pieces of work, listed as a stream."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from agelens.batch.storage import Storage, is_address, why
from agelens.errors import DataError
from agelens.pictures import STDIN, Picture, find_pictures
from agelens.pipeline.images import SUFFIXES

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TABLES = (".parquet", ".csv")
FIRST_SIZE, GROWTH = 64, 200
"""The first shards are small, so that few pictures are shared out evenly; a shard then has this
part of the pictures listed before it, until it has as many as are allowed. With shards of 16, a
store that answers in 30 milliseconds cost a sixth of the time: at the beginning of a shard nothing
has been read ahead."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of work: pictures that one process reads, and whose rows are written together.

    Attributes:
        number: in the order of the listing, from 0.
        kind: "list" of single files, a whole "tar", or "rows" of a Parquet file.
        names: of a list: paths or addresses.
        problems: of a list: numbers of pictures that are not read, and why.
        address: of the tar or the Parquet file.
        column: with the pictures' bytes.
        group: the row group in the Parquet file.
    """

    number: int = 0
    kind: str = "list"
    names: tuple[str, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()
    address: str = ""
    column: str = ""
    group: int = 0

    @property
    def name(self) -> str:
        """Of its parts: its number, and a digest of what is in it."""
        content = json.dumps([self.kind, self.names, self.address, self.column, self.group])
        return f"{self.number:07d}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def to_json(self) -> str:
        """One line; `from_json` reads it."""
        return json.dumps({key: value for key, value in asdict(self).items() if value})

    @classmethod
    def from_json(cls, text: str | bytes) -> Shard:
        """What `to_json` wrote."""
        values = json.loads(text)
        problems = tuple((index, reason) for index, reason in values.pop("problems", ()))
        return cls(**values | {"names": tuple(values.pop("names", ()))}, problems=problems)

    def name_of(self, index: int) -> str:
        """What a picture is called before it is read."""
        return self.names[index] if self.names else f"{self.address}: picture {index + 1}"


def list_shards(
    inputs: Sequence[str],
    storage: Storage,
    *,
    size: int,
    column: str | None = None,
    lines: Iterable[str] = (),
    is_result: Callable[[str], bool] = lambda _: False,
) -> Iterator[Shard]:
    """The shards of all inputs, as they are listed; the same inputs give the same shards.

    Args:
        inputs: folders, files, globs and addresses; tars, Parquet and CSV files by their endings;
            "-" for `lines`.
        storage: to list and read them.
        size: pictures in a shard at most; a tar and a row group is one whatever its size.
        column: of Parquet and CSV files; by default the only one that can be meant.
        lines: paths and addresses, such as those of stdin.
        is_result: of a path or address: whether this run writes it, so that it is left out.

    Raises:
        DataError: a Parquet or CSV file has no such column.
        StorageError: a store did not answer.
    """
    found = (
        one
        for name in inputs
        for picture in _without_results(name, _named(name, storage, lines), is_result)
        for one in _file(picture, storage, column)
    )
    shards = _grouped(found, size)
    return (replace(shard, number=number) for number, shard in enumerate(shards))


def _grouped(found: Iterable[Picture | Shard], size: int) -> Iterator[Shard]:
    names: list[str] = []
    problems: list[tuple[int, str]] = []
    listed = 0

    def taken() -> Shard:
        shard = Shard(names=tuple(names), problems=tuple(problems))
        names.clear()
        problems.clear()
        return shard

    for one in found:
        if isinstance(one, Shard):
            if names:
                yield taken()
            yield one
            continue
        if one.problem is not None:
            problems.append((len(names), one.problem))
        names.append(one.name)
        listed += 1
        if len(names) >= min(size, max(FIRST_SIZE, listed // GROWTH)):
            yield taken()
    if names:
        yield taken()


def _without_results(
    name: str, files: Iterable[Picture], is_result: Callable[[str], bool]
) -> Iterator[Picture]:
    """The files of an input, without those that the run which reads it has written."""
    kept = left_out = False
    for file in files:
        if is_result(file.name):
            left_out = True
        else:
            kept = True
            yield file
    if left_out and not kept:
        yield Picture(name, Path(), "holds only results of this run, which are not read")


def _named(name: str, storage: Storage, lines: Iterable[str]) -> Iterator[Picture]:
    """The files that an input means: pictures, tables and tars."""
    if name == STDIN:
        for line in lines:
            if stripped := line.rstrip("\r\n"):
                yield Picture(stripped, Path())
    elif is_address(name):
        yield from _at_address(name, storage)
    else:
        yield from find_pictures(name)


def _at_address(name: str, storage: Storage) -> Iterator[Picture]:
    web = name.lower().startswith(("http://", "https://"))
    try:
        if not web and any(sign in name for sign in "*?["):
            empty = True
            for one in storage.glob(name):
                if not PurePosixPath(one).name.startswith("._"):
                    empty = False
                    yield Picture(one, Path())
            if empty:
                yield Picture(name, Path(), "fits no file")
        elif web or name.lower().endswith((*TARS, *TABLES, *SUFFIXES)):
            yield Picture(name, Path())
        else:
            empty = True
            for one in storage.walk(name):
                path = PurePosixPath(one)
                if path.suffix.lower() in SUFFIXES and not path.name.startswith("._"):
                    empty = False
                    yield Picture(one, Path())
            if empty:
                yield Picture(name, Path(), "the folder holds no pictures; name tars by a glob")
    except FileNotFoundError as error:
        yield Picture(name, Path(), why(error))
    except (OSError, ValueError) as error:  # what lies there is unknown: not a run without it
        raise DataError(f"{name}: cannot be listed ({why(error)})") from error


def _file(picture: Picture, storage: Storage, column: str | None) -> Iterator[Picture | Shard]:
    name = picture.name.lower()
    if picture.problem is None and name.endswith(TARS):
        yield Shard(kind="tar", address=picture.name)
    elif picture.problem is None and name.endswith(TABLES):
        try:
            if name.endswith(".csv"):
                yield from _csv(picture.name, storage, column)
            else:
                yield from _parquet(picture.name, storage, column)
        except (OSError, ValueError, NotImplementedError, csv.Error) as error:  # pyarrow's, too
            yield replace(picture, problem=f"cannot be read as a table ({why(error)})")
    else:
        yield picture


def _csv(address: str, storage: Storage, column: str | None) -> Iterator[Picture]:
    with io.TextIOWrapper(storage.open(address), "utf-8-sig", newline="") as stream:
        rows = csv.reader(stream)
        header = next(rows, [])
        place = header.index(_column(address, header, header, column))
        for row in rows:
            if row:
                yield _in_table(address, row[place] if place < len(row) else "")


def _parquet(address: str, storage: Storage, column: str | None) -> Iterator[Picture | Shard]:
    import pyarrow as pa
    from pyarrow import parquet

    with storage.open(address) as stream, parquet.ParquetFile(stream) as file:
        schema = file.schema_arrow
        usable = [field.name for field in schema if _holds_bytes(field.type) or _is_text(field)]
        chosen = _column(address, schema.names, usable, column)
        if _holds_bytes(schema.field(chosen).type):
            for group in range(file.num_row_groups):
                yield Shard(kind="rows", address=address, column=chosen, group=group)
            return
        for batch in file.iter_batches(4096, columns=[chosen]):
            for value in batch.column(0).cast(pa.string()).to_pylist():
                yield _in_table(address, value or "")


def _column(address: str, there: list[str], usable: list[str], column: str | None) -> str:
    if column is None and len(usable) == 1:
        return usable[0]
    if column is None:
        raise DataError(f"{address}: which column has the pictures? There are {', '.join(there)}")
    if column not in usable:
        raise DataError(
            f"{address}: {column} is no column of pictures; there are {', '.join(there)}"
        )
    return column


def _holds_bytes(kind: Any) -> bool:
    """Whether a column has the pictures themselves, bare or as datasets of Hugging Face have."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(field: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(field.type) or pa.types.is_large_string(field.type))


def _in_table(address: str, value: str) -> Picture:
    """The picture of a row; a relative path begins at the table's folder."""
    if not value:
        return Picture(address, Path(), "a row has no address")
    if is_address(value) or Path(value).is_absolute():
        return Picture(value, Path())
    folder = address.rpartition("/")[0] if "/" in address else ""
    return Picture(f"{folder}/{value}" if folder else value, Path())

"""The pictures of a shard as bytes, read ahead, so that the processor never waits for a network."""

from __future__ import annotations

import queue
import tarfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from agelens.batch.shards import Shard
from agelens.batch.storage import Storage, StorageError, why
from agelens.errors import ImageError, UnreadableImageError
from agelens.parallel import map_in_order
from agelens.pipeline.images import SUFFIXES

Item = TypeVar("Item")
READERS = 8
"""Requests at once of one process."""
AHEAD = 16
"""Pictures that wait in memory at most."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A picture's name and the bytes of its file, or why there are none."""

    name: str
    data: bytes | ImageError


def pictures_of(
    shard: Shard, storage: Storage, start: int = 0, *, ahead: bool = True
) -> Generator[Loaded]:
    """Read the pictures of a shard, in its order.

    Args:
        shard: to read.
        storage: to read from.
        start: number of the first picture that is wanted.
        ahead: read some before they are asked for.

    Raises:
        StorageError: the store did not answer; the pictures may still be there.
    """
    if shard.kind == "list":
        problems = dict(shard.problems)

        def read(index: int) -> Loaded:
            return _read(shard.names[index], problems.get(index), storage)

        numbers = range(start, len(shard.names))
        for _, loaded in map_in_order(read, numbers, jobs=READERS if ahead else 1):
            yield loaded
        return
    inside = _whole(shard, _in_tar if shard.kind == "tar" else _in_rows, storage, start)
    with closing(_ahead(inside) if ahead else inside) as pictures:
        yield from pictures


def _read(name: str, problem: str | None, storage: Storage) -> Loaded:
    if problem is not None:
        return Loaded(name, UnreadableImageError(name, problem))
    web = name.lower().startswith(("http://", "https://"))
    try:
        return Loaded(name, storage.read(name))
    except StorageError as error:
        if not web:
            raise
        return Loaded(name, UnreadableImageError(name, str(error.__cause__)))  # its host is gone
    except (OSError, ValueError) as error:
        return Loaded(name, UnreadableImageError(name, why(error)))
    except Exception as error:
        if not isinstance(getattr(error, "status", None), int):
            raise
        return Loaded(name, UnreadableImageError(name, why(error)))  # an HTTP answer such as 403


def _whole(
    shard: Shard,
    inside: Callable[[Shard, Storage], Iterator[Loaded]],
    storage: Storage,
    start: int,
) -> Generator[Loaded]:
    """The pictures of one file, and at its end what is wrong with it, if anything is."""
    index = 0
    try:
        for index, loaded in enumerate(inside(shard, storage), 1):
            if index > start:
                yield loaded
    except (
        OSError, EOFError, ValueError, tarfile.TarError,
        NotImplementedError, TypeError, LookupError,  # pyarrow's, of columns that it cannot read
    ) as error:  # fmt: skip
        reason = f"cannot be read after {index} pictures ({why(error)})"
        yield Loaded(shard.address, UnreadableImageError(shard.address, reason))


def _in_tar(shard: Shard, storage: Storage) -> Iterator[Loaded]:
    with storage.open(shard.address) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if (
                member.isfile()
                and path.suffix.lower() in SUFFIXES
                and not path.name.startswith("._")
                and (file := tar.extractfile(member)) is not None
            ):
                yield Loaded(f"{shard.address}/{member.name}", file.read())


def _in_rows(shard: Shard, storage: Storage) -> Iterator[Loaded]:
    from pyarrow import parquet

    with storage.open(shard.address) as stream, parquet.ParquetFile(stream) as file:
        groups = range(shard.group)
        number = sum(file.metadata.row_group(group).num_rows for group in groups)
        for batch in file.iter_batches(AHEAD, row_groups=[shard.group], columns=[shard.column]):
            for value in batch.column(0):
                number += 1
                name = f"{shard.address}#{number}"
                data = value.as_py()
                if isinstance(data, dict):  # as datasets of Hugging Face have it
                    data = data["bytes"]
                if data is None:
                    yield Loaded(name, UnreadableImageError(name, "the row is empty"))
                else:
                    yield Loaded(name, data)


def _ahead(items: Generator[Item]) -> Generator[Item]:
    """The same items, `AHEAD` of which a thread has ready."""
    waiting: queue.Queue[tuple[Item | None, Exception | None]] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Item | None, error: Exception | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put((item, error), timeout=0.2)
            except queue.Full:
                continue

    def fill() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    break
            put(None, None)
        except Exception as error:  # noqa: BLE001 - raised where the items are taken
            put(None, error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        thread.join()

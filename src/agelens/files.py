"""Files that are written whole or not at all, and never onto an input."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from agelens.errors import MissingExtraError, OutputError

LONGEST_NAME = 255
"""Bytes that most file systems allow in a name."""
MOST_BYTES = 2 << 30
"""Of the file of a picture."""
NO_FILE = "a pipe, a socket or a device, not a regular file"
"""What to say in a folder of what `may_never_end`."""
BATCH = 4096
"""Rows of a Parquet file that are written at once."""
_CLAIMS = threading.Lock()


class Inputs:
    """The files that a command reads, which it must not write onto, and the places it wrote to.

    Files are compared by what they are, not by how their paths are spelt: a link to an input, or
    the same file through another folder, is that input.

    Args:
        paths: of the inputs; those that are not there are passed over. They are looked at when
            something that is there already is about to be written.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._paths = tuple(paths)
        self._written: set[str] = set()

    @cached_property
    def _known(self) -> set[tuple[int, int]]:
        return {identity for path in self._paths if (identity := _identity(path))}

    def refuse(self, *paths: str | os.PathLike[str] | None) -> None:
        """Let pass the paths of results that may be written; None is a result nobody wants.

        Raises:
            OutputError: one is an input or in no folder that can be written, or two are one file.
        """
        given = [path for path in paths if path is not None]
        places = [_place(path) for path in given]
        for path, place in zip(given, places, strict=True):
            # By its place, too: a folder that is yet to be made may be on the way there and back.
            if self._known & {_identity(path), _identity(place)}:
                raise OutputError(f"{os.fspath(path)}: is an input, and is not written over")
        for path, place in zip(given, places, strict=True):
            if places.count(place) > 1:
                raise OutputError(f"{os.fspath(path)}: two results need a file each")
            if not may_never_end(path) and (reason := _unwritable(Path(place).parent)):
                raise OutputError(f"{os.fspath(path)}: cannot be written ({reason})")

    def claim(self, path: str | os.PathLike[str]) -> None:
        """Let pass the path of one result, which no other result may have from then on.

        Raises:
            OutputError: it is an input, or another result was written there.
        """
        self.refuse(path)
        place = _place(path)
        with _CLAIMS:
            if place in self._written:
                raise OutputError(f"{os.fspath(path)}: another result is in that file")
            self._written.add(place)


@contextmanager
def atomic_path(path: Path, *, inputs: Inputs | None = None) -> Iterator[Path]:
    """A neighbour of `path` to write to, moved onto `path` when the block ends without an error.

    A link stays a link: what it leads to is written. Into a pipe or a device the whole is copied.

    Args:
        path: of the file; its folder is made where it is missing.
        inputs: files that must not be written over, nor what was written with them before.

    Raises:
        OutputError: the file cannot be written, or is one of `inputs`; nothing is left behind.
    """
    if inputs is not None:
        inputs.claim(path)
    target = path.resolve() if path.is_symlink() else path
    is_stream = target.exists() and not target.is_file() and not target.is_dir()
    folder = Path(tempfile.gettempdir()) if is_stream else target.parent
    # A name of its own for each writer, and short enough whatever the file is called.
    partial = folder / f".{short_name(target.name, 200)}.{os.urandom(4).hex()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield partial
        if is_stream:
            target.write_bytes(partial.read_bytes())
        else:
            partial.replace(target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # a folder that cannot be written at all has been named
            partial.unlink(missing_ok=True)


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """All of a file or a pipe.

    Raises:
        OSError: it is not there, may not be read, has no end, or is larger than any picture.
    """
    with Path(path).open("rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
            raise OSError(errno.EINVAL, "a device, which holds no picture")
        if facts.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {MOST_BYTES >> 30} GB, so no picture")
        return file.read()


def walk_files(top: str, skip: Callable[[str], bool], problems: list[OSError]) -> Iterator[Path]:
    """All files below a folder, those of linked folders too, but each folder once; sorted.

    Args:
        top: the folder.
        skip: whether files and folders of such a name are left out.
        problems: gets what went wrong with folders that could not be listed.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(top, onerror=problems.append, followlinks=True):
        identity = _identity(folder)
        if identity is None or identity in seen:  # gone; or a link back to where we come from
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(name for name in folders if not skip(name))
        for name in sorted(names):
            if not skip(name):
                yield Path(folder, name)


def may_never_end(path: str | os.PathLike[str]) -> bool:
    """Whether what is there is a pipe, a socket or a device, and no file."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # what is wrong is told where it is read
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_json(values: Any, path: Path) -> None:
    """Write values as a JSON file for people to read, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def short_name(name: str, limit: int = LONGEST_NAME) -> str:
    """A file name of at most so many bytes; a longer one keeps its beginning, ending and a digest.

    Args:
        name: without folders.
        limit: in bytes of UTF-8.
    """
    encoded = os.fsencode(name)
    if len(encoded) <= limit:
        return name
    ending = Path(name).suffix
    ending = ending if len(os.fsencode(ending)) <= 16 else ""
    digest = f"{zlib.crc32(encoded):08x}"
    room = limit - len(os.fsencode(ending)) - len(digest) - 1
    return f"{encoded[:room].decode('utf-8', 'ignore')}-{digest}{ending}"


def portable_name(name: str) -> str:
    """A file name in Unicode that every system and store can have; it begins with a digit.

    Windows also lacks names such as ``CON``, none of which does.
    """
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", printable(name)).rstrip(" .")


def _place(path: str | os.PathLike[str]) -> str:
    """Where a result ends up: links are followed, and case is ignored where the system does."""
    return os.path.normcase(os.path.realpath(path))


def _unwritable(folder: Path) -> str | None:
    """Why no file can be made in a folder, which is made where it is missing; None if one can."""
    with suppress(OSError, ValueError):  # such a path is told of when it is written
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            return f"{folder} is no folder"
        if not os.access(folder, os.W_OK):
            return f"{folder} is a folder that may not be written to"
    return None


def printable(name: str) -> str:
    """A name as valid Unicode; bytes that are none, as Linux allows them, are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def on_one_line(text: str) -> str:
    """A text in which what would move or colour a terminal, as names may hold it, is escaped."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", _escaped, text)


def _escaped(sign: re.Match[str]) -> str:
    return ascii(sign[0])[1:-1]


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    try:
        facts = Path(path).stat()
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


@contextmanager
def parquet_writer(
    path: Path, columns: Mapping[str, str], *, inputs: Inputs | None = None
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes a row of a Parquet file; it appears whole at the end of the block.

    Args:
        path: of the file.
        columns: their Arrow types, by name: "double", "int64" or "string".
        inputs: files that must not be written over.

    Raises:
        MissingExtraError: without pyarrow.
        OutputError: the file cannot be written, or is one of `inputs`.
    """
    try:
        import pyarrow as pa
        import pyarrow.json
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("Parquet needs pyarrow: pip install pyarrow") from error
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    parse = pyarrow.json.ParseOptions(explicit_schema=schema)
    waiting: list[str] = []
    with (
        atomic_path(path, inputs=inputs) as partial,
        parquet.ParquetWriter(partial, schema) as file,
    ):

        def flush() -> None:
            # By way of JSON, because PyArrow imports pandas before it looks at Python's lists,
            # which takes as long as twenty pictures.
            lines = "\n".join(waiting).encode()
            size = pyarrow.json.ReadOptions(block_size=len(lines) + 1)
            if waiting:
                file.write_table(pyarrow.json.read_json(io.BytesIO(lines), size, parse))
            waiting.clear()

        def write(row: Mapping[str, Any]) -> None:
            waiting.append(json.dumps({name: row[name] for name in columns}))
            if len(waiting) >= BATCH:
                flush()

        yield write
        flush()

"""Finished work in a file, so that a run which was cut off goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from agelens.errors import OutputError


class Journal:
    """A JSON line for each finished piece of work, below a line that says what it depends on.

    A line is written whole before the next begins, so that only the last can be cut short by a
    kill; it is dropped then, and its piece is done again.

    Args:
        path: of the file.
        facts: all that the work depends on, ready for JSON. A file with other facts is begun anew.

    Attributes:
        records: those of an earlier run, in their order.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        self.records: list[Any] = []
        self._head = json.dumps(dict(facts), sort_keys=True)
        self._length = 0
        self._stream: IO[bytes] | None = None
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(f"{path}: cannot be read ({error.strerror or error})") from error
        if not lines or lines[0] != f"{self._head}\n".encode():
            return
        for line in lines:
            if not line.endswith(b"\n"):
                break  # cut short by a kill
            self._length += len(line)
            self.records.append(json.loads(line))
        del self.records[0]

    def clear(self) -> None:
        """Forget the records, and begin the file anew when it is opened."""
        self.records, self._length = [], 0

    def __enter__(self) -> Journal:
        """Open the file to add records.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("r+b" if self._length else "wb")
            self._stream.truncate(self._length)
            self._stream.seek(self._length)
            if not self._length:
                self._write(self._head)
        except OSError as error:
            if self._stream is not None:
                self.__exit__()
            raise self._failed(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stream is not None, "left without having been entered"
        with suppress(OSError):  # of what was added: it has been said
            self._stream.close()
        with suppress(OSError):
            if self._length:
                os.truncate(self.path, self._length)  # a line that did not fit is none
            else:
                self.path.unlink(missing_ok=True)

    def add(self, record: Any) -> None:
        """Write down a finished piece of work.

        Raises:
            OutputError: the disk is full, for example.
        """
        try:
            self._write(json.dumps(record))
        except OSError as error:
            raise self._failed(error) from error

    def _write(self, line: str) -> None:
        assert self._stream is not None, "a journal is opened before records are added"
        written = f"{line}\n".encode()
        self._stream.write(written)
        self._stream.flush()  # what a kill leaves
        self._length += len(written)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written ({error.strerror or error})")

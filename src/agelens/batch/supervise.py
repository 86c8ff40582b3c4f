"""Does shards in a process of its own, which pictures may end: a picture costs only itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from agelens.batch.parts import write_parts
from agelens.batch.settings import OUT_OF_MEMORY, Counts, Settings
from agelens.batch.shards import Shard
from agelens.batch.storage import StorageError
from agelens.errors import AgelensError

ATTEMPTS = 2
"""Processes that a picture may end. The first may have been ended by something else."""
START_SECONDS = 300.0
"""A process that is not ready by then is ended; imports are slow on a loaded machine."""
STARTS = 3
"""Times that a process is started when it ends before it is ready."""
OnPicture = Callable[[bool], None]
"""Called after each picture; whether it failed."""


def nobody(_failed: bool) -> None:
    """Tell nobody."""


class _EndedError(Exception):
    """The process has ended; the text says how."""


class Worker:
    """One estimator in a process of its own. Both engines do every shard by `do`.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None  # of the answer that is waited for
        self._too_long = self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process else None

    def do(self, shard: Shard, on_picture: OnPicture = nobody) -> Counts:
        """Estimate the pictures of a shard and write its parts.

        Returns:
            What is in it; an unfinished shard, if a store did not answer.

        Raises:
            AgelensError: no shard can be done: the model or the output cannot be used.
        """
        faces: list[dict[str, Any]] = []
        pictures: list[dict[str, Any]] = []
        tries, whole = 0, False
        while not whole:
            begun, began = shard.name_of(len(pictures)), False
            try:
                for answer in self._ask(shard, len(pictures), alone=tries > 0):
                    if "begin" in answer:
                        begun, began = answer["begin"], True
                    if "unfinished" in answer:
                        self.close_process()
                        return Counts(unfinished=1)
                    if "failed" in answer:
                        raise AgelensError(answer["failed"])
                    if "picture" in answer:
                        pictures.append(answer["picture"])
                        faces += answer["faces"]
                        tries, began = 0, False
                        on_picture(answer["picture"]["error"] is not None)
                    whole = answer.get("end", False)
            except _EndedError as ended:
                tries += 1
                if tries == ATTEMPTS:
                    pictures.append(_poison(begun, f"{ended}, {ATTEMPTS} times"))
                    on_picture(True)
                    tries = 0
                    # A tar or a row group that ends the process between two pictures would again.
                    whole = len(pictures) == len(shard.names) if shard.names else not began
        try:
            settings = self._settings
            return write_parts(
                settings.target, settings.output, shard.name, faces, pictures, settings.at_least
            )
        except StorageError:
            return Counts(unfinished=1)

    def close(self) -> None:
        """End the process, whatever it does; `do` in another thread fails then."""
        self._closed = True
        self.close_process()

    def close_process(self) -> str:
        """End the process.

        Returns:
            How it has ended.
        """
        process, self._process = self._process, None
        if process is None:
            return "did not start"
        process.kill()
        code = process.wait()
        too_long, self._too_long = self._too_long, False
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        if too_long:
            return f"longer than {self._settings.picture_seconds:g} seconds"
        return _words(code)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, shard: Shard, start: int, *, alone: bool) -> Iterator[dict[str, Any]]:
        """The answers to one request, the last of which is ``end``.

        Raises:
            _EndedError: the process ended before.
        """
        process = self._running()
        request = {"shard": shard.to_json(), "start": start, "alone": alone}
        self._send(process, request)
        while True:
            answer = self._receive(process, self._settings.picture_seconds)
            yield answer
            if answer.keys() & {"end", "unfinished", "failed"}:
                return

    def _running(self) -> subprocess.Popen[bytes]:
        """The process; a new one if there is none.

        Raises:
            AgelensError: it cannot be started.
        """
        ended: _EndedError | None = None
        for attempt in range(STARTS):
            if self._closed:
                raise AgelensError("the worker is closed")
            if self._process is not None:
                return self._process
            time.sleep(attempt)  # whatever took the memory may be gone then
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "agelens.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for whoever started this
            )
            threading.Thread(target=self._watch, args=(process,), daemon=True).start()
            try:
                self._send(process, asdict(self._settings))
                answer = self._receive(process, START_SECONDS)
            except _EndedError as error:
                ended = error
                continue
            if "failed" in answer:
                self.close_process()
                raise AgelensError(answer["failed"])
            return process
        raise AgelensError(f"a process that estimates does not start ({ended})")

    def _send(self, process: subprocess.Popen[bytes], line: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(f"{json.dumps(line)}\n".encode())
            process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: closed from another thread
            raise _EndedError(self.close_process()) from error

    def _receive(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        assert process.stdout is not None
        self._deadline = time.monotonic() + seconds
        try:
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = b""
        self._deadline = None
        if not line.endswith(b"\n"):
            raise _EndedError(self.close_process())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """End the process when an answer takes too long."""
        while process.poll() is None:
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._too_long = True
                process.kill()
            time.sleep(min(1.0, self._settings.picture_seconds / 4))


def _poison(name: str, how: str) -> dict[str, Any]:
    row = {"path": name, "faces": 0, "width": 0, "height": 0, "seconds": 0.0, "annotated": None}
    return row | {"error": f"reading it ended the process: {how}"}


def _words(code: int) -> str:
    """How a process has ended, by its exit code."""
    if code == OUT_OF_MEMORY:
        return "out of memory"
    if code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"

"""Processes that decode pictures and find the faces in them, and that may die at it.

Decoders are where hostile bytes meet C code. They run here, one picture at a time in each process,
so that a crash, a hang or a lack of memory costs one process, which is replaced: the service and
every other request go on. What comes back are crops of some 50 kB a face, not pixels. This is no
sandbox: a reader has the rights of the service's user.

A pool of the standard library would lose all its work with one process, and cannot end a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

from agelens.errors import AgelensError, ImageError
from agelens.pipeline.detect import FaceDetector
from agelens.service.errors import ReaderDiedError
from agelens.service.look import Found, Look, find_faces

log = logging.getLogger("agelens.service")

START_SECONDS = 60.0
"""A reader that is not ready by then is given up; imports are slow on a loaded machine."""
ATTEMPTS = 2
"""Readers that a picture may end. The first may have been ended by something else."""
CHECK_SECONDS = 1.0
"""How often an idle reader is looked at: whether its process is still alive."""


def _read_forever(connection: Connection, look: Look) -> None:
    """The reader process: bytes in, `Found` or an error out, until the service closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which finishes first
    if sys.platform == "linux":  # short of memory, let the kernel end a reader and not the service
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    cv2.setNumThreads(1)  # there is a reader for each processor
    warnings.simplefilter("ignore")  # Pillow's on sizes; `max_pixels` is the limit
    detector = FaceDetector(threads=1)
    detector.detect(np.zeros((480, 640, 3), np.uint8))  # the first call is slow
    connection.send(None)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            data = connection.recv_bytes()
            try:
                answer: Found | AgelensError = find_faces(data, detector, look)
            except ImageError as error:
                answer = error
            except Exception:  # the edge of this process, and it logs
                log.exception("a reader failed on a picture of %d bytes", len(data))
                answer = ReaderDiedError("the picture made its decoder fail")
            connection.send(answer)


class _Reader:
    """One process and the pipe to it. `start` and `ask` block: call them in a thread."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.overdue = False

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a threaded process may hang
        self._connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_read_forever, args=(theirs, self._look), name="agelens-reader", daemon=True
        )
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.overdue = False
        if not self._connection.poll(START_SECONDS):
            self.process.kill()
            raise EOFError
        self._connection.recv()

    def ask(self, data: bytes) -> Found | AgelensError:
        self._connection.send_bytes(data)
        answer: Found | AgelensError = self._connection.recv()
        return answer

    def expire(self) -> None:
        """End the process because its picture took too long; `ask` then raises EOFError."""
        self.overdue = True
        self.process.kill()

    def restart(self) -> None:
        self.close()
        self.start()

    def close(self) -> None:
        if self.process.pid is not None:  # else it could not be started
            self.process.kill()
            self.process.join(5)
        self._connection.close()


@dataclass(slots=True, eq=False)
class _Job:
    data: bytes
    done: asyncio.Future[Found]
    attempts: int = 0
    came: float = field(default_factory=time.monotonic)


class _Jobs(asyncio.Queue[_Job]):
    """Pictures in the order in which they came, as long as none waits for more than `patience`.

    Then the newest first ("adaptive LIFO"; Maurer, "Fail at Scale", ACM Queue 13:8, 2015): with
    more to do than can be done in time, all would else be answered a little too late.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    def _get(self) -> _Job:
        waiting: deque[_Job] = self._queue  # type: ignore[attr-defined]
        while len(waiting) > 1 and waiting[0].done.done():  # it was too late for these
            waiting.popleft()
        late = time.monotonic() - waiting[0].came > self._patience
        return waiting.pop() if late else waiting.popleft()


class Readers:
    """A fixed number of reader processes, each replaced when it dies.

    Args:
        count: of processes.
        look: what they do with a picture.
        patience: seconds that one may work on a picture; then it is ended.
        on_restart: called when one had to be replaced.
    """

    def __init__(
        self, count: int, look: Look, patience: float, on_restart: Callable[[], None]
    ) -> None:
        self._readers = [_Reader(look) for _ in range(count)]
        self._patience = patience
        self._jobs = _Jobs(patience / 2)
        self._threads = ThreadPoolExecutor(count, "agelens-reader")
        self._tasks: list[asyncio.Task[None]] = []
        self._on_restart = on_restart

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that are alive."""
        living = [reader.process for reader in self._readers if reader.process.is_alive()]
        return [process.pid for process in living if process.pid is not None]

    async def start(self) -> None:
        """Start the processes and wait until all are warm."""
        loop = asyncio.get_running_loop()
        starts = [loop.run_in_executor(self._threads, reader.start) for reader in self._readers]
        await asyncio.gather(*starts)
        self._tasks = [asyncio.create_task(self._work(reader)) for reader in self._readers]

    async def stop(self) -> None:
        """End the processes. Pictures that are still waiting get no answer."""
        for task in self._tasks:
            task.cancel()
        for reader in self._readers:
            reader.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, data: bytes) -> Found:
        """Decode a picture and find its faces.

        Args:
            data: the bytes of an image file.

        Raises:
            ImageError: the picture is broken, too large or too small.
            ReaderDiedError: it ended its reader.
        """
        job = _Job(data, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.done

    async def _work(self, reader: _Reader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = await self._next(reader)
            if job.done.done():  # its client has been told that it is too late
                continue
            timer = loop.call_later(self._patience, reader.expire)
            try:
                answer = await loop.run_in_executor(self._threads, reader.ask, job.data)
            except (EOFError, OSError):
                self._give_back(job, overdue=reader.overdue)
                await self._replace(reader)
                continue
            finally:
                timer.cancel()
            _settle(job, answer)
            if reader.overdue:  # the timer fired while the answer was on its way
                await self._replace(reader)

    async def _next(self, reader: _Reader) -> _Job:
        """The next picture. A reader that ended while it was idle is replaced first."""
        while True:
            job = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    job = await self._jobs.get()
            if not reader.process.is_alive():
                if job is not None:  # for whichever reader is first
                    self._jobs.put_nowait(job)
                await self._replace(reader)
            elif job is not None:
                return job

    def _give_back(self, job: _Job, *, overdue: bool) -> None:
        job.attempts += 1
        if not overdue and job.attempts < ATTEMPTS:
            self._jobs.put_nowait(job)
        else:
            _settle(job, ReaderDiedError("the picture made its decoder stop"))

    async def _replace(self, reader: _Reader) -> None:
        loop = asyncio.get_running_loop()
        self._on_restart()
        log.warning(
            "a reader process ended (exit code %s): starting another", reader.process.exitcode
        )
        while True:
            try:
                await loop.run_in_executor(self._threads, reader.restart)
                return
            except (EOFError, OSError) as error:
                log.error("a reader process does not start (%r): trying again", error)
                await asyncio.sleep(1)


def _settle(job: _Job, answer: Found | AgelensError) -> None:
    if job.done.done():
        return
    if isinstance(answer, AgelensError):
        job.done.set_exception(answer)
    else:
        job.done.set_result(answer)

"""The pool of decoder processes: starts them, hands pictures to them, replaces them.

Decoders are where hostile bytes meet C code. They run one picture at a time in each process, so
that a crash, a hang or a lack of memory costs one process: the service and every other request go
on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from PIL import Image

from agelens.service.decoder import NOT_QUICK, DecoderSettings, PictureRequest, PictureResult
from agelens.service.errors import BusyError, DecoderDiedError
from agelens.service.fair import FairQueue
from agelens.service.limits import Recent
from agelens.service.metrics import Metrics
from agelens.service.process import DecoderProcess

log = logging.getLogger("agelens.service")

TRIES = 5
"""Pictures that the pool works on when it has started, to learn how fast it is."""
ATTEMPTS = 2
"""Decoders that a picture may end. The first may have been ended by something else."""
REFUSED_SECONDS = 600.0
"""How long a picture that ended a decoder is refused, and its client's pictures count as costly."""
_TIME_IS_UP = -signal.SIGPROF if hasattr(signal, "SIGPROF") else None


@dataclass(slots=True, eq=False)
class _Job:
    client: str
    data: bytes
    request: PictureRequest
    done: asyncio.Future[PictureResult]
    costly: bool = False
    attempts: int = 0
    came: float = field(default_factory=time.monotonic)

    @property
    def abandoned(self) -> bool:
        return self.done.done()

    @property
    def size(self) -> int:
        return len(self.data)


class DecoderPool:
    """A fixed number of decoder processes, each replaced when it dies.

    So many pictures are in work at once as `jobs` says. There is one process more, for quick
    pictures while costly ones are in work: clients with large pictures cannot stop the others.

    Args:
        jobs: pictures in work at once.
        settings: of the decoders.
        patience: seconds that one may work on a picture; then it is ended.
        max_wait: seconds; a picture that would wait for longer is refused.
        metrics: what counts.
    """

    def __init__(
        self,
        jobs: int,
        settings: DecoderSettings,
        *,
        patience: float,
        max_wait: float,
        metrics: Metrics,
    ) -> None:
        self._jobs = jobs
        self._warm = PictureRequest(next(iter(settings.models)))
        self._decoders = [DecoderProcess(settings, self._on_end) for _ in range(jobs + 1)]
        self._patience = patience
        self._max_wait = max_wait
        self._metrics = metrics
        self._queue: FairQueue[_Job] = FairQueue()
        self._idle: dict[DecoderProcess, asyncio.Future[_Job | None]] = {}
        self._costly = 0  # pictures in work that are costly
        self._tasks: list[asyncio.Task[None]] = []
        self._refused: Recent[bytes] = Recent(REFUSED_SECONDS)
        self._suspects: Recent[str] = Recent(REFUSED_SECONDS)

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that are alive."""
        return [decoder.pid for decoder in self._decoders if decoder.pid is not None]

    async def start(self) -> None:
        """Start the processes and wait until all are warm.

        Raises:
            EOFError: one does not start.
        """
        await asyncio.gather(*(decoder.start() for decoder in self._decoders))
        self._tasks = [asyncio.create_task(self._run(decoder)) for decoder in self._decoders]
        with contextlib.suppress(DecoderDiedError):
            for _ in range(TRIES):  # and learn how fast this machine is
                await self.estimate(_test_picture(), self._warm, "")

    async def stop(self) -> None:
        """End the processes. Pictures that are still waiting get no answer."""
        self._idle.clear()  # so that their end is no surprise
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(decoder.stop() for decoder in self._decoders))

    @contextlib.contextmanager
    def admitted(self, client: str, size: int) -> Iterator[None]:
        """Room for a request whose body of so many bytes is still arriving.

        Raises:
            BusyError: its pictures would wait for too long.
        """
        wait = self._queue.work_ahead(client)
        if len(self._decoders) - len(self._idle) >= self._jobs:
            wait += self._queue.work_begun()
        wait /= self._jobs
        if wait > self._max_wait:
            raise BusyError("the service is busy; try again later", max(1, round(wait)))
        self._queue.announce(client, size)
        try:
            yield
        finally:
            self._queue.arrived(client, size)

    async def estimate(self, data: bytes, request: PictureRequest, client: str) -> PictureResult:
        """What a picture shows.

        Args:
            data: the bytes of an image file.
            request: what is asked of it.
            client: whose it is; the clients share the decoders fairly.

        Raises:
            DecoderDiedError: the picture ended its decoder, now or a short while ago.
        """
        if self._refused and hashlib.sha256(data).digest() in self._refused:
            raise DecoderDiedError("the picture has made its decoder stop before")
        done: asyncio.Future[PictureResult] = asyncio.get_running_loop().create_future()
        self._queue.push(_Job(client, data, request, done, costly=client in self._suspects))
        self._dispatch()
        return await done

    def _dispatch(self) -> None:
        """Give waiting pictures to idle decoders."""
        while self._idle:
            busy = len(self._decoders) - len(self._idle)
            if busy >= self._jobs and not self._costly:
                return
            job = self._queue.pop(costly=busy < self._jobs)
            if job is None:
                return
            self._costly += job.costly
            _, chosen = self._idle.popitem()
            chosen.set_result(job)

    def _on_end(self, decoder: DecoderProcess) -> None:
        """A process has ended: if nobody waits for its answer, wake up who replaces it."""
        chosen = self._idle.pop(decoder, None)
        if chosen is not None:
            chosen.set_result(None)

    async def _run(self, decoder: DecoderProcess) -> None:
        """The life of one decoder and of those that replace it."""
        while True:
            chosen = self._idle[decoder] = asyncio.get_running_loop().create_future()
            self._dispatch()
            job = await chosen
            if job is None or not await self._work(decoder, job):
                await self._replace(decoder)

    async def _work(self, decoder: DecoderProcess, job: _Job) -> bool:
        """Let a decoder work on a picture; whether it is still alive."""
        costly, seconds, start = job.costly, None, time.monotonic()
        self._metrics.queue_wait.observe(start - job.came)
        try:
            async with asyncio.timeout(self._patience):
                result = await decoder.ask(job.data, replace(job.request, only_quick=not costly))
            if result.error == NOT_QUICK:
                job.costly = True
                self._queue.push(job)
            else:
                seconds = time.monotonic() - start
                if not job.abandoned:
                    job.done.set_result(result)
            return True
        except (EOFError, OSError, TimeoutError) as error:
            seconds = time.monotonic() - start
            code = await decoder.stop()
            self._give_back(job, too_long=isinstance(error, TimeoutError) or code == _TIME_IS_UP)
            return False
        finally:
            self._costly -= costly
            self._queue.charge(job, seconds)

    def _give_back(self, job: _Job, *, too_long: bool) -> None:
        """A decoder ended at this picture: let another try, or refuse the picture for a while."""
        job.attempts += 1
        if not too_long and job.attempts < ATTEMPTS:
            self._queue.push(job)
            return
        self._refused.add(hashlib.sha256(job.data).digest())
        self._suspects.add(job.client)
        reason = "takes too long to decode" if too_long else "made its decoder stop"
        if not job.abandoned:
            job.done.set_exception(DecoderDiedError(f"the picture {reason}"))

    async def _replace(self, decoder: DecoderProcess) -> None:
        code = await decoder.stop()
        self._metrics.restarts.inc()
        log.warning("a decoder process ended (exit code %s): starting another", code)
        while True:
            try:
                await decoder.start()
                return
            except (EOFError, OSError) as error:
                log.error("%s: trying again", error)
                await asyncio.sleep(1)


def _test_picture() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((640, 480), 64).save(stream, "JPEG")
    return stream.getvalue()

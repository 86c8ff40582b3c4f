"""The serve flow across requests: read in processes, the age model in batches, then conclude."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agelens.errors import ImageError, UnreadableImageError
from agelens.estimator import AgeEstimator
from agelens.service.batching import Batcher
from agelens.service.body import Upload
from agelens.service.errors import BusyError, DeadlineError, ReaderDiedError
from agelens.service.look import Look
from agelens.service.metrics import Metrics
from agelens.service.readers import Readers
from agelens.service.settings import Settings
from agelens.types import Face


@dataclass(frozen=True, slots=True)
class Answer:
    """What a picture showed. `left_out` counts the faces over the limit."""

    width: int
    height: int
    faces: tuple[Face, ...]
    left_out: int


class Service:
    """One worker's model, reader processes and queue.

    Raises:
        ModelError: the model file cannot be used.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self.estimator = AgeEstimator(
            settings.model, min_score=settings.min_score, coverage=settings.coverage, threads=1
        )
        model = self.estimator.model
        look = Look(
            model.template,
            model.size,
            settings.min_score,
            settings.max_pixels,
            settings.max_faces,
        )
        self.readers = Readers(settings.readers, look, settings.deadline, metrics.restarts.inc)
        self._batcher = Batcher(
            model.predict,
            size=settings.max_batch,
            runners=settings.readers,
            observe=metrics.batch.observe,
        )
        self._pending = 0

    async def start(self) -> None:
        """Start and warm everything up; the first request is as fast as any other."""
        self._batcher.start()
        await self.readers.start()
        size = self.estimator.model.size
        await self._batcher.predict(np.zeros((1, size, size, 3), np.uint8))

    async def stop(self) -> None:
        """End the processes; to be called when every request has its answer."""
        await self.readers.stop()
        self._batcher.stop()

    @property
    def ready(self) -> bool:
        """Whether at least one reader is alive."""
        return bool(self.readers.processes)

    async def estimate(
        self, uploads: Sequence[Upload], coverage: float | None = None
    ) -> list[Answer]:
        """Estimate the ages in some pictures; all of them, or an error.

        Args:
            uploads: the pictures.
            coverage: of the intervals; the settings' by default.

        Raises:
            ImageError: a picture is broken, too large or too small; the message names it.
            ReaderDiedError: a picture ended its reader.
            BusyError: too much is waiting already.
            DeadlineError: there was no answer in time.
        """
        if self._pending + len(uploads) > self._settings.queue:
            raise BusyError("the service is busy; try again later")
        deadline = asyncio.get_running_loop().time() + self._settings.deadline
        self._count(len(uploads))
        try:
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(upload, coverage)) for upload in uploads]
        except TimeoutError as error:
            raise DeadlineError(f"no answer in {self._settings.deadline:g} seconds") from error
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first picture that failed stops the others
        finally:
            self._count(-len(uploads))
        answers = [task.result() for task in tasks]
        self._metrics.pictures.inc(len(answers))
        self._metrics.faces.inc(sum(len(answer.faces) for answer in answers))
        return answers

    async def _one(self, upload: Upload, coverage: float | None) -> Answer:
        if not upload.data:
            raise UnreadableImageError(upload.name, "the file is empty")
        try:
            found = await self.readers.read(upload.data)
        except ImageError as error:
            raise type(error)(upload.name, error.reason) from None
        except ReaderDiedError as error:
            raise ReaderDiedError(f"{upload.name}: {error}") from None
        faces: tuple[Face, ...] = ()
        if len(found.crops):
            rows: NDArray[np.float32] = await self._batcher.predict(found.crops.crops)
            faces = self.estimator.postprocess(rows, found.crops, coverage=coverage)
        return Answer(found.crops.width, found.crops.height, faces, found.left_out)

    def _count(self, change: int) -> None:
        self._pending += change
        self._metrics.pending.inc(change)

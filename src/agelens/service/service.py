"""Pictures of a request to what they show, fairly shared among clients and within the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agelens.errors import AgelensError, ImageTooLargeError, UnreadableImageError
from agelens.pipeline.model import AgeModel
from agelens.service.body import Upload
from agelens.service.decoder import DecoderSettings, PictureRequest, PictureResult
from agelens.service.decoders import DecoderPool
from agelens.service.errors import DeadlineError, DecoderDiedError, ParameterError
from agelens.service.metrics import Metrics
from agelens.service.process import DecoderProcess
from agelens.service.settings import Settings, SettingsError

Answer = PictureResult | AgelensError


class Service:
    """One worker's models and decoder processes.

    Attributes:
        models: what is known of each model, by the name that requests use; the first is the usual.
        metrics: what counts.

    Raises:
        ModelError: a model file cannot be used.
        SettingsError: two models have one name.
    """

    def __init__(self, settings: Settings) -> None:
        self._deadline = settings.deadline
        self.models = {Path(name).stem: AgeModel(name, threads=1) for name in settings.model}
        if len(self.models) < len(settings.model):
            raise SettingsError("model (AGELENS_MODEL): two models have one name")
        for model in self.models.values():
            model.close()  # its metadata stays; decoders have networks of their own
        self.metrics = Metrics(tuple(self.models))
        self._decoding = DecoderSettings(
            dict(zip(self.models, settings.model, strict=True)),
            settings.min_score,
            settings.coverage,
            settings.max_pixels,
            settings.max_faces,
            settings.megapixel_seconds,
        )
        self.decoders = DecoderPool(
            settings.pictures_at_once,
            self._decoding,
            patience=max(1.0, settings.deadline),
            max_wait=settings.max_wait,
            metrics=self.metrics,
        )

    @property
    def model(self) -> AgeModel:
        """The usual model."""
        return next(iter(self.models.values()))

    def name_of(self, name: str | None) -> str:
        """The name of a model that was asked for, or of the usual one.

        Raises:
            ParameterError: there is no such model.
        """
        if name is not None and name not in self.models:
            there = ", ".join(self.models)
            raise ParameterError(f"model: {name[:50]!r} is not here; there are {there}")
        return name or next(iter(self.models))

    def tracking_decoder(self, name: str) -> DecoderProcess:
        """A decoder that follows the faces from picture to picture, with this model."""
        only = {name: self._decoding.models[name]}
        settings = replace(self._decoding, models=only, track=True)
        return DecoderProcess(settings, on_end=lambda _: None)

    @property
    def ready(self) -> bool:
        """Whether at least one decoder is alive."""
        return bool(self.decoders.processes)

    @contextmanager
    def admitted(self, client: str, size: int) -> Iterator[None]:
        """Room for a request; see `DecoderPool.admitted`."""
        with self.decoders.admitted(client, size):
            yield

    async def estimate(
        self,
        uploads: Sequence[Upload],
        request: PictureRequest,
        client: str,
        *,
        partial: bool = False,
    ) -> list[Answer]:
        """Estimate the ages in some pictures.

        Args:
            uploads: the pictures.
            request: what is asked of each.
            client: whose they are.
            partial: give the error of a picture in place of its result; else the first is raised.

        Raises:
            ImageError: a picture is broken, too large or too small; the message names it.
            DecoderDiedError: a picture ended its decoder.
            DeadlineError: there was no answer in time.
        """
        self._count(len(uploads))
        try:
            async with asyncio.timeout(self._deadline):
                if len(uploads) == 1:  # quicker
                    return [await self._one(uploads[0], request, client, partial)]
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._one(upload, request, client, partial))
                        for upload in uploads
                    ]
        except TimeoutError as error:
            raise DeadlineError(f"no answer in {self._deadline:g} seconds") from error
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first picture that failed stops the others
        finally:
            self._count(-len(uploads))
        return [task.result() for task in tasks]

    async def _one(
        self, upload: Upload, request: PictureRequest, client: str, partial: bool
    ) -> Answer:
        try:
            result = await self.decoders.estimate(upload.data, request, client)
        except DecoderDiedError as error:
            failed: AgelensError = DecoderDiedError(f"{upload.name}: {error}")
        else:
            if not result.error:
                self.metrics.pictures.inc()
                self.metrics.faces.inc(result.faces)
                return result
            failed = error_of(upload.name, result)
        if not partial:
            raise failed
        return failed

    def _count(self, change: int) -> None:
        self.metrics.pending.inc(change)


def error_of(name: str, result: PictureResult) -> AgelensError:
    """The error of a picture that could not be used."""
    if result.error == "too large":
        return ImageTooLargeError(name, result.reason)
    if result.error == "unreadable":
        return UnreadableImageError(name, result.reason)
    return DecoderDiedError(f"{name}: {result.reason}")

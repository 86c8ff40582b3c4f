"""One picture's bytes to the rows of its faces and its own."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import Any

from agelens import __version__
from agelens.batch.parts import copy_of
from agelens.batch.reading import Loaded
from agelens.batch.settings import Settings
from agelens.errors import ImageError
from agelens.estimator import AgeEstimator
from agelens.faces import Faces, encode_drawn

Line = dict[str, Any]


class Estimating:
    """One estimator, and how its results become rows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._estimator = AgeEstimator(
            settings.model,
            device=settings.device,
            threads=1,
            coverage=settings.coverage,
            min_score=settings.min_score,
        )
        self._model = {"model": self._estimator.model.digest, "version": __version__}

    def rows(self, loaded: Loaded, shard: str, number: int) -> Line:
        """The row of one picture and those of its faces.

        Raises:
            OutputError: its annotated copy cannot be written.
        """
        start = time.perf_counter()
        faces, annotated = Faces((), loaded.name), None
        error: str | None = None
        if isinstance(loaded.data, ImageError):
            error = loaded.data.reason
        else:
            try:
                faces = self._estimator.estimate(loaded.data)
                annotated = self._annotated(faces, loaded.name, shard, number)
            except ImageError as problem:
                error = problem.reason
        rows = faces.to_rows(self._settings.at_least)
        return {
            "faces": [row | {"path": loaded.name} | self._model for row in rows],
            "picture": {
                "path": loaded.name,
                "faces": len(faces),
                "width": faces.width,
                "height": faces.height,
                "seconds": time.perf_counter() - start,
                "error": error,
                "annotated": annotated,
            },
        }

    def _annotated(self, faces: Faces, name: str, shard: str, number: int) -> str | None:
        if not self._settings.annotate:
            return None
        place = copy_of(shard, number, PurePosixPath(name).name)
        output = self._settings.output.rstrip("/")
        self._settings.target.write(f"{output}/{place}", encode_drawn(faces))
        return place

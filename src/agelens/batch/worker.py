"""The process that estimates: it reads the pictures of a shard and tells what is in each.

``python -m agelens.batch.worker`` reads JSON lines from its standard input: first the `Settings`,
then requests: a shard, the number of the first picture, and whether only that one is wanted. It
answers with JSON lines: ``begin`` before a picture, its rows after it, ``end`` after the last.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import warnings
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

import cv2

from agelens import __version__
from agelens.batch.reading import Loaded, pictures_of
from agelens.batch.settings import OUT_OF_MEMORY, Settings
from agelens.batch.shards import Shard
from agelens.batch.storage import StorageError
from agelens.errors import AgelensError, ImageError
from agelens.estimator import AgeEstimator
from agelens.faces import Faces
from agelens.files import short_name
from agelens.pipeline.images import copied_info

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
            except (MemoryError, AgelensError):
                raise  # not the picture's fault
            except Exception as problem:  # noqa: BLE001 - one picture never costs the others
                error = f"reading it failed ({type(problem).__name__}: {problem})"
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
        place = f"annotated/{shard}/{number:06d}-{PurePosixPath(name).name}"
        folder, _, file = place.rpartition("/")
        file = short_name(file if file.lower().endswith((".jpg", ".jpeg")) else f"{file}.jpg")
        stream = io.BytesIO()
        kept = {} if faces.image is None else copied_info(faces.image)
        faces.draw().save(stream, "JPEG", quality=92, **kept)
        output = self._settings.output.rstrip("/")
        self._settings.target.write(f"{output}/{folder}/{file}", stream.getvalue())
        return f"{folder}/{file}"


def main() -> None:
    """Work until whoever started this process closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints is no answer
    cv2.setNumThreads(1)  # there is a process for each processor
    warnings.simplefilter("ignore")  # Pillow's on sizes; the estimator has its limit
    if sys.platform == "linux":  # short of memory, let the kernel end this and not the run
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")

    def say(**line: Any) -> None:
        _say(answers, line)

    with suppress(BrokenPipeError, KeyboardInterrupt):
        values = json.loads(sys.stdin.readline())
        settings = Settings(**values | {"at_least": tuple(values["at_least"])})
        try:
            estimating = Estimating(settings)
            say(ready=True)
            for line in sys.stdin:
                request = json.loads(line)
                shard = Shard.from_json(request["shard"])
                start, alone = request["start"], request["alone"]
                _do(shard, start, alone, settings, estimating, say)
        except StorageError as error:
            say(unfinished=str(error))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except AgelensError as error:
            say(failed=str(error))


def _do(
    shard: Shard, start: int, alone: bool, settings: Settings, estimating: Estimating, say: Any
) -> None:
    with closing(pictures_of(shard, settings.source, start, ahead=not alone)) as pictures:
        for number, loaded in enumerate(pictures, start):
            say(begin=loaded.name)
            say(**estimating.rows(loaded, shard.name, number))
            if alone:
                say(end=False)
                return
    say(end=True)


def _say(answers: IO[str], line: Line) -> None:
    answers.write(f"{json.dumps(line)}\n")
    answers.flush()


if __name__ == "__main__":
    main()

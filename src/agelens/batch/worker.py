"""The process that estimates: it reads the pictures of a shard and tells what is in each.

``python -m agelens.batch.worker`` reads JSON lines from its standard input: first the `Settings`,
then requests: a shard, the number of the first picture, and whether only that one is wanted. It
answers with JSON lines: ``begin`` before a picture, its rows after it, ``end`` after the last.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

import cv2

from agelens.batch.estimating import Estimating, Line
from agelens.batch.reading import pictures_of
from agelens.batch.settings import OUT_OF_MEMORY, Settings
from agelens.batch.shards import Shard
from agelens.batch.storage import StorageError
from agelens.errors import AgelensError


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

"""Measure this machine: each step, pictures a second, and a fresh process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from agelens.benchmark.machine import machine
from agelens.benchmark.process import fresh_processes
from agelens.benchmark.steps import throughput, time_steps, time_totals
from agelens.draw import draw_face
from agelens.errors import UnreadableImageError
from agelens.estimator import AgeEstimator
from agelens.parallel import Progress, default_jobs, silent
from agelens.pictures import find_pictures

DRAWN = "a drawn face"


def benchmark(
    paths: Sequence[str] = (),
    *,
    model: str = "light",
    threads: Sequence[int] = (),
    repeat: int = 50,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure. The figures mean something only on a machine that does nothing else.

    Args:
        paths: files, folders or globs; by default a drawn face of 640 x 640 pixels.
        model: a shipped model's name or a model file.
        threads: numbers of threads that share one estimator, each with a picture at a time; by
            default 1, 2, and one a processor.
        repeat: how often each picture is estimated for each figure, after once to warm up.
        progress: told of each part that is done.

    Returns:
        ``machine``, ``model``, ``repeat``; ``pictures``, each with its ``path`` and number of
        ``faces``; ``milliseconds``, on one thread, of each of `STEPS` and ``total``: ``mean`` and
        percentiles, of pictures with a face; ``as_it_comes``, the same of the total where
        `AgeEstimator` chooses its threads; ``images_per_second`` by number of threads; and
        ``fresh_process``, which is ``agelens predict`` of the first picture with a face, started
        `FRESH_RUNS` times.

    Raises:
        BenchmarkError: no picture shows a face, or a measured process fails.
        ImageError: a picture cannot be read.
        ModelError: the model file cannot be used.
    """
    counts = sorted(set(threads or (1, 2, default_jobs())))
    parts = 3 + len(counts)
    about = machine()
    with tempfile.TemporaryDirectory(prefix="agelens-benchmark-") as folder:
        files = _files(paths) or [draw_face(Path(folder, "drawn.jpg"))]
        cv2.setNumThreads(1)  # as the estimator; the process is left so
        steps, faces = time_steps(files, model, repeat)
        progress(1, parts)
        shown = [file for file, count in zip(files, faces, strict=True) if count]
        usual = time_totals(shown, model, repeat)
        progress(2, parts)
        estimator = AgeEstimator(model, threads=1)
        rates = {}
        for done, count in enumerate(counts, 3):
            rates[str(count)] = throughput(estimator, files, count, repeat)
            progress(done, parts)
        first = shown[0]
        own = [sys.executable, "-m", "agelens", "predict", first, "-f", "json", "--model", model]
        fresh = fresh_processes({"agelens": own})
        progress(parts, parts)
        return {
            "machine": about,
            "model": model,
            "repeat": repeat,
            "pictures": [
                {"path": name, "faces": count}
                for name, count in zip(files if paths else [DRAWN], faces, strict=True)
            ],
            "milliseconds": steps,
            "as_it_comes": {"milliseconds": {"total": usual}},
            "images_per_second": rates,
            "fresh_process": fresh["agelens"],
        }


def _files(paths: Sequence[str]) -> list[str]:
    pictures = [picture for path in paths for picture in find_pictures(path)]
    for picture in pictures:
        if picture.problem is not None:
            raise UnreadableImageError(picture.name, picture.problem)
    return [picture.name for picture in pictures]

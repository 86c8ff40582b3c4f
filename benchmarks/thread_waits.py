"""Milliseconds of a picture by threads, with ONNX Runtime's idle threads asleep or waiting busily.

    python benchmarks/thread_waits.py examples/astronaut.jpg --json FILE

Asleep is what `agelens.session.open_session` sets; busy is ONNX Runtime's own default.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from unittest import mock

import onnxruntime

from agelens import AgeEstimator
from agelens.evaluation.report import write_json
from agelens.images import load_image


class BusyOptions(onnxruntime.SessionOptions):
    """Session options whose threads wait busily, whatever is asked for."""

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Set an option, except that one."""
        busy = key == "session.intra_op.allow_spinning"
        super().add_session_config_entry(key, "1" if busy else value)


def milliseconds(model: str, threads: int, photo: Path, repeat: int) -> float:
    """Median time of a decoded picture, after five that warm up."""
    estimator, image = AgeEstimator(model, threads=threads), load_image(photo)
    times = []
    for _ in range(repeat + 5):
        start = time.perf_counter()
        estimator.estimate(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--models", nargs="+", default=["light", "resnet50", "best"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 0])
    parser.add_argument("--repeat", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for model in options.models:
        for threads in options.threads:
            times = [milliseconds(model, threads, options.photo, options.repeat)]
            with mock.patch("onnxruntime.SessionOptions", BusyOptions):
                times.append(milliseconds(model, threads, options.photo, options.repeat))
            row = dict(zip(("asleep", "busy"), (round(t, 1) for t in times), strict=True))
            rows.append({"model": model, "threads": threads} | row)
            print(json.dumps(rows[-1]))
    machine = {"platform": platform.platform(), "cpus": os.cpu_count()}
    if options.json:
        write_json({"machine": machine, "milliseconds": rows}, options.json)


if __name__ == "__main__":
    main()

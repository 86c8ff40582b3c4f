"""Time of a crop and peak memory of a model, by how many crops a call of its networks takes.

    python research/batch_sizes.py --json FILE

On one thread, 64 crops, a process for each size; why `agelens.pipeline.model.BATCH` is what it is.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from agelens.benchmark.machine import machine
from agelens.files import write_json
from agelens.pipeline import model as module

CROPS = 64


def measure(name: str, size: int) -> dict[str, float]:
    """Of this process: to be called once in each."""
    module.BATCH = size
    model = module.AgeModel(name, threads=1)
    shape = (CROPS, model.size, model.size, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model.predict(crops)
        times.append(1000 * (time.perf_counter() - start) / CROPS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"batch": size, "milliseconds": round(min(times), 2), "peak_mib": round(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="light")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.model, options.one)))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--model", options.model, "--one", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        print(rows[-1])
    if options.json:
        write_json({"model": options.model, "rows": rows, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()

"""Where the time and memory of a fresh process with one photo go, and what would save some.

    python research/start.py examples/astronaut.jpg --json research/results/start.json

Each line is a process of its own that does what those before do and one thing more, or the same in
another way; all are run in turn. Linux and macOS only, because it needs `os.wait4`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIBRARIES = "import numpy, cv2, onnxruntime, PIL.Image"
OPEN = "from agelens import AgeEstimator; estimator = AgeEstimator()"
ESTIMATE = f"{OPEN}; estimator.estimate(sys.argv[1])"
CHANGED = """
import onnxruntime
class Options(onnxruntime.SessionOptions):
    def __init__(self):
        super().__init__()
        self.{} = {}
onnxruntime.SessionOptions = Options
"""
UNOPTIMISED = CHANGED.format(
    "graph_optimization_level", "onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL"
)
COMMAND = "from agelens.{} main; sys.argv[1:1] = ['predict']; main()"
CASES = {
    "python": "pass",
    "numpy": "import numpy",
    "numpy, OpenCV, ONNX Runtime, Pillow": LIBRARIES,
    "agelens imported": "import agelens",
    "networks opened": OPEN,
    "networks opened, graphs not optimised": UNOPTIMISED + OPEN,
    "a photo estimated": ESTIMATE,
    "a photo estimated, no memory arena": CHANGED.format("enable_cpu_mem_arena", False) + ESTIMATE,
    "a photo estimated, no memory pattern": CHANGED.format("enable_mem_pattern", False) + ESTIMATE,
    "agelens predict": COMMAND.format("__main__ import"),
    "agelens predict, ended by Python": COMMAND.format("cli import"),
    "agelens predict, ended by Python, all commands imported": COMMAND.format("cli import app,"),
}
RSS_UNITS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def run(code: str, photo: Path) -> tuple[float, float]:
    """Milliseconds and peak MiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{code}", photo], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {code}")
    return 1e3 * (time.perf_counter() - start), usage.ru_maxrss / RSS_UNITS_PER_MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for turn in range(options.repeat + 1):
        for name, code in CASES.items():
            measured = run(code, options.photo)
            if turn:  # the first warms the file cache
                figures[name].append(measured)
    cases = {}
    for name, own in figures.items():
        times, peaks = zip(*own, strict=True)
        cases[name] = {
            "milliseconds": round(statistics.median(times), 1),
            "peak MiB": round(statistics.median(peaks), 1),
        }
    # Not before: Linux counts what this process holds towards the peaks of those that it starts.
    from agelens.benchmark.machine import machine
    from agelens.files import write_json
    from agelens.reporting.command import recorded_command

    report = {"command": recorded_command(), "machine": machine(), "runs": options.repeat}
    print(json.dumps(cases, indent=2))
    if options.json:
        write_json(report | {"cases": cases}, options.json)


if __name__ == "__main__":
    main()

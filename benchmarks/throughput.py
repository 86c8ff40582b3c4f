"""Pictures a second of the ways to read many pictures, in one run, each by turns.

    python benchmarks/throughput.py examples/astronaut.jpg --json benchmarks/results/throughput.json

`estimate_many` against `agelens predict`, and `agelens predict` with a file of rows and progress
against without, of which at least 0.97 is wanted. Each way is a process of its own over the same
copies of the picture that is given; its pictures a second are those of the whole process. Ratios
are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from agelens.benchmark.machine import machine
from agelens.files import atomic_path

MANY = """
import json, sys
from contextlib import suppress
from pathlib import Path
from agelens import AgeEstimator
paths = sorted(Path(sys.argv[1]).iterdir())
for faces in AgeEstimator().estimate_many(paths):
    print(json.dumps(faces.to_dict()))
"""


def seconds(command: list[str], *, terminal: bool = False) -> float:
    """How long a process takes; with `terminal` its stderr is one, so that it shows progress."""
    start = time.perf_counter()
    if terminal:
        reading, writing = pty.openpty()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writing) as process:
            os.close(writing)
            with suppress(OSError):  # Linux's way to say that the other end is closed
                while os.read(reading, 4096):
                    pass
        os.close(reading)
        code = process.returncode
    else:
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        raise SystemExit(f"{command}: exit code {code}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "pictures")
        folder.mkdir()
        for index in range(options.pictures):
            copy = folder / f"{index:05d}{options.photo.suffix}"
            copy.write_bytes(options.photo.read_bytes())
        predict = [sys.executable, "-m", "agelens", "predict", str(folder)]
        ways = {
            "predict": ([*predict, "-f", "jsonl"], False),
            "estimate_many": ([sys.executable, "-c", MANY, str(folder)], False),
            "predict with progress and Parquet": ([*predict, "-o", f"{name}/rows.parquet"], True),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(options.rounds + 1):
            for way, (command, terminal) in ways.items():
                rate = options.pictures / seconds(command, terminal=terminal)
                if turn:  # the first warms the file cache
                    rates[way].append(round(rate, 2))
    ratios = {
        way: round(median(a / b for a, b in zip(own, rates["predict"], strict=True)), 3)
        for way, own in rates.items()
    }
    report = {
        "pictures": options.pictures,
        "pictures_per_second": {way: median(own) for way, own in rates.items()},
        "ratio_to_predict": ratios,
        "rounds": rates,
        "machine": machine(),
    }
    print(json.dumps({key: report[key] for key in ("pictures_per_second", "ratio_to_predict")}))
    if options.json:
        with atomic_path(options.json) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

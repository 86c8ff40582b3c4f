"""Kills a run at random, and compares its rows with those of an undisturbed one.

    python benchmarks/kill_batch.py examples/astronaut.jpg --json benchmarks/results/kill-batch.json

Each kill is a `kill -9` of a process that estimates, of the driver, or of the door to the S3 server
for some seconds; `--resume` goes on after each of the driver. The pictures are in a bucket, the
rows in a folder. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from s3_door import remote

from agelens.benchmark.machine import machine
from agelens.files import write_json
from agelens.reporting.command import recorded_command

SOURCE = "s3://pictures/in"


def rows(output: Path, kind: str) -> list[dict[str, Any]]:
    """All rows, without the seconds that each took."""
    table = ds.dataset(output / kind, format="parquet").to_table()
    return table.drop_columns(
        [name for name in ("seconds",) if name in table.column_names]
    ).to_pylist()


def workers_of(pid: int) -> list[int]:
    """The processes that a driver has started."""
    with suppress(OSError):
        lists = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for one in lists for child in one.read_text().split()]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--pictures", type=int, default=6500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--away", type=float, default=20.0, help="Seconds without the server.")
    parser.add_argument("--every", type=float, default=6.0, help="Mean seconds between kills.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chance, done = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name, remote() as server:
        server.fill("pictures", options.photo, options.pictures)

        def start(output: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "agelens", "batch", SOURCE, "-o", f"{name}/{output}"]
            return subprocess.Popen(
                [*command, "--resume", "--shard-size", "50"],
                env=server.variables,
                stderr=subprocess.DEVNULL,
            )

        if start("whole").wait():
            raise SystemExit("the undisturbed run failed")
        driver = start("killed")
        while done.total() < options.kills:
            time.sleep(chance.expovariate(1 / options.every))
            if driver.poll() is not None:
                print(f"it was through after {done.total()} kills; take more --pictures")
                break
            kind = chance.choice(("worker", "driver", "server"))
            if kind == "worker":
                if not (pids := workers_of(driver.pid)):
                    continue
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(pids), signal.SIGKILL)
            elif kind == "driver":
                driver.kill()
                driver.wait()
                driver = start("killed")
            else:
                server.shut()
                time.sleep(options.away)
                server.open()
            done[kind] += 1
        if driver.wait():
            driver = start("killed")
        code = driver.wait()
        same = {
            kind: rows(Path(name, "killed"), kind) == rows(Path(name, "whole"), kind)
            for kind in ("faces", "pictures")
        }
        same["count"] = len(rows(Path(name, "whole"), "pictures")) == options.pictures
    report = {
        "command": recorded_command(),
        "machine": machine(),
        "pictures": options.pictures,
        "kills": dict(done),
        "exit_code": code,
        "same_rows": same,
    }
    print(json.dumps(report))
    if options.json:
        write_json(report, options.json)
    sys.exit(0 if all(same.values()) and done and not code else 1)


if __name__ == "__main__":
    main()

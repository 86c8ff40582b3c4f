"""Load on `agelens serve` from clients on loopback, against a loop of `AgeEstimator.estimate`.

    python benchmarks/service_load.py --clients 1,8,32 --json benchmarks/results/service-load.json
    python benchmarks/service_load.py --soak 20000 --clients 8 --json service-soak.json

The loop runs on one thread and the same bytes, before and after each load; "x loop" is a load's
pictures per second over the mean of the two. "x work" is the processor time of the loop for a
picture over that of the service: it says the same of a machine that does other things too, on which
1.0 would mean that the service adds nothing. Clients keep their connection and send their next
picture when they have their answer. They run on the same machine and take processor time from the
service: `clients_cpu` says how much. A client that is told 503 waits for 50 ms. A soak sends its
requests in 20 parts and reads the memory of the service's processes after each. Linux only: memory
is read from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agelens import AgeEstimator
from agelens.benchmark.machine import machine
from agelens.files import atomic_path
from agelens.reporting.command import recorded_command

ROOT = Path(__file__).resolve().parent.parent
BACK_OFF = 0.05  # seconds that a client waits after a 503
SAMPLE_EVERY = 2.0  # seconds between two looks at the memory, which take some milliseconds
SOAK_PARTS = 20


class Service:
    """A running `agelens serve` and the processes that it has started."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._log = log
        command = [sys.executable, "-m", "agelens", "serve", "--port", str(self.port), *arguments]
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file)

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise SystemExit(f"agelens serve did not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Let it finish what it accepted, and end it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise SystemExit("agelens serve did not stop in 40 seconds") from None

    def processor_seconds(self) -> float:
        """Processor time of all its processes, those that have ended left out."""
        ticks = 0
        for pid in _tree(self._process.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, key: str) -> tuple[float, int]:
        """MiB of all its processes together, and how many they are.

        Args:
            key: "Pss", memory now, of what is shared each one's part; or "VmHWM", the sum of the
                peaks of resident memory, in which what is shared counts in each.
        """
        file = "smaps_rollup" if key == "Pss" else "status"
        found = []
        for pid in _tree(self._process.pid):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
                found += [int(line.split()[1]) for line in lines if line.startswith(f"{key}:")]
        return round(sum(found) / 1024, 1), len(found)


def _tree(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield from _tree(int(child))


def ask(connection: http.client.HTTPConnection, picture: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/v1/estimate", picture, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def load(
    service: Service, pictures: list[bytes], clients: int, requests: int, seconds: float
) -> dict[str, Any]:
    """Send pictures from `clients` at once, until so many are sent or so much time is over."""
    numbers = itertools.count()
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def client() -> list[tuple[int, float]]:
        answers = []
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        while time.monotonic() < end:
            with lock:
                number = next(numbers)
            if number >= requests:
                break
            start = time.perf_counter()
            try:
                status, _ = ask(connection, pictures[number % len(pictures)])
            except (OSError, http.client.HTTPException):
                status = 0
                connection.close()  # the next request opens it again
            answers.append((status, 1000 * (time.perf_counter() - start)))
            if status != 200:
                time.sleep(BACK_OFF)
        connection.close()
        return answers

    busy, start = time.process_time(), time.perf_counter()
    worked = service.processor_seconds()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        memory = [service.memory("Pss")[0]]
        while wait(running, SAMPLE_EVERY).not_done:
            memory.append(service.memory("Pss")[0])
        answers = [answer for one in running for answer in one.result()]
    took = time.perf_counter() - start
    worked = service.processor_seconds() - worked
    statuses = Counter(status for status, _ in answers)
    good = [milliseconds for status, milliseconds in answers if status == 200]
    if not good:
        raise SystemExit(f"{clients} clients: no request was answered: {dict(statuses)}")
    return {
        "clients": clients,
        "requests": len(answers),
        "seconds": round(took, 2),
        "requests_per_second": round(len(good) / took, 2),
        "milliseconds": {
            f"p{percent}": round(float(np.percentile(good, percent)), 1) for percent in (50, 95, 99)
        },
        "fraction_503": round(statuses[503] / len(answers), 4),
        "service_cpu_milliseconds": round(1000 * worked / len(answers), 3),
        "failed": len(answers) - statuses[200] - statuses[503],
        "peak_pss_mib": max(memory),
        "clients_cpu": round((time.process_time() - busy) / took, 2),
    }


@dataclass(frozen=True)
class Loop:
    """One thread: pictures a second, and milliseconds of processor time for each."""

    rate: float
    cpu: float


def loop(estimator: AgeEstimator, pictures: list[bytes], seconds: float) -> Loop:
    """Pictures one after the other for so long."""
    start, busy, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        estimator.estimate(pictures[done % len(pictures)])
        done += 1
    took, worked = time.perf_counter() - start, time.process_time() - busy
    return Loop(done / took, 1000 * worked / done)


def measure_loads(
    service: Service, pictures: list[bytes], estimator: AgeEstimator, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Each load between two loops."""
    rows, before = [], loop(estimator, pictures, options.seconds / 2)
    for clients in options.clients:
        row = load(service, pictures, clients, options.requests, options.seconds)
        after = loop(estimator, pictures, options.seconds / 2)
        rate, cpu = (before.rate + after.rate) / 2, (before.cpu + after.cpu) / 2
        row["loop_pictures_per_second"] = round(rate, 2)
        row["ratio_to_loop"] = round(row["requests_per_second"] / rate, 3)
        row["loop_cpu_milliseconds"] = round(cpu, 3)
        row["ratio_of_work"] = round(cpu / row["service_cpu_milliseconds"], 3)
        rows.append(row)
        before = after
    return rows


def check_answers(port: int, pictures: list[bytes], estimator: AgeEstimator) -> None:
    """Both must say the same before their speeds are compared."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for picture in pictures:
        status, body = ask(connection, picture)
        if status != 200:
            raise SystemExit(f"the service answers with status {status}: {body.decode()}")
        served = [face["age"] for face in json.loads(body)["pictures"][0]["faces"]]
        wanted = [face.age for face in estimator.estimate(picture)]
        if not wanted:
            raise SystemExit("a picture shows no face: it would not load the model")
        if len(served) != len(wanted) or not np.allclose(served, wanted, atol=0.01):
            raise SystemExit(f"the service says {served} and AgeEstimator {wanted}")


def measure_soak(
    service: Service, pictures: list[bytes], options: argparse.Namespace
) -> dict[str, Any]:
    """Memory after each part of the requests, and its slope over the second half of them."""
    parts, sent = [], 0
    for _ in range(SOAK_PARTS):
        row = load(service, pictures, options.clients[0], options.soak // SOAK_PARTS, 3600)
        sent += row["requests"]
        pss, processes = service.memory("Pss")
        parts.append({"sent": sent, "pss_mib": pss, "processes": processes} | row)
    half = parts[len(parts) // 2 :]
    slope = np.polyfit([part["sent"] for part in half], [part["pss_mib"] for part in half], 1)[0]
    return {
        "requests": sent,
        "failed": sum(part["failed"] for part in parts),
        "first_mib": parts[0]["pss_mib"],
        "last_mib": parts[-1]["pss_mib"],
        "second_half_mib_per_1000_requests": round(1000 * float(slope), 3),
        "parts": parts,
    }


def print_rows(report: dict[str, Any]) -> None:
    print(f"{report['machine']['processor']}, load before {report['machine']['load_before']}")
    heads = (
        "loop/s",
        "req/s",
        "x loop",
        "x work",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "503",
        "failed",
        "cpu",
        "PSS MiB",
    )
    print(f"{'clients':>8}", *(f"{head:>8}" for head in heads))
    for row in report["load"]:
        times = " ".join(f"{row['milliseconds'][name]:8.1f}" for name in ("p50", "p95", "p99"))
        print(
            f"{row['clients']:8} {row['loop_pictures_per_second']:8.1f} "
            f"{row['requests_per_second']:8.1f} {row['ratio_to_loop']:8.2f} "
            f"{row['ratio_of_work']:8.2f} {times} {row['fraction_503']:8.1%} "
            f"{row['failed']:8} {row['clients_cpu']:8.2f} {row['peak_pss_mib']:8.1f}"
        )
    print(f"{report['processes']} processes, peak RSS summed {report['peak_rss_sum_mib']} MiB")


def print_soak(soak: dict[str, Any]) -> None:
    for part in soak["parts"]:
        rate, failed = part["requests_per_second"], part["failed"]
        print(f"{part['sent']:10} {part['pss_mib']:9.1f} MiB {rate:9.1f} req/s {failed:6} failed")
    print(f"second half: {soak['second_half_mib_per_1000_requests']} MiB per 1,000 requests")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path, help="[default: the example]")
    parser.add_argument("--clients", type=numbers, default=[1, 8, 32], metavar="N,N")
    parser.add_argument("--seconds", type=float, default=20, help="for each number of clients")
    parser.add_argument("--requests", type=int, default=20_000, help="most for each")
    parser.add_argument("--soak", type=int, metavar="N", help="instead: N requests, and memory")
    parser.add_argument(
        "--serve", default="", metavar="OPTIONS", help="of agelens serve: '--jobs 2'"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    if min(options.clients) < 1 or options.seconds <= 0 or options.requests < 1:
        parser.error("--clients, --seconds and --requests must be positive")
    if options.soak is not None and options.soak < SOAK_PARTS:
        parser.error(f"--soak needs at least {SOAK_PARTS} requests")
    if missing := [str(path) for path in options.pictures if not path.is_file()]:
        parser.error(f"{missing[0]}: no such file")
    return options


def main() -> None:
    options = parse()
    paths = options.pictures or [ROOT / "examples" / "astronaut.jpg"]
    pictures = [path.read_bytes() for path in paths]
    report: dict[str, Any] = {
        "command": recorded_command(),
        "machine": machine(),
        "pictures": [path.name for path in paths],
        "serve": options.serve,
    }
    cv2.setNumThreads(1)  # so that the loop is one thread in OpenCV too
    estimator = AgeEstimator(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        service = Service(options.serve.split(), Path(folder, "log"))
        try:
            service.wait_until_ready()
            check_answers(service.port, pictures, estimator)
            if options.soak:
                report["soak"] = measure_soak(service, pictures, options)
            else:
                report["load"] = measure_loads(service, pictures, estimator, options)
            report["peak_rss_sum_mib"], report["processes"] = service.memory("VmHWM")
        finally:
            service.stop()
    print_soak(report["soak"]) if options.soak else print_rows(report)
    if options.json:
        with atomic_path(options.json) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""A thousand workers, some slow, some lost: what is lost to each, and which shards lose least.

    python research/cluster.py --json research/results/cluster.json

Plain simulation, event by event, seeded. A worker takes the next shard when it is free. A shard
takes a time for itself (its request and its two files) and one for its pictures. A worker is slow
by nature with some probability, and is lost at random, as spot machines are: its shard goes back to
the others, and another worker is there after a while. Pictures a second are those that
`benchmarks/throughput.py` measured for a processor.

The losses are parts of all worker-seconds from the first shard to the last: `again` (pictures that
were estimated when their worker was lost), `absent` (until its successor was there), `per_shard`,
`slow` (more than the nominal time), `waiting` (at the end, for the last shards). What is left of 1
are estimates at full speed.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from agelens.files import write_json

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "benchmarks" / "results" / "throughput.json"
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a run meets. Times are in seconds.

    Attributes:
        workers: each of one processor.
        rate: pictures a second of one.
        per_shard: that a shard takes beside its pictures.
        lost_every: mean life of a worker; 0 if none is lost.
        absent: until another is there and has its model.
        slow: probability that a worker is slow.
        slowness: how much longer it takes.
    """

    workers: int
    rate: float
    per_shard: float
    lost_every: float
    absent: float
    slow: float
    slowness: float


def simulate(cluster: Cluster, pictures: int, size: int, seed: int = 0) -> dict[str, float]:
    """The hours that a run takes, and its losses as parts of all worker-seconds."""
    rng = np.random.default_rng(seed)
    count = -(-pictures // size)
    waiting = deque(min(size, pictures - size * number) for number in range(count))
    slowness = np.where(rng.random(cluster.workers) < cluster.slow, cluster.slowness, 1.0)

    def life() -> float:
        return rng.exponential(cluster.lost_every) if cluster.lost_every else float("inf")

    ends = [life() for _ in range(cluster.workers)]
    lost = dict.fromkeys(("again", "absent", "per_shard", "slow"), 0.0)
    useful = last = 0.0
    free = [(0.0, worker) for worker in range(cluster.workers)]
    done: list[tuple[float, int, int]] = []  # shards in work: end or loss, worker, pictures or 0
    idle: list[int] = []

    def begin(now: float, worker: int) -> None:
        if not waiting:
            idle.append(worker)
            return
        inside = waiting.popleft()
        nominal = inside / cluster.rate
        finish = now + cluster.per_shard + nominal * slowness[worker]
        if finish <= ends[worker]:
            heapq.heappush(done, (finish, worker, inside))
            lost["per_shard"] += cluster.per_shard
            lost["slow"] += nominal * (slowness[worker] - 1)
        else:
            lost["again"] += max(0.0, ends[worker] - now)
            heapq.heappush(done, (max(now, ends[worker]), worker, -inside))

    for now, worker in free:
        begin(now, worker)
    while done:
        now, worker, inside = heapq.heappop(done)
        if inside > 0:
            useful += inside / cluster.rate
            last = max(last, now)
        if inside >= 0:  # 0: a successor is there
            begin(now, worker)
            continue
        waiting.appendleft(-inside)
        back = now + cluster.absent
        lost["absent"] += cluster.absent
        ends[worker] = back + life()
        slowness[worker] = cluster.slowness if rng.random() < cluster.slow else 1.0
        if idle:  # somebody else takes it at once
            other = idle.pop()
            if ends[other] <= now:  # lost while it had nothing to do
                ends[other] = now + life()
            begin(now, other)
            idle.append(worker)
        else:
            heapq.heappush(done, (back, worker, 0))
    total = cluster.workers * last
    parts = {name: value / total for name, value in lost.items()}
    return {
        "hours": last / 3600,
        "useful": useful / total,
        **parts,
        "waiting": max(0.0, 1 - useful / total - sum(parts.values())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--per-shard", type=float, default=0.3)
    parser.add_argument("--lost-every", type=float, default=4 * 3600, help="Mean life, seconds.")
    parser.add_argument("--absent", type=float, default=120, help="Until another is there.")
    parser.add_argument("--slow", type=float, default=0.02, help="Probability of a slow worker.")
    parser.add_argument("--slowness", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measured = json.loads(MEASURED.read_text("utf-8"))
    rate = measured["pictures_per_second"]["predict"] / measured["machine"]["processors"]
    cluster = Cluster(
        options.workers, rate, options.per_shard, options.lost_every, options.absent,
        options.slow, options.slowness,
    )  # fmt: skip
    rows = {size: simulate(cluster, options.pictures, size) for size in SIZES}
    names = list(next(iter(rows.values())))
    print("shard   " + "  ".join(name.rjust(9) for name in names))
    for size, row in rows.items():
        cells = (f"{row[name]:9.2f}" if name == "hours" else f"{row[name]:9.2%}" for name in names)
        print(f"{size:>7,} " + "  ".join(cells))
    if options.json:
        report = {"cluster": asdict(cluster), "pictures": options.pictures, "shards": rows}
        write_json(report, options.json)


if __name__ == "__main__":
    main()

"""How far a run is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agelens.batch.plan import Plan
from agelens.batch.settings import Counts


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is, with what earlier runs did.

    Attributes:
        pictures: that are done.
        listed: pictures until now; those in tars and row groups are counted when they are read.
        failed: pictures that could not be read in this run.
        per_second: pictures a second of this run.
        seconds: since it began.
        seconds_left: None while not everything is listed.
    """

    pictures: int
    listed: int
    failed: int
    per_second: float
    seconds: float
    seconds_left: float | None


class Tally:
    """Counts what is done, from any number of threads.

    Args:
        plan: what there is to do.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._start = plan, time.monotonic()
        self._lock = threading.Lock()
        self._pictures = self._known = self._failed = self._shards = self._known_shards = 0

    def add(self, failed: bool) -> None:
        """One more picture."""
        with self._lock:
            self._pictures += 1
            self._failed += failed

    def skip(self, pictures: int) -> None:
        """A shard that was done before, with so many pictures as far as is known."""
        with self._lock:
            self._known += pictures
            self._known_shards += 1

    def finish(self, shard: Counts, *, counted: bool = True) -> None:
        """One more shard; `counted` if its pictures have been added one by one."""
        with self._lock:
            self._shards += 1
            if not counted:
                self._pictures += shard.pictures
                self._failed += shard.failed

    def status(self) -> Status:
        """How far it is now."""
        with self._lock:
            seconds = time.monotonic() - self._start
            pictures, plan = self._pictures + self._known, self._plan
            rate = self._pictures / max(seconds, 1e-9)
            left: float | None = None
            if plan.complete and plan.only_lists and rate:
                left = max(0, plan.pictures - pictures) / rate
            elif plan.complete and self._shards:  # tars are thought to be of one size
                left = seconds / self._shards * (plan.shards - self._shards - self._known_shards)
            listed = max(plan.pictures, pictures)
            return Status(pictures, listed, self._failed, rate, seconds, left)


@contextmanager
def reporting(
    tally: Tally, report: Callable[[Status], None] | None, every: float
) -> Iterator[None]:
    """Tell `report` how far it is every so many seconds, and at the end."""
    if report is None:
        yield
        return
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(every):
            report(tally.status())

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    report(tally.status())

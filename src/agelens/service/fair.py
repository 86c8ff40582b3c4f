"""The queue of pictures: the client that has used the least processor time is next."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from agelens.service.costs import Costs

MAX_IDLE = 10_000
"""Idle clients that are remembered; the one that is idle for longest is forgotten first."""


class Job(Protocol):
    """A picture that waits."""

    client: str
    costly: bool
    came: float  # in seconds, of a clock that is the same for all

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(slots=True)
class _Client(Generic[AnyJob]):
    used: float  # virtual time: seconds used, counted from the same start for all
    costs: Costs
    waiting: deque[AnyJob] = field(default_factory=deque)
    pending: Counter[int] = field(default_factory=Counter)
    """Sizes of those that wait, or whose bytes are still arriving."""
    in_work: dict[AnyJob, float] = field(default_factory=dict)  # and expected seconds

    @property
    def idle(self) -> bool:
        """Whether nothing of it is known to come."""
        return not self.waiting and not self.pending and not self.in_work

    @property
    def pending_seconds(self) -> float:
        """What those that are pending are expected to take."""
        return sum(self.costs.seconds(size) * count for size, count in self.pending.items())


class FairQueue(Generic[AnyJob]):
    """Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) by measured seconds.

    What a client has used counts from when it was last idle: nobody saves up. One who sends costly
    pictures delays the others by no more than the pictures that are in work.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client[AnyJob]] = {}  # those that are not idle
        self._idle: OrderedDict[str, _Client[AnyJob]] = OrderedDict()
        self._now = 0.0  # virtual time at which the newest picture was started
        self._costs = Costs()

    def __len__(self) -> int:
        return sum(len(client.waiting) for client in self._clients.values())

    def announce(self, name: str, size: int) -> None:
        """Count a picture of so many bytes, which are still arriving."""
        self._known(name).pending[size] += 1

    def arrived(self, name: str, size: int) -> None:
        """Count it no more: it is pushed now, or it does not come."""
        _less(self._known(name).pending, size)
        self._rest(name)

    def push(self, job: AnyJob) -> None:
        """Add a picture, or one that was taken again: behind those of its client that came before.

        Not before all others: a picture that only turns out to be costly when it is taken would
        pass those that turned out so before it, and the first would wait for ever.
        """
        client = self._known(job.client)
        client.pending[job.size] += 1
        place = bisect_right(client.waiting, job.came, key=lambda other: other.came)
        client.waiting.insert(place, job)

    def pop(self, *, costly: bool) -> AnyJob | None:
        """Take the next picture, None if there is none; a costly one only if `costly` is set."""
        for name, client in sorted(self._clients.items(), key=lambda item: item[1].used):
            for job in tuple(client.waiting):
                if not job.abandoned and job.costly and not costly:
                    continue
                client.waiting.remove(job)
                _less(client.pending, job.size)
                if not job.abandoned:
                    self._now = max(self._now, client.used)
                    client.in_work[job] = client.costs.seconds(job.size)
                    client.used += client.in_work[job]
                    return job
            self._rest(name)
        return None

    def charge(self, job: AnyJob, seconds: float | None) -> None:
        """Say what a picture that was taken has cost; None if it was not worked on."""
        client = self._known(job.client)
        client.used -= client.in_work.pop(job)  # which `pop` has counted
        if seconds is not None:
            client.used += seconds
            client.costs.learn(job.size, seconds)
            self._costs.learn(job.size, seconds)
        self._rest(job.client)

    def work_ahead(self, name: str) -> float:
        """Seconds of work that would be done before the next picture of this client is started."""
        own = self._clients.get(name)
        before = own.pending_seconds if own else 0.0
        turn = before + self._costs.seconds(0)
        others = (client for client in self._clients.values() if client is not own)
        return before + sum(min(client.pending_seconds, turn) for client in others)

    def work_begun(self) -> float:
        """Seconds that the pictures in work still need, thought to be half of the whole."""
        return sum(sum(client.in_work.values()) / 2 for client in self._clients.values())

    def _known(self, name: str) -> _Client[AnyJob]:
        """A client that something is about to be known of."""
        client = self._clients.get(name)
        if client is None:
            client = self._idle.pop(name, None) or _Client(self._now, Costs(self._costs))
            client.used = max(client.used, self._now)
            self._clients[name] = client
        return client

    def _rest(self, name: str) -> None:
        """Let a client be idle, if it is."""
        if self._clients[name].idle:
            self._idle[name] = self._clients.pop(name)
            if len(self._idle) > MAX_IDLE:
                self._idle.popitem(last=False)


def _less(pending: Counter[int], size: int) -> None:
    pending[size] -= 1
    if not pending[size]:
        del pending[size]

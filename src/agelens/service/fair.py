"""The queue of pictures: the client that has used the least processor time is next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

FIRST_GUESS = 0.05
"""Seconds that a picture is thought to take before any has been measured."""
SMOOTHING = 0.2
"""How much the newest picture counts in a mean."""
MAX_CLIENTS = 10_000
"""Clients that are remembered; idle ones above this are forgotten, oldest first."""


class Job(Protocol):
    """A picture that waits."""

    client: str
    costly: bool

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(slots=True)
class _Client(Generic[AnyJob]):
    used: float  # virtual time: seconds used, counted from the same start for all
    mean: float  # seconds of one of its pictures
    waiting: deque[AnyJob] = field(default_factory=deque)
    coming: int = 0  # pictures that are announced: their bytes are still arriving
    in_work: int = 0

    @property
    def backlog(self) -> float:
        """Seconds of work that wait."""
        return self.mean * (len(self.waiting) + self.coming)


class FairQueue(Generic[AnyJob]):
    """Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) by measured seconds.

    What a client has used counts from when it was last idle: nobody saves up. One who sends costly
    pictures delays the others by no more than the pictures that are in work.
    """

    def __init__(self) -> None:
        self._clients: dict[str, _Client[AnyJob]] = {}
        self._now = 0.0  # virtual time at which the newest picture was started
        self._mean = FIRST_GUESS

    def __len__(self) -> int:
        return sum(len(client.waiting) for client in self._clients.values())

    def announce(self, name: str, pictures: int) -> None:
        """Count pictures whose bytes are still arriving; negative when they have arrived."""
        self._known(name).coming += pictures

    def push(self, job: AnyJob, *, first: bool = False) -> None:
        """Add a picture, behind the others of its client or before them."""
        waiting = self._known(job.client).waiting
        if first:
            waiting.appendleft(job)
        else:
            waiting.append(job)

    def pop(self, *, costly: bool) -> AnyJob | None:
        """Take the next picture, None if there is none; a costly one only if `costly` is set."""
        for client in sorted(self._clients.values(), key=lambda client: client.used):
            for job in tuple(client.waiting):
                if job.abandoned:
                    client.waiting.remove(job)
                elif costly or not job.costly:
                    client.waiting.remove(job)
                    client.in_work += 1
                    self._now = max(self._now, client.used)
                    client.used += client.mean
                    return job
        return None

    def charge(self, name: str, seconds: float | None) -> None:
        """Say what a picture that was taken has cost; None if it was not worked on."""
        client = self._known(name)
        client.in_work -= 1
        client.used -= client.mean  # which `pop` has counted
        if seconds is None:
            return
        client.used += seconds
        client.mean += SMOOTHING * (seconds - client.mean)
        self._mean += SMOOTHING * (seconds - self._mean)

    def work_ahead(self, name: str) -> float:
        """Seconds of work that would be done before the next picture of this client is started."""
        own = self._clients.get(name)
        before = own.backlog if own else 0.0
        turn = before + (own.mean if own else self._mean)
        others = (client for client in self._clients.values() if client is not own)
        return before + sum(min(client.backlog, turn) for client in others)

    def work_begun(self) -> float:
        """Seconds that the pictures in work still need, guessed as half of their means."""
        return sum(client.in_work * client.mean / 2 for client in self._clients.values())

    def _known(self, name: str) -> _Client[AnyJob]:
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                self._forget()
            client = self._clients[name] = _Client(self._now, self._mean)
        elif not client.waiting and not client.in_work:
            client.used = max(client.used, self._now)
        return client

    def _forget(self) -> None:
        idle = [
            name
            for name, client in self._clients.items()
            if not (client.waiting or client.coming or client.in_work)
        ]
        for name in idle[: max(1, len(idle) // 2)]:
            del self._clients[name]

"""Who may ask, and how often."""

from __future__ import annotations

import functools
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from agelens.service.errors import RateError

Key = TypeVar("Key", bound=Hashable)

MAX_CLIENTS = 10_000
"""Clients whose rate is remembered; the one not seen for longest is forgotten first."""


class RateLimiter:
    """So many requests a second of each client, with a burst: a token bucket, kept as one time.

    The generic cell rate algorithm (ITU-T I.371): a request is late or early by the time at which
    it would come in an even flow. It is counted in this process alone.

    Args:
        rate: requests a second; 0 for no limit.
        burst: requests at once.
        clock: seconds.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = self._interval * (burst - 1)
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def check(self, client: str) -> None:
        """Count a request.

        Raises:
            RateError: it came too early; it is not counted.
        """
        if not self._interval:
            return
        due = self.wait(client)
        self._due[client] = due + self._interval
        self._due.move_to_end(client)
        if len(self._due) > MAX_CLIENTS:
            self._due.popitem(last=False)

    def wait(self, client: str) -> float:
        """When a request of this client would be due, without counting one.

        Raises:
            RateError: it would come too early.
        """
        now = self._clock()
        due = max(self._due.get(client, now), now)
        early = due - self._tolerance - now
        if early > 1e-9:
            raise RateError("too many requests; send fewer a second", math.ceil(early))
        return due


@functools.lru_cache(MAX_CLIENTS)
def client_of(host: str | None) -> str:
    """What is counted as one client: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv4 address that a socket for both gives as IPv6 (``::ffff:192.0.2.1``) is an IPv4 address.
    """
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


class Recent(Generic[Key]):
    """What was added within the last so many seconds, at most `MAX_CLIENTS` of it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._added: OrderedDict[Key, float] = OrderedDict()

    def add(self, key: Key) -> None:
        """Remember it from now on."""
        self._added[key] = self._clock()
        self._added.move_to_end(key)
        if len(self._added) > MAX_CLIENTS:
            self._added.popitem(last=False)

    def __contains__(self, key: Key) -> bool:
        return self._clock() - self._added.get(key, -math.inf) < self._seconds

    def __bool__(self) -> bool:
        return bool(self._added)

"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from agelens.service.errors import RateError

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
        now = self._clock()
        due = max(self._due.get(client, now), now)
        wait = due - self._tolerance - now
        if wait > 1e-9:
            raise RateError("too many requests; send fewer a second", math.ceil(wait))
        self._due[client] = due + self._interval
        self._due.move_to_end(client)
        if len(self._due) > MAX_CLIENTS:
            self._due.popitem(last=False)


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


class Keys:
    """The known API keys; none means that everyone may ask."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def known(self, key: str) -> bool:
        """Whether this is one of them, in a time that tells nothing of which, or how nearly."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, digest) for digest in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()

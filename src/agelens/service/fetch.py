"""Pictures from web addresses, and from public ones only.

A name is resolved once for each connection, every address that it has is checked, and the
connection goes to the checked address itself: a second answer of the name server (DNS rebinding) is
never asked for. Redirects are followed here, so each goes through the same check. Proxies of the
environment are not used. TLS still checks the certificate of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore2

from agelens.service.errors import BodyTooLargeError, FetchError, UrlRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[Address]]]

MAX_REDIRECTS = 3
MAX_URL = 2048
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA gives out of IPv6
_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; Pythons differ about its parts
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "168.63.129.16/32",  # Azure's metadata, at an address that looks public
            "100.100.100.200/32",  # Alibaba Cloud's
            "3fff::/20",  # documentation (RFC 9637)
            "fd00:ec2::254/128",  # Amazon's
        ),
    )
)
"""Networks that are refused whatever this Python's `ipaddress` says of them."""
_HEADERS = [("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "agelens")]


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, IPv4 inside IPv6 included.

    6to4 and Teredo, which nobody routes any more (RFC 7526), do not: Pythons differ about them.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        tunnelled = address.sixtofour is not None or address.teredo is not None
        if address not in _UNICAST or tunnelled:
            return False
    if any(address in network for network in _REFUSED):
        return False
    return address.is_global and not address.is_multicast


async def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a name, or of an address in any spelling that the system knows."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that pass, and to nothing else."""

    def __init__(self, allowed: Callable[[Address], bool], resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchError(f"{host}: no such host") from error
        # One private address is enough to refuse: which one is used must not be a matter of luck.
        if not addresses or not all(self._allowed(address) for address in addresses):
            raise UrlRefusedError(f"{host}: not an address of the public internet")
        return await self._inner.connect_tcp(
            str(addresses[0]), port, timeout, local_address, socket_options
        )


class Fetcher:
    """Fetches pictures.

    Args:
        max_bytes: of a picture.
        timeout: seconds for all of it, redirects included.
        ports: that addresses may have.
        allowed: which addresses may be connected to.
        resolve: a name's addresses.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout: float,
        ports: Collection[int] = (80, 443),
        allowed: Callable[[Address], bool] = is_public,
        resolve: Resolve = resolve,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._ports = ports
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=32,
            max_keepalive_connections=0,
            network_backend=_CheckedBackend(allowed, resolve),
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def fetch(self, url: str) -> bytes:
        """The body behind an address.

        Raises:
            UrlRefusedError: not http or https, or not on the public internet.
            FetchError: no answer in time, or not a good one.
            BodyTooLargeError: more than `max_bytes`.
        """
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(MAX_REDIRECTS + 1):
                    moved = await self._get(self._checked(url))
                    if isinstance(moved, bytes):
                        return moved
                    url = urljoin(url, moved)
        except TimeoutError as error:
            raise FetchError(f"the address did not answer in {self._timeout:g} seconds") from error
        except (OSError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise FetchError("the address did not give a good answer") from error
        raise FetchError(f"the address redirects more than {MAX_REDIRECTS} times")

    async def _get(self, url: str) -> bytes | str:
        """The body, or where a redirect leads."""
        async with self._pool.stream("GET", url, headers=_HEADERS) as response:
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in headers:
                return headers[b"location"].decode("latin-1")
            if response.status != 200:
                raise FetchError(f"the address answered with status {response.status}")
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > self._max_bytes:
                    raise BodyTooLargeError(f"the picture has more than {self._max_bytes:,} bytes")
            return bytes(body)

    def _checked(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            known = False
        if (
            not known
            or len(url) > MAX_URL
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise UrlRefusedError("not the http or https address of a picture")
        if parts.username is not None:
            raise UrlRefusedError("addresses with a user name are not fetched")
        if port not in self._ports:
            raise UrlRefusedError(f"addresses with port {port} are not fetched")
        return url

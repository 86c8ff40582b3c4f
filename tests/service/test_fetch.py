"""Pictures from addresses: public ones only."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from serving import PHOTO

from agelens.service.errors import FetchError, UrlRefusedError
from agelens.service.fetch import Fetcher, is_public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "fc00::1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1", "100.64.0.1",
     "fec0::1", "64:ff9b:1::a00:1", "::10.0.0.1", "ff0e::1", "2002:5db8:d822::1",
     "2001:0:4136:e378:8000:63bf:3fff:fdd2",
     "192.0.0.9", "192.88.99.1", "3fff::1", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"],
)  # fmt: skip
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/photo":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PHOTO)
        else:
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_addresses_are_fetched_only_where_they_are_allowed() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    here = ipaddress.ip_address("127.0.0.1")

    async def names(host: str, _port: int) -> list[Any]:
        return [here if host == "photos.example" else ipaddress.ip_address("10.0.0.1")]

    async def fetch(url: str, allowed: Any) -> bytes:
        fetcher = Fetcher(
            max_bytes=1_000_000, timeout=5, ports={port}, allowed=allowed, resolve=names
        )
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    local = f"http://photos.example:{port}"

    def only_here(address: Any) -> bool:
        return bool(address == here)

    try:
        with pytest.raises(UrlRefusedError, match="port 22"):
            asyncio.run(fetch("http://photos.example:22/", only_here))
        assert asyncio.run(fetch(f"{local}/photo", only_here)) == PHOTO
        assert asyncio.run(fetch(f"{local}/to//photo", only_here)) == PHOTO
        for url in (
            f"{local}/to/http://inside.example:{port}/",
            f"{local}/to/file:///etc/passwd",
            "ftp://photos.example/",
            "http://user@photos.example/",
        ):
            with pytest.raises(UrlRefusedError):
                asyncio.run(fetch(url, only_here))
        with pytest.raises(UrlRefusedError, match="public"):
            asyncio.run(fetch(f"{local}/photo", is_public))
        with pytest.raises(FetchError, match="redirects"):
            asyncio.run(fetch(f"{local}/to/{'/to/' * 6}/photo", only_here))
    finally:
        server.shutdown()

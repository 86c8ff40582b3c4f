"""S3 on loopback, as far away as wanted: moto's server, and a door before it that delays requests.

    python benchmarks/s3_door.py PORT SERVER_PORT --delay 0.03

The door is a process of its own, so that it can be killed while the server keeps its files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


async def _pass(reading: asyncio.StreamReader, writing: asyncio.StreamWriter, delay: float) -> None:
    with suppress(ConnectionError):
        while data := await reading.read(1 << 16):
            await asyncio.sleep(delay)
            writing.write(data)
            await writing.drain()
    writing.close()


async def _serve(port: int, server: int, delay: float) -> None:
    async def meet(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", server)
        except OSError:
            writing.close()
            return
        await asyncio.gather(_pass(reading, forth, delay), _pass(back, writing, 0))

    async with await asyncio.start_server(meet, "127.0.0.1", port) as door:
        await door.serve_forever()


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


class Remote:
    """A bucket behind a door.

    Attributes:
        variables: for processes that are to find it.
        client: of boto3, which does not go through the door.
    """

    def __init__(self, delay: float) -> None:
        import boto3

        self._delay, self._server, self._port = delay, free_port(), free_port()
        command = [sys.executable, "-m", "moto.server", "-p", str(self._server)]
        self._moto = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.variables = {
            **os.environ,
            **KEYS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
        }
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._server}",
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self._door: subprocess.Popen[bytes] | None = None
        self.open()
        for port in (self._server, self._port):
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)

    def open(self) -> None:
        """Let requests through."""
        command = [sys.executable, __file__, str(self._port), str(self._server)]
        self._door = subprocess.Popen([*command, "--delay", str(self._delay)])

    def shut(self) -> None:
        """Kill the door: connections break off, and new ones are refused."""
        if self._door is not None:
            self._door.kill()
            self._door.wait()

    def fill(self, bucket: str, photo: Path, count: int) -> None:
        """A bucket with so many copies of a picture below ``in/``."""
        self.client.create_bucket(Bucket=bucket)
        data = photo.read_bytes()
        for index in range(count):
            self.client.put_object(Bucket=bucket, Key=f"in/{index:06d}{photo.suffix}", Body=data)

    def close(self) -> None:
        """End both processes."""
        self.shut()
        self._moto.kill()
        self._moto.wait()


@contextmanager
def remote(delay: float = 0.0) -> Iterator[Remote]:
    """A server for as long as the block."""
    server = Remote(delay)
    try:
        yield server
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("server", type=int)
    parser.add_argument("--delay", type=float, default=0.0, help="Seconds before each request.")
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.server, options.delay))


if __name__ == "__main__":
    main()

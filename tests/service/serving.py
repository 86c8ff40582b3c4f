"""What the service's tests share: pictures, requests, and a service in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conftest import ASTRONAUT
from fastapi.testclient import TestClient
from PIL import Image

PHOTO = ASTRONAUT.read_bytes()
JPEG = {"content-type": "image/jpeg"}
KEY = "a-key-that-is-long-enough"


def picture(width: int, height: int, form: str = "PNG", **options: Any) -> bytes:
    """A black picture."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, form, **options)
    return stream.getvalue()


def noise(width: int, height: int, form: str, **options: Any) -> bytes:
    """A picture with some work for its decoder."""
    stream = io.BytesIO()
    small = Image.effect_noise((width // 8, height // 8), 80).convert("RGB")
    small.resize((width, height)).save(stream, form, **options)
    return stream.getvalue()


def estimate(client: TestClient, body: bytes, **options: Any) -> Any:
    return client.post("/v1/estimate", content=body, headers=JPEG, **options)


class Running:
    """`agelens serve` in a process, on a free port or an open socket."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, port: int, host: str = "127.0.0.1"
    ) -> None:
        self.process, self.port, self.host, self._log = process, port, host, log

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8")

    def connection(self, timeout: float = 30) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def raw(self, sent: bytes = b"", timeout: float = 20) -> socket.socket:
        """A plain connection on which something is sent."""
        plain = socket.create_connection((self.host, self.port), timeout=timeout)
        plain.sendall(sent)
        return plain

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        return self.ask("GET", path, None, headers)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        connection = self.connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait(self, seconds: float = 90) -> None:
        """Return when it is ready."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"agelens serve did not start:\n{self.said}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def start(
    folder: Path,
    *arguments: str,
    port: int | None = None,
    through: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
    **variables: str,
) -> Running:
    """Start a service; its log is in the folder."""
    port = port or free_port()
    log = folder / f"log-{time.monotonic_ns()}"
    command = [*through, sys.executable, "-m", "agelens", "serve", "--jobs", "1", *arguments]
    if not {"--fd", "--uds"} & set(arguments):
        command += ["--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stderr=file, env=os.environ | variables, pass_fds=pass_fds
        )
    return Running(process, log, port)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **options: Any) -> Iterator[Running]:
    """A service that is ready, until the end of the block."""
    running = start(folder, *arguments, **options)
    try:
        running.wait()
        yield running
        running.stop()
        assert "Traceback" not in running.said
    finally:
        running.process.kill()
        running.process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])

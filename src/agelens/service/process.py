"""One decoder process, and the pipes to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from dataclasses import asdict
from typing import cast

from agelens.service.decoder import DecoderSettings, PictureRequest, PictureResult

START_SECONDS = 60.0
"""A decoder that is not ready by then is given up; imports are slow on a loaded machine."""
END_SECONDS = 1.0
"""How long a decoder that has closed its pipes may take to end."""
MAX_ANSWER = 10_000_000
"""Bytes of an answer; a decoder that says more has been taken over."""


class _Pipes(asyncio.SubprocessProtocol):
    """A running process: frames in, and one answer at a time out, in as few steps as there can be.

    Args:
        on_end: called when the process has ended.
    """

    transport: asyncio.SubprocessTransport

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self.closed = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - it has only one
        """Some bytes of an answer."""
        self._received += data
        length = int.from_bytes(self._received[:4], "big")
        if length > MAX_ANSWER:
            self.transport.kill()
        elif len(self._received) >= 4 + length:
            answer = bytes(self._received[4:])
            self._received.clear()
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        """The process reads, or says, no more."""
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(EOFError())

    def process_exited(self) -> None:
        """It has ended, and said all."""
        code = self.transport.get_returncode()
        self.ended.set_result(0 if code is None else code)
        self._on_end()

    async def ask(self, *frames: bytes) -> bytes:
        """Send frames, and wait for the answer.

        Raises:
            EOFError: the process has ended.
        """
        if self.closed or self.ended.done():
            raise EOFError
        self._received.clear()
        self._answer = asyncio.get_running_loop().create_future()
        parts = [part for frame in frames for part in (len(frame).to_bytes(4, "big"), frame)]
        pipe = cast(asyncio.WriteTransport, self.transport.get_pipe_transport(0))
        pipe.write(b"".join(parts))  # at once, so that it wakes up once
        return await self._answer


class DecoderProcess:
    """A decoder process, and those that replace it.

    Args:
        settings: of the decoder.
        on_end: called when a process has ended.
    """

    def __init__(self, settings: DecoderSettings, on_end: Callable[[DecoderProcess], None]) -> None:
        self._settings = settings
        self._on_end = on_end
        self._pipes: _Pipes | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if it is alive."""
        pipes = self._pipes
        return None if pipes is None or pipes.ended.done() else pipes.transport.get_pid()

    async def start(self) -> None:
        """Start a process and wait until it is warm.

        Raises:
            EOFError: it does not start.
        """
        _, self._pipes = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Pipes(functools.partial(self._on_end, self)),
            *(sys.executable, "-m", "agelens.service.decoder"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            start_new_session=True,  # Ctrl-C is for the service, which finishes first
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._pipes.ask(json.dumps(asdict(self._settings)).encode())
        except (TimeoutError, EOFError, OSError) as error:
            code = await self.stop()
            raise EOFError(f"a decoder does not start (exit code {code})") from error

    async def ask(self, data: bytes, request: PictureRequest) -> PictureResult:
        """Let it work on a picture.

        Raises:
            EOFError: the process has ended.
            OSError: likewise.
        """
        assert self._pipes is not None
        return PictureResult.from_frame(await self._pipes.ask(_encoded(request), data))

    async def stop(self) -> int:
        """End the process.

        Returns:
            Its exit code, negative for a signal.
        """
        if self._pipes is None:
            return 0
        if self._pipes.closed:  # it is about to end: a signal now would take its exit code away
            await asyncio.wait([self._pipes.ended], timeout=END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            if not self._pipes.ended.done():
                self._pipes.transport.kill()
        code = await self._pipes.ended
        self._pipes.transport.close()
        return code


@functools.lru_cache(256)
def _encoded(request: PictureRequest) -> bytes:
    return json.dumps(asdict(request)).encode()

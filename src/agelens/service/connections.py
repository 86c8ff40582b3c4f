"""One connection: uvicorn's HTTP protocol, guarded against slow, silent and many clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

STATE = "connections"
"""Where the application's lifespan state holds the `Connections`."""
STOP_SECONDS = 1.0
"""How long a stop waits for the next request of an idle connection, which is told of it."""
RESERVED_FILES = 24
"""File descriptors that are kept for decoders and for fetched addresses."""


@dataclass(eq=False)
class Connections:
    """What the connections of a process share.

    Attributes:
        most: open at once.
        receive_timeout: seconds from a request's first byte to the end of its headers.
        send_timeout: seconds in which a client must take some of its answer.
        idle_timeout: seconds that a connection may wait for a request.
        idle: those that wait for a request, longest first.
        stopping: whether the service is about to end.
    """

    most: int
    receive_timeout: float
    send_timeout: float
    idle_timeout: float
    idle: OrderedDict[GuardedProtocol, None] = field(default_factory=OrderedDict)
    stopping: bool = False

    def __post_init__(self) -> None:
        """Keep within what the system allows."""
        self.most = max(1, min(self.most, _free_files()))


def _free_files() -> int:
    """File descriptors that connections may use."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    with contextlib.suppress(OSError):
        return limit - len(list(Path("/dev/fd").iterdir())) - RESERVED_FILES
    return limit - 2 * RESERVED_FILES


class _Closing:
    """What an answer is written to, which does not end a connection while its request arrives.

    A client that is still sending when its connection is closed is told so by the system, and may
    lose the answer over it: nginx then answers 502 in place of a 401.
    """

    def __init__(self, protocol: GuardedProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol, self._cycle = protocol, cycle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        """Close, once the request has been received."""
        if self._cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


class GuardedProtocol(HttpToolsProtocol):
    """A connection with times for headers and for reading answers, and one that stops gently."""

    _timer: asyncio.TimerHandle | None = None
    _writes: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None
    _lingering = False
    """Whether it is answered, and ends as soon as its request is received."""

    @property
    def _shared(self) -> Connections:
        shared: Connections = self.app_state[STATE]
        return shared

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; if there are too many, the connection that is idle for longest ends."""
        super().connection_made(transport)
        self.timeout_keep_alive = 86_400  # uvicorn's own timer, in place of which is `_timer`
        if len(self.connections) > self._shared.most:
            if self._shared.idle:
                oldest, _ = self._shared.idle.popitem(last=False)
                oldest._abort()
            else:
                self._refuse(503, "Service Unavailable", "too many connections; try again later")
                return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._busy()
        self._gone()
        self._watch_no_more()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has said everything and closed its side; else end."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        if cycle.more_body:
            cycle.disconnected = True
            cycle.message_event.set()
            return False
        cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._busy()
        self._arm(self._shared.receive_timeout, self._headers_late)
        if self.cycle is None or self.cycle.response_complete:
            self._shared.idle[self] = None  # until its headers are complete, it can be given up
            if not self.flow.write_paused:  # it has read the answer before, and asks again
                self._watch_no_more()

    def on_headers_complete(self) -> None:
        """A request is known, and its answer begins."""
        self._busy()
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = _Closing(self, self.cycle)  # type: ignore[assignment]
            if self._shared.stopping:
                self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """A request is received."""
        super().on_message_complete()
        if self._lingering:
            self.transport.close()

    def linger(self) -> None:
        """Drop the rest of a request as it arrives, and close then, or after the idle time."""
        self._lingering = True
        self.flow.resume_reading()
        self._wait()

    def on_response_complete(self) -> None:
        """An answer is written, if not yet read."""
        super().on_response_complete()
        self._watch_writes()  # also of an answer that is closed, and still to be read
        if not self.pipeline and not self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        """The client does not read its answer as fast as it is written."""
        self._watch_no_more()
        self._watch_writes()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read most of what was written."""
        self._watch_no_more()
        super().resume_writing()

    def shutdown(self) -> None:
        """The service stops: the next answer says so; a connection without a request has a moment.

        Closed at once, a client could be sending on it just now, and would fail.
        """
        self._shared.stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self._arm(STOP_SECONDS, self.transport.close)
        else:
            self.cycle.keep_alive = False

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the WebSocket, which has times of its own."""
        self._busy()
        self._watch_no_more()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client could fill the log."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _abort(self) -> None:
        """End at once, whatever is still to be written."""
        self._gone()
        self.transport.abort()

    def _gone(self) -> None:
        """Let the application write no more: uvicorn sees only to the newest request."""
        if self._answering is not None:
            self._answering.disconnected = True

    def _wait(self) -> None:
        """Wait for a request."""
        self._shared.idle[self] = None
        stopping = self._shared.stopping
        self._arm(STOP_SECONDS if stopping else self._shared.idle_timeout, self.transport.close)

    def _busy(self) -> None:
        self._shared.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, seconds: float, action: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, action)

    def _headers_late(self) -> None:
        self._refuse(408, "Request Timeout", "the headers did not arrive in time")

    def _watch_writes(self) -> None:
        """End the connection if its client does not read."""
        left = self.transport.get_write_buffer_size()
        if left and self._writes is None:
            seconds = self._shared.send_timeout
            self._writes = self.loop.call_later(seconds, self._check_writes, left)

    def _watch_no_more(self) -> None:
        if self._writes is not None:
            self._writes.cancel()
            self._writes = None

    def _check_writes(self, before: int) -> None:
        self._writes = None
        if self.transport.get_write_buffer_size() >= before:
            self._abort()
        else:
            self._watch_writes()

    def _refuse(self, status: int, title: str, sentence: str) -> None:
        """Answer without the application, and end the connection."""
        body = json.dumps({"title": title, "status": status, "detail": sentence}).encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, title.encode(), len(body), body)
        )
        self.transport.close()

"""Run the service until it is told to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from agelens.pipeline.model import AgeModel
from agelens.service.app import create_app
from agelens.service.connections import GuardedProtocol
from agelens.service.keys import Keys
from agelens.service.logs import log_config
from agelens.service.settings import Settings, SettingsError

log = logging.getLogger("agelens.service")

BACKLOG = 1024
"""Connections that the system keeps until they are accepted."""


WORKER_SECONDS = 60
"""A worker that says nothing for so long is replaced; on a busy machine, its start is slow."""


class _Workers(Multiprocess):
    """Several processes that share the sockets."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._to_reload: list[Process] = []

    def handle_hup(self) -> None:
        """Let each worker read its API keys again; no work is lost."""
        self._to_reload = list(self.processes)

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._close_their_ends()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended, and pass SIGHUP on to those that are ready for it.

        It would end one that has not begun to listen to it. One that has been replaced meanwhile
        has read the keys anew.
        """
        super().keep_subprocess_alive()
        self._close_their_ends()
        waiting, self._to_reload = self._to_reload, []
        for process in waiting:
            if process not in self.processes or process.pid is None:
                continue
            if process.is_ready(timeout=1):
                os.kill(process.pid, signal.SIGHUP)
            else:
                self._to_reload.append(process)

    def _close_their_ends(self) -> None:
        """Close the workers' ends of the pipes, which are open in this process, too.

        So a worker that ends while its answer is waited for ends the wait, in which a signal such
        as SIGTERM would be left lying for `WORKER_SECONDS`.
        """
        for process in self.processes:
            process.child_conn.close()


def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or Ctrl-C; then finish those that were accepted.

    Raises:
        SettingsError: a setting is impossible, or the address cannot be listened on.
        ModelError: the model file cannot be used.
    """
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again when all is answered
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the keys can be read again
    _raise_file_limit()
    options = {
        "http": GuardedProtocol,
        "ws": "websockets-sansio",
        "ws_max_size": settings.max_body,
        "ws_per_message_deflate": False,  # pictures are compressed already
        "access_log": False,  # `middleware` has its own
        "server_header": False,
        "proxy_headers": False,  # likewise `app`
        "timeout_graceful_shutdown": settings.stop_timeout,
        "backlog": BACKLOG,
        "timeout_worker_healthcheck": WORKER_SECONDS,
        "log_config": log_config(settings.log_format),
    }
    with contextlib.ExitStack() as stack:
        sockets = stack.enter_context(_listening(settings))
        if settings.workers == 1:
            app = create_app(settings)
            server = uvicorn.Server(uvicorn.Config(app, **options))  # type: ignore[arg-type]
            _announce(settings, sockets)
            server.run(sockets)
            if not server.started:
                sys.exit(uvicorn.config.STARTUP_FAILURE)
            return
        Keys(settings)
        for model in settings.model:  # a wrong file is said once, here, and not by every worker
            AgeModel(model).close()
        # Workers are new processes: they take their settings, and the folder for their counts,
        # from the environment.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="agelens-metrics-"))
        os.environ |= settings.to_environment() | {"PROMETHEUS_MULTIPROC_DIR": folder}
        config = uvicorn.Config(
            "agelens.service.app:create_app",
            factory=True,
            workers=settings.workers,
            **options,  # type: ignore[arg-type]
        )
        _announce(settings, sockets)
        _Workers(config, sockets).run()


def _end(_: int, __: FrameType | None) -> None:
    sys.exit(0)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """The sockets to listen on.

    Raises:
        SettingsError: the address is not one of this machine, or it is in use.
    """
    sockets: list[socket.socket] = []
    try:
        if settings.fd is not None:
            sockets.append(socket.socket(fileno=settings.fd))
        elif settings.uds is not None:
            settings.uds.unlink(missing_ok=True)
            sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sockets[0].bind(str(settings.uds))
            settings.uds.chmod(0o660)
        else:
            found = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                sockets.append(_bound(family, address))
        for one in sockets:
            one.listen(BACKLOG)
            one.setblocking(False)
        yield sockets
    except OSError as error:
        place = settings.uds or settings.fd or f"{settings.host}:{settings.port}"
        raise SettingsError(f"{place}: cannot be listened on ({error.strerror})") from error
    finally:
        for one in sockets:
            one.close()
        if settings.uds is not None:
            settings.uds.unlink(missing_ok=True)


def _bound(family: int, address: Any) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # `::` is every address of both kinds, on every system
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def _announce(settings: Settings, sockets: list[socket.socket]) -> None:
    """Say where the service is, and warn if everybody may use it."""
    for one in sockets:
        name = one.getsockname()
        if one.family in (socket.AF_INET, socket.AF_INET6):
            host = f"[{name[0]}]" if one.family == socket.AF_INET6 else name[0]
            log.info("Listening on http://%s:%d", host, name[1])
            if not settings.has_keys and not ipaddress.ip_address(name[0]).is_loopback:
                log.warning(
                    "Everybody who reaches this address may use the service: "
                    "set AGELENS_API_KEYS_FILE, or listen on 127.0.0.1"
                )
        else:
            log.info("Listening on %s", name)


def _raise_file_limit() -> None:
    """Take all file descriptors that this user may have: each connection is one."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""S3 on loopback: moto's server, behind a door that is as bad as a network can be."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.'
    b"</Message></Error>"
)


class Store:
    """A server of S3, and what it does wrong.

    Attributes:
        address: of its door, ``http://127.0.0.1:PORT``.
        refuses: says of a request, by its number and path, whether it is throttled.
        drops: likewise, whether the connection is closed in the middle of the answer.
        down: every connection is closed before it is answered.
        latency: seconds before each answer.
        requests: method and path of each, in their order.
    """

    def __init__(self) -> None:
        self._moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.refuses: Callable[[int, str], bool] = _never
        self.drops: Callable[[int, str], bool] = _never
        self.down = False
        self.latency = 0.0
        self.requests: list[tuple[str, str]] = []
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client: Any = boto3.client(
            "s3", endpoint_url=self.address, region_name="us-east-1",
            aws_access_key_id="key", aws_secret_access_key="secret",
        )  # fmt: skip

    def reset(self) -> None:
        """Let everything be well."""
        self.refuses = self.drops = _never
        self.down, self.latency = False, 0.0
        self.requests.clear()

    def put(self, bucket: str, files: dict[str, bytes]) -> None:
        """Let files be there, without requests."""
        backend = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
        for key, data in files.items():
            backend.put_object(bucket, key, data)

    def close(self) -> None:
        self._server.shutdown()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.requests.append((environ["REQUEST_METHOD"], path))
        number = len(self.requests)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        time.sleep(self.latency)
        if self.down:
            raise ConnectionAbortedError
        if self.refuses(number, path):
            start("503 Slow Down", [("Content-Length", str(len(SLOW_DOWN)))])
            return [SLOW_DOWN]
        answer = self._moto(environ, start)
        return _broken_off(answer) if self.drops(number, path) else answer


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass

    def connection_dropped(self, *_: Any) -> None:
        self.close_connection = True


def _never(_number: int, _path: str) -> bool:
    return False


def _broken_off(answer: Iterable[bytes]) -> Iterator[bytes]:
    whole = b"".join(answer)
    yield whole[: len(whole) // 2]
    raise ConnectionAbortedError


@contextmanager
def running() -> Iterator[Store]:
    """A server for as long as the block."""
    store = Store()
    try:
        yield store
    finally:
        store.close()

"""A client of the service for Python programs, with the results that the package itself gives.

    from agelens.service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        faces = client.estimate("photo.jpg")

It needs nothing but the package. For threads, make one for each.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from agelens.errors import AgelensError
from agelens.faces import Faces
from agelens.types import Face

START_SECONDS = 60.0
"""How long a stream may take to begin: the service starts a process for it."""
RETRIES = 3
"""How often a request is sent again, while the service is busy or begins anew."""


class ServiceError(AgelensError):
    """The service gave no answer, or refused a request.

    Attributes:
        status: of the answer; 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One connection to a service, opened when it is needed.

    Args:
        address: of the service, such as ``https://ages.example.org``.
        key: an API key, if the service needs one.
        timeout: seconds for an answer.
    """

    def __init__(self, address: str, *, key: str | None = None, timeout: float = 30) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ServiceError(f"{address}: not the http or https address of a service")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)
        self._address, self._timeout = address.rstrip("/"), timeout
        self._path = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def estimate(
        self,
        image: str | os.PathLike[str] | bytes,
        *,
        coverage: float | None = None,
        model: str | None = None,
    ) -> Faces:
        """Estimate ages, as `AgeEstimator.estimate` does.

        Args:
            image: a path, or the bytes of an image file.
            coverage: of the intervals; the service's by default.
            model: one of the service's; its first by default.

        Returns:
            The faces, without their distributions: their `at_least` is not known here.

        Raises:
            ServiceError: the picture or the request is refused, or there is no answer.
        """
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        given = {"coverage": coverage, "model": model}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        path = "/v1/estimate" + (f"?{query}" if query else "")
        answer = self._ask("POST", path, data, {"Content-Type": "application/octet-stream"})
        (picture,) = answer["pictures"]
        faces = tuple(map(Face.from_dict, picture["faces"]))
        source = "<bytes>" if isinstance(image, bytes) else os.fspath(image)
        return Faces(faces, source, picture["width"], picture["height"], image=image)

    def track(
        self, frames: Iterable[str | os.PathLike[str] | bytes], *, model: str | None = None
    ) -> Iterator[list[tuple[int, Face]]]:
        """Send the frames of a video one after the other, and follow its faces.

        Args:
            frames: paths, or the bytes of image files, as they come.
            model: one of the service's; its first by default.

        Yields:
            For each frame its faces, each with the number of its person. A person's age settles
            from frame to frame, as with `agelens video`.

        Raises:
            ServiceError: a frame or the request is refused, or there is no answer.
        """
        try:
            from websockets.exceptions import ConnectionClosed, InvalidStatus
            from websockets.sync.client import connect
        except ModuleNotFoundError as error:
            raise ServiceError("following faces needs: pip install 'agelens[web]'") from error
        query = f"?{urlencode({'model': model})}" if model is not None else ""
        address = f"ws{self._address.removeprefix('http')}/v1/stream{query}"
        try:
            with connect(
                address,
                additional_headers=self._headers,
                compression=None,
                open_timeout=max(self._timeout, START_SECONDS),
            ) as socket:
                for frame in frames:
                    socket.send(frame if isinstance(frame, bytes) else Path(frame).read_bytes())
                    answer = json.loads(socket.recv(self._timeout))
                    if "error" in answer:
                        raise ServiceError(answer["error"]["detail"], answer["error"]["status"])
                    yield [(face["track"], Face.from_dict(face)) for face in answer["faces"]]
        except InvalidStatus as refused:
            _read(refused.response.status_code, bytes(refused.response.body or b""))
        except (ConnectionClosed, OSError) as error:
            raise ServiceError(f"the service ended the stream ({error})") from error

    def models(self) -> Sequence[str]:
        """Names of the service's models.

        Raises:
            ServiceError: there is no answer.
        """
        return tuple(self._ask("GET", "/v1/model", None, {})["models"])

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                self._connection.request(method, self._path + path, body, self._headers | headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last:
                    raise ServiceError(f"the service does not answer ({error})") from error
                time.sleep(0.1 * 2**attempt)
                continue
            if answer.status in (429, 503) and not last:
                time.sleep(float(answer.headers.get("Retry-After", 1)))
                continue
            return _read(answer.status, text)
        raise AssertionError("the last attempt returns or raises")


def _read(status: int, text: bytes) -> Any:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ServiceError(f"the answer is not the service's (status {status})", status) from error
    if status != 200:
        raise ServiceError(str(values.get("detail", values)), status)
    return values

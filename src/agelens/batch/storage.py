"""Where pictures and results lie: files of this machine, and every store that fsspec reaches."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from agelens.errors import AgelensError, MissingExtraError, OutputError
from agelens.files import atomic_path

Result = TypeVar("Result")
CHUNK = 4 << 20
"""Bytes of a large file in one request."""
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory", "oci", "oss"}
"""Stores in which an object appears when all of it is there; elsewhere it is renamed at the end."""
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs",
            "abfs": "adlfs", "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp"}  # fmt: skip
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_NETWORK = {"HTTPClientError", "ClientConnectionError", "ClientPayloadError", "ServerError"}
"""Names of the errors of botocore, aiohttp and azure that are no `OSError`, and may pass."""


class StorageError(AgelensError):
    """A store did not answer for as long as it was tried; what was asked for may still be there."""


def is_address(name: str) -> bool:
    """Whether a name is an address such as ``s3://bucket/a.jpg``, and no path of this machine."""
    return re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) is not None


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: the network, a busy or restarted server."""
    status = getattr(error, "status", None)  # of an HTTP answer
    if isinstance(status, int):
        return status in (408, 425, 429) or status >= 500
    if isinstance(error, OSError):
        return not isinstance(error, _FINAL)
    return bool(_NETWORK & {kind.__name__ for kind in type(error).__mro__})


@dataclass(frozen=True, slots=True)
class Storage:
    """Reads and writes addresses and paths; what may pass is tried again, more and more rarely.

    Credentials are those that the store's own tools find: variables, profiles, the machine's role.

    Attributes:
        anonymous: read public buckets without credentials.
        patience: seconds for which a request is tried again.
    """

    anonymous: bool = False
    patience: float = 180.0

    def locate(self, address: str) -> tuple[Any, str]:
        """The file system of an address, and the path in it.

        Raises:
            MissingExtraError: the package for such addresses is not installed.
            AgelensError: there are no such addresses.
        """
        try:
            from fsspec.core import url_to_fs

            kind = address.partition("://")[0].lower()
            options: dict[str, Any] = {}
            if kind in ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"):
                options["use_listings_cache"] = False  # of millions of names, and out of date
                if self.anonymous:
                    options |= {"token": "anon"} if kind in ("gs", "gcs") else {"anon": True}
            files, path = url_to_fs(address, **options)
        except ImportError as error:
            package = PACKAGES.get(kind, error.name or kind) if error.name != "fsspec" else "fsspec"
            raise MissingExtraError(
                f"{address}: needs {package}: pip install 'agelens[batch]' {package}"
            ) from error
        except ValueError as error:
            raise AgelensError(f"{address}: {error}") from error
        return files, path

    def read(self, address: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: it is not there, or may not be read.
            StorageError: the store did not answer.
        """
        if not is_address(address):
            return Path(address).read_bytes()
        files, path = self.locate(address)
        data: bytes = self.patiently(address, lambda: files.cat_file(path))
        return data

    def open(self, address: str) -> IO[bytes]:
        """A large file, to be read piece by piece.

        Raises:
            OSError: it is not there, or may not be read.
            StorageError: the store did not answer; reading raises it, too.
        """
        if not is_address(address):
            return Path(address).open("rb")
        return io.BufferedReader(_Remote(self, address), CHUNK)

    def write(self, address: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
            StorageError: the store did not answer.
        """
        if not is_address(address):
            with atomic_path(Path(address)) as partial:
                partial.write_bytes(data)
            return
        files, path = self.locate(address)

        def put() -> None:
            if address.partition("://")[0].lower() in OBJECT_STORES:
                files.pipe_file(path, data)
            else:
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
                files.pipe_file(f"{path}.partial", data)
                files.mv(f"{path}.partial", path)

        try:
            self.patiently(address, put)
        except OSError as error:
            raise OutputError(f"{address}: cannot be written ({why(error)})") from error

    def remove(self, address: str) -> None:
        """Delete a file that is there."""
        if is_address(address):
            files, path = self.locate(address)
            self.patiently(address, lambda: files.rm_file(path))
        else:
            Path(address).unlink()

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted; none if it is not there.

        Raises:
            StorageError: the store did not answer.
        """
        if not is_address(folder):
            return sorted(one.name for one in Path(folder).glob("*"))
        files, path = self.locate(folder)
        try:
            found: list[str] = self.patiently(folder, lambda: files.ls(path, detail=False))
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def walk(self, folder: str) -> Iterator[str]:
        """Addresses of all files below a folder, at any depth, as the store lists them.

        S3 is listed page by page, other stores folder by folder.

        Raises:
            OSError: it may not be listed.
            StorageError: the store did not answer.
        """
        files, path = self.locate(folder)
        if hasattr(files, "call_s3"):
            yield from self._pages(files, path)
            return
        waiting = [path]
        while waiting:
            here = waiting.pop()
            found = self.patiently(folder, partial(files.ls, here, detail=True))
            inside = sorted(found, key=lambda one: one["name"])
            waiting += [one["name"] for one in reversed(inside) if one["type"] == "directory"]
            for one in inside:
                if one["type"] == "file":
                    yield str(files.unstrip_protocol(one["name"]))

    def glob(self, pattern: str) -> list[str]:
        """Addresses that fit a pattern, sorted."""
        files, path = self.locate(pattern)
        found = self.patiently(pattern, lambda: files.glob(path, detail=True))
        return [
            files.unstrip_protocol(name)
            for name, facts in sorted(found.items())
            if facts["type"] == "file"
        ]

    def patiently(self, address: str, request: Callable[[], Result]) -> Result:
        """The result of a request, which is made again where its error may pass.

        Raises:
            StorageError: it failed in this way for as long as it was tried.
        """
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_delay,
            wait_random_exponential,
        )

        again = Retrying(
            retry=retry_if_exception(may_pass),
            stop=stop_after_delay(self.patience),
            wait=wait_random_exponential(multiplier=0.2, max=15),
            reraise=True,
        )
        try:
            return again(request)
        except Exception as error:
            if may_pass(error):
                raise StorageError(
                    f"{address}: tried for {self.patience:.0f} seconds ({why(error)})"
                ) from error
            raise

    def _pages(self, files: Any, path: str) -> Iterator[str]:
        bucket, _, prefix = path.partition("/")
        request = {"Bucket": bucket, "Prefix": prefix.rstrip("/") + "/" if prefix else ""}
        while True:
            page = self.patiently(
                f"s3://{path}", lambda: files.call_s3("list_objects_v2", **request)
            )
            for one in page.get("Contents", ()):
                if not one["Key"].endswith("/"):
                    yield f"s3://{bucket}/{one['Key']}"
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]


def why(error: BaseException) -> str:
    """What an error says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


class _Remote(io.RawIOBase):
    """A file behind an address, a request for each piece."""

    def __init__(self, storage: Storage, address: str) -> None:
        self._storage, self._address, self._place = storage, address, 0
        self._files, self._path = storage.locate(address)
        self._size = int(storage.patiently(address, lambda: self._files.size(self._path)))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        if end <= self._place:
            return 0
        data = self._storage.patiently(
            self._address, lambda: self._files.cat_file(self._path, self._place, end)
        )
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

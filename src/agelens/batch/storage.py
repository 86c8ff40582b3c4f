"""Where pictures and results lie: files of this machine, and every store that fsspec reaches."""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, TypeVar

from agelens.batch.stores import Store, store_of
from agelens.errors import AgelensError, OutputError
from agelens.files import atomic_path, read_whole

Result = TypeVar("Result")
CHUNK = 4 << 20
"""Bytes of a large file in one request."""
_SAME = {"s3a": "s3", "gcs": "gs", "abfs": "az"}
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_NETWORK = {"HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError"}
_NETWORK |= {"ServiceRequestError", "ServiceResponseError"}
"""Names of the errors of botocore, aiohttp and Azure that are no `OSError`, and may pass."""


class StorageError(AgelensError):
    """A store did not answer for as long as it was tried; what was asked for may still be there."""


def is_address(name: str) -> bool:
    """Whether a name is an address such as ``s3://bucket/a.jpg``, and no path of this machine."""
    return re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) is not None


def place_of(name: str) -> str:
    """A path or an address in the one spelling that all that mean the same place share."""
    kind, _, rest = name.partition("://") if is_address(name) else ("file", "", name)
    kind = kind.lower()
    if kind in ("file", "local"):
        folder, file = os.path.split(os.path.abspath(rest))
        return f"{_real(folder).rstrip('/')}/{os.path.normcase(file)}"
    return f"{_SAME.get(kind, kind)}://{re.sub('/+', '/', rest).strip('/')}"


def inside(folder: str) -> str:
    """How the places of all that is in a folder begin."""
    return place_of(posixpath.join(folder, "_"))[:-1]


@lru_cache(4096)
def _real(folder: str) -> str:
    """A folder without links in its path; asked once, not for each of its files."""
    return os.path.normcase(os.path.realpath(folder)).replace(os.sep, "/")


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: the network, a busy or restarted server."""
    for name in ("status", "status_code", "code"):  # of an HTTP answer, by aiohttp, Azure, gcsfs
        status = getattr(error, name, None)
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

    def store(self, address: str) -> Store:
        """The store of an address.

        Raises:
            MissingExtraError: the package for such addresses is not installed.
            AgelensError: there are no such addresses, or no credentials for them.
        """
        return store_of(address, anonymous=self.anonymous, patience=self.patience)

    def read(self, address: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: it is not there, or may not be read.
            ValueError: the store cannot have such a file.
            StorageError: the store did not answer.
        """
        if not is_address(address):
            return read_whole(address)
        return self.patiently(address, lambda: self.store(address).read(address))

    def open(self, address: str) -> IO[bytes]:
        """A large file, to be read piece by piece; errors are those of `read`, then, too."""
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
        try:
            self.patiently(address, lambda: self.store(address).write(address, data))
        except (OSError, ValueError) as error:
            raise OutputError(f"{address}: cannot be written ({why(error)})") from error

    def remove(self, address: str) -> None:
        """Delete a file that is there."""
        if is_address(address):
            self.patiently(address, lambda: self.store(address).remove(address))
        else:
            Path(address).unlink()

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted; none if it is not there.

        Raises:
            OSError: it may not be listed.
            StorageError: the store did not answer.
        """
        if not is_address(folder):
            return sorted(one.name for one in Path(folder).glob("*"))
        return sorted(self.patiently(folder, lambda: self.store(folder).names(folder)))

    def walk(self, folder: str) -> Iterator[str]:
        """Addresses of all files below a folder, at any depth, as the store lists them.

        Raises:
            OSError: it may not be listed.
            StorageError: the store did not answer.
        """
        return self._listed(folder, lambda after: self.store(folder).walk(folder, after))

    def glob(self, pattern: str) -> Iterator[str]:
        """Addresses that fit a pattern; errors as those of `walk`."""
        return self._listed(pattern, lambda after: self.store(pattern).glob(pattern, after))

    def _listed(self, address: str, begin: Callable[[str], Iterator[str]]) -> Iterator[str]:
        """A listing that goes on after its last address if it breaks off.

        What comes and goes before that address meanwhile shifts nothing.
        """
        last = ""
        listing = begin(last)

        def following() -> str | None:
            nonlocal listing
            try:
                return next(listing, None)
            except Exception:
                listing = begin(last)
                raise

        while (one := self.patiently(address, following)) is not None:
            last = one
            yield one

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
                    f"{address}: tried for {self.patience:g} seconds ({why(error)})"
                ) from error
            raise


def why(error: BaseException) -> str:
    """What an error says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


class _Remote(io.RawIOBase):
    """A file behind an address, a request for each piece."""

    def __init__(self, storage: Storage, address: str) -> None:
        self._storage, self._address, self._place = storage, address, 0
        self._size = storage.patiently(address, lambda: storage.store(address).size(address))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(CHUNK) or b"", b""))

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        if end <= self._place:
            return 0
        store, address = self._storage.store(self._address), self._address
        data = self._storage.patiently(
            address, partial(store.read_range, address, self._place, end)
        )
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

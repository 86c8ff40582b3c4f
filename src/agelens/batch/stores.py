"""The stores behind addresses: S3 through obstore, every other through fsspec.

obstore lists page by page, and leaves the processors to the estimates: its requests are made
outside of Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Any, Protocol, TypeVar

from agelens.errors import AgelensError, MissingExtraError

Result = TypeVar("Result")
S3 = ("s3", "s3a")
PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
            "http": "aiohttp", "https": "aiohttp"}  # fmt: skip
_WHOLE_AT_ONCE = {"gs", "gcs", "az", "abfs", "abfss", "memory"}
"""Where a file appears when all of it is there; elsewhere it is renamed at the end."""


class Store(Protocol):
    """What `agelens.batch.storage` asks for. Paths are whole addresses.

    Every method raises `FileNotFoundError`, `PermissionError`, or whatever the network made of it.
    """

    def read(self, address: str) -> bytes:
        """A whole file."""
        ...

    def read_range(self, address: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`."""
        ...

    def size(self, address: str) -> int:
        """In bytes."""
        ...

    def write(self, address: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        ...

    def remove(self, address: str) -> None:
        """Delete a file."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a folder; empty if there is none."""
        ...

    def walk(self, folder: str, after: str = "") -> Iterator[str]:
        """Addresses of the files at any depth, in the store's order, that follow `after` in it."""
        ...

    def glob(self, pattern: str, after: str = "") -> Iterator[str]:
        """Addresses that fit a pattern, likewise."""
        ...


def store_of(address: str, *, anonymous: bool, patience: float) -> Store:
    """The store of an address, opened once in a process.

    Raises:
        MissingExtraError: the package for such addresses is not installed.
        AgelensError: there are no such addresses, or no credentials for them.
    """
    kind, _, rest = address.partition("://")
    try:
        if kind.lower() in S3:
            return _open_s3(rest.partition("/")[0], anonymous, patience)
        return _Fsspec(address, anonymous=anonymous)
    except ImportError as error:
        package = PACKAGES.get(kind.lower(), error.name or kind)
        raise MissingExtraError(
            f"{address}: needs {package}: pip install 'agelens[batch]' {package}"
        ) from error
    except ValueError as error:
        raise AgelensError(f"{address}: {error}") from error


class _Fsspec:
    def __init__(self, address: str, *, anonymous: bool) -> None:
        from fsspec.core import url_to_fs

        kind = address.partition("://")[0].lower()
        options: dict[str, Any] = {}
        if anonymous:
            options = {"token": "anon"} if kind in ("gs", "gcs") else {"anon": True}
        self._whole_at_once = kind in _WHOLE_AT_ONCE
        self._files, _ = url_to_fs(address, use_listings_cache=False, **options)

    def read(self, address: str) -> bytes:
        return bytes(self._files.cat_file(address))

    def read_range(self, address: str, start: int, end: int) -> bytes:
        return bytes(self._files.cat_file(address, start, end))

    def size(self, address: str) -> int:
        size = self._files.size(address)
        if size is None:
            raise ValueError("the server does not tell its size")
        return int(size)

    def write(self, address: str, data: bytes) -> None:
        if self._whole_at_once:
            self._files.pipe_file(address, data)
        else:
            folder, _, name = address.rpartition("/")
            partial = f"{folder}/.{name}.partial"  # hidden from what reads the folder as a table
            self._files.makedirs(folder, exist_ok=True)
            self._files.pipe_file(partial, data)
            self._files.mv(partial, address)

    def remove(self, address: str) -> None:
        self._files.rm_file(address)

    def names(self, folder: str) -> list[str]:
        try:
            found = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in found]

    def walk(self, folder: str, after: str = "") -> Iterator[str]:
        waiting = [folder]
        while waiting:
            inside = {one["name"].rstrip("/"): one["type"] for one in self._files.ls(waiting.pop())}
            names = sorted(inside)
            waiting += [name for name in reversed(names) if inside[name] == "directory"]
            for name in names:
                address = str(self._files.unstrip_protocol(name))
                if inside[name] == "file" and _place(address) > _place(after):
                    yield address

    def glob(self, pattern: str, after: str = "") -> Iterator[str]:
        found = self._files.glob(pattern, detail=True)
        for name, facts in sorted(found.items()):
            address = str(self._files.unstrip_protocol(name))
            if facts["type"] == "file" and address > after:
                yield address


def _place(address: str) -> list[tuple[bool, str]]:
    """What orders addresses as `_Fsspec.walk` does: a folder's files, then its folders."""
    *folders, name = address.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


@cache
def _open_s3(bucket: str, anonymous: bool, patience: float) -> _S3:
    """A bucket, found and paid for as boto3 does: variables, profiles, roles, endpoints.

    Raises:
        AgelensError: there are no credentials.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = boto3.Session()
    if not anonymous and session.get_credentials() is None:
        raise AgelensError(
            f"s3://{bucket}: no credentials were found; set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or read a public bucket with --anonymous"
        )
    client = session.client("s3", config=Config(signature_version=UNSIGNED if anonymous else None))
    endpoint = str(client.meta.endpoint_url)
    options: dict[str, Any] = {"region": client.meta.region_name or "us-east-1"}
    if endpoint.endswith(".amazonaws.com"):
        options |= {"region": _region_of(bucket, client), "virtual_hosted_style_request": True}
    else:  # MinIO, Ceph, R2 and others
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if anonymous:
        options["skip_signature"] = True
    else:
        options["credential_provider"] = Boto3CredentialProvider(session)
    return _S3(
        bucket,
        S3Store(
            bucket,
            client_options={"allow_http": endpoint.startswith("http://")},
            retry_config={"max_retries": 1000, "retry_timeout": timedelta(seconds=patience)},
            **options,
        ),
    )


def _region_of(bucket: str, client: Any) -> str:
    """Where a bucket is, which S3 tells also to those who may not read it."""
    from botocore.exceptions import ClientError

    try:
        answer = client.head_bucket(Bucket=bucket)["ResponseMetadata"]
    except ClientError as error:
        answer = error.response["ResponseMetadata"]
    return str(answer["HTTPHeaders"].get("x-amz-bucket-region", "us-east-1"))


class _S3:
    def __init__(self, bucket: str, store: Any) -> None:
        self._root, self._store = f"s3://{bucket}", store

    def read(self, address: str) -> bytes:
        return _asked(lambda: bytes(self._store.get(self._key(address)).bytes()))

    def read_range(self, address: str, start: int, end: int) -> bytes:
        range_of = partial(self._store.get_range, start=start, end=end)
        return _asked(lambda: bytes(range_of(self._key(address))))

    def size(self, address: str) -> int:
        return _asked(lambda: int(self._store.head(self._key(address))["size"]))

    def write(self, address: str, data: bytes) -> None:
        _asked(lambda: self._store.put(self._key(address), data))

    def remove(self, address: str) -> None:
        _asked(lambda: self._store.delete(self._key(address)))

    def names(self, folder: str) -> list[str]:
        found = _asked(lambda: self._store.list_with_delimiter(self._key(folder)))
        return [one["path"].rpartition("/")[2] for one in found["objects"]]

    def walk(self, folder: str, after: str = "") -> Iterator[str]:
        pages = iter(self._store.list(self._key(folder) or None, offset=self._key(after) or None))
        while (page := _asked(lambda: next(pages, None))) is not None:
            yield from (f"{self._root}/{one['path']}" for one in page)

    def glob(self, pattern: str, after: str = "") -> Iterator[str]:
        from fsspec.utils import glob_translate

        # Addresses are told as s3://, whatever the pattern begins with.
        fits = re.compile(glob_translate(f"{self._root}/{self._key(pattern)}"))
        folder = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
        return (address for address in self.walk(folder, after) if fits.fullmatch(address))

    def _key(self, address: str) -> str:
        return address.partition("://")[2].partition("/")[2].rstrip("/")


def _asked(request: Callable[[], Result]) -> Result:
    """The result of a request to obstore; its errors as Python's own."""
    from obstore import exceptions

    try:
        return request()
    except exceptions.UnauthenticatedError as error:  # asked again: credentials are renewed
        raise ConnectionError(_short(error)) from error
    except exceptions.PermissionDeniedError as error:
        raise PermissionError(13, "Permission denied") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "No such file") from error
    except exceptions.GenericError as error:
        status = re.search(
            r"status (?:code )?(?:client error )?\(?(\d{3})", str(error), re.IGNORECASE
        )
        final = status and 300 <= int(status[1]) < 500 and status[1] not in ("408", "429")
        if final and "ExpiredToken" not in str(error):
            raise ValueError(_short(error)) from error
        raise ConnectionError(_short(error)) from error
    except exceptions.BaseError as error:
        raise ValueError(_short(error)) from error


def _short(error: Exception) -> str:
    """What went wrong, without the addresses and the layers that obstore names."""
    return " ".join(str(error).split("\n\nDebug source")[0].split())[:300]

"""Storage against a real S3 API on loopback: throttled, broken off, silent, forbidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from agelens import AgelensError
from agelens.batch.storage import Storage, StorageError, may_pass
from agelens.errors import OutputError
from batch.store import Store

DATA = bytes(range(256)) * 40_000
"""Larger than a piece that is read at once."""
ODD = ("a b+c%20&.jpg", "été/顔 [1].jpg", "plus+.png")


@pytest.fixture
def bucket(s3: Store, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")[:60].strip("-").lower()
    s3.client.create_bucket(Bucket=name)
    s3.requests.clear()
    return name


def test_what_is_written_is_read_whatever_its_name(s3: Store, bucket: str) -> None:
    storage, root = Storage(), f"s3://{bucket}/in"
    for name in ODD:
        storage.write(f"{root}/{name}", name.encode())
        assert storage.read(f"{root}/{name}") == name.encode()
    assert sorted(storage.walk(root)) == sorted(f"{root}/{name}" for name in ODD)
    assert list(storage.glob(f"s3://{bucket}/*/*.png")) == [f"{root}/plus+.png"]
    assert storage.names(root) == ["a b+c%20&.jpg", "plus+.png"]
    assert storage.names(f"s3://{bucket}/nothing") == []
    storage.remove(f"{root}/plus+.png")
    assert len(list(storage.walk(f"s3://{bucket}"))) == 2
    keys = {one["Key"] for one in s3.client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {f"in/{name}" for name in ODD[:2]}


def test_a_listing_comes_page_by_page(s3: Store, bucket: str) -> None:
    s3.put(bucket, {f"{index:05d}.jpg": b"" for index in range(2100)})
    listing = Storage().walk(f"s3://{bucket}")
    assert next(listing) == f"s3://{bucket}/00000.jpg"
    assert len(s3.requests) <= 2
    assert len(list(listing)) == 2099
    assert len(s3.requests) == 3


def test_a_listing_that_breaks_off_goes_on_where_it_was(s3: Store, bucket: str) -> None:
    # Odd names are where it goes on: a page has 1000, and is taken in pieces of 50.
    there = sorted(f"in/{index:04d}{'' if index % 50 else ' +%20é'}.jpg" for index in range(2100))
    s3.put(bucket, dict.fromkeys(there, b""))
    for listing in (Storage().walk(f"s3://{bucket}"), Storage().glob(f"s3://{bucket}/in/*.jpg")):
        found = [next(listing)]
        s3.put(bucket, {"in/0000a.jpg": b""})
        gone = there[2:12]
        s3.client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in gone]})
        s3.requests.clear()
        s3.drops = lambda number, _: number % 2 == 1
        found += listing
        assert found == [f"s3://{bucket}/{key}" for key in there]
        s3.reset()
        s3.put(bucket, dict.fromkeys(gone, b""))
        s3.client.delete_object(Bucket=bucket, Key="in/0000a.jpg")


def test_a_listing_of_other_stores_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    names = ["a.jpg", "b.jpg", "c/1.jpg", "c/d/2.jpg", "c-/3.jpg", "e/4.jpg"]
    for name in names:
        store.pipe_file(f"/shop/{name}", b"")
    listed: list[str] = []
    list_folder = MemoryFileSystem.ls

    def broken_off(self: MemoryFileSystem, path: str, **options: Any) -> Any:
        listed.append(path)
        if len(listed) == 3:
            store.rm("/shop/a.jpg")
            raise ConnectionResetError
        return list_folder(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "ls", broken_off)
    try:
        assert [name.partition("shop/")[2] for name in Storage().walk("memory://shop")] == names
    finally:
        store.rm("/shop", recursive=True)


def test_what_may_pass_is_asked_again(s3: Store, bucket: str) -> None:
    storage, address = Storage(), f"s3://{bucket}/x.tar"
    s3.refuses = lambda number, _: number % 3 != 0
    storage.write(address, b"small")
    assert storage.read(address) == b"small"
    assert list(storage.walk(f"s3://{bucket}")) == [address]
    assert len(s3.requests) == 9
    s3.reset()
    s3.put(bucket, {"x.tar": DATA})
    s3.drops = lambda number, _: number % 2 == 1
    assert storage.read(address) == DATA
    assert len(s3.requests) == 2
    with storage.open(address) as stream:
        assert stream.read(10) == DATA[:10]
        assert stream.seek(-5, 2) == len(DATA) - 5
        assert stream.read() == DATA[-5:]
        stream.seek(0)
        assert stream.read() == DATA


def test_a_silent_store_is_told_from_what_is_not_there(s3: Store, bucket: str) -> None:
    storage = Storage(patience=0.5)
    with pytest.raises(FileNotFoundError):
        storage.read(f"s3://{bucket}/nothing.jpg")
    with pytest.raises(FileNotFoundError):
        storage.read(f"s3://{bucket}-not/a.jpg")
    s3.down = True
    for ask in (storage.read, storage.open, lambda name: list(storage.walk(name))):
        with pytest.raises(StorageError, match=rf"s3://{bucket}/a: tried for 0.5 seconds"):
            ask(f"s3://{bucket}/a")
    with pytest.raises(StorageError):
        storage.write(f"s3://{bucket}/a", b"")


def test_credentials_are_the_usual_ones(
    s3: Store, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.client.put_object(Bucket=bucket, Key="a.jpg", Body=b"x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    address = f"s3://{bucket}/a.jpg"
    with pytest.raises(AgelensError, match="no credentials were found; set AWS_PROFILE"):
        Storage(patience=1).read(address)
    profile = "[profile mine]\naws_access_key_id = a\naws_secret_access_key = b\n"
    (tmp_path / "config").write_text(f"{profile}endpoint_url = {s3.address}\n")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert Storage(patience=2).read(address) == b"x"
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.address)
    s3.client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.client.put_object_acl(Bucket=bucket, Key="a.jpg", ACL="public-read")
    assert Storage(anonymous=True, patience=2).read(address) == b"x"


def test_other_addresses_and_files_are_written_whole_too(tmp_path: Path) -> None:
    storage = Storage()
    for address in (
        f"file://{tmp_path}/a/b.bin",
        str(tmp_path / "a" / "b.bin"),
        "memory://a/b.bin",
    ):
        storage.write(address, DATA)
        assert storage.read(address) == DATA
        with storage.open(address) as stream:
            stream.seek(100)
            assert stream.read() == DATA[100:]
        folder = address.rpartition("/")[0]
        assert storage.names(folder) == ["b.bin"]
        storage.remove(address)
        assert storage.names(folder) == []
    with pytest.raises(OutputError, match="cannot be written"):
        storage.write("/dev/null/x", b"")
    with pytest.raises(AgelensError, match="Protocol not known: nowhere"):
        storage.read("nowhere://x")


def test_which_errors_may_pass() -> None:
    class AnswerError(Exception):
        status = 503

    assert may_pass(AnswerError())
    assert may_pass(ConnectionResetError())
    assert not may_pass(FileNotFoundError())
    assert not may_pass(ValueError())
    AnswerError.status = 403
    assert not may_pass(AnswerError())

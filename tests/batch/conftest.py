"""A server of S3 for all tests of batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch.store import Store, running


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Store]:
    with running() as store:
        yield store


@pytest.fixture
def s3(s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The server, known by the usual variables."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.address)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3_server.reset()
    return s3_server

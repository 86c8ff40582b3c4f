"""A whole run from bucket to bucket, over a bad network and past a store that goes away."""

from __future__ import annotations

from typing import Any

import pyarrow.fs

from agelens.batch import Counts, run
from batch.outputs import BROKEN, rows, small
from batch.store import Store

PATHS = [f"s3://shop/in/{index:02d}.png" for index in range(20)]


def parts(s3: Store, kind: str) -> list[dict[str, Any]]:
    files = pyarrow.fs.S3FileSystem(
        access_key="key", secret_key="secret", endpoint_override=s3.address, region="us-east-1"
    )
    return rows("shop/out", kind, files)


def test_bucket_to_bucket(s3: Store) -> None:
    s3.client.create_bucket(Bucket="shop")
    s3.put("shop", {path.removeprefix("s3://shop/"): small() for path in PATHS})
    s3.put("shop", {"in/07.png": BROKEN, "in/notes.txt": b"no picture"})

    # Shards of 16 and 4. What the second one reads is not to be had at first.
    s3.refuses = lambda number, path: number % 7 == 0 or path == "/shop/in/18.png"
    s3.drops = lambda number, _: number % 11 == 0
    first = run("s3://shop/in", "s3://shop/out", jobs=1, shard_size=16, patience=8)
    assert first == Counts(shards=1, pictures=16, faces=15, failed=1, unfinished=1)
    s3.reset()
    counts = run("s3://shop/in", "s3://shop/out", jobs=1, shard_size=16, resume=True)
    assert counts == Counts(shards=2, pictures=20, faces=19, failed=1)
    read = {path for method, path in s3.requests if method == "GET" and path.endswith(".png")}
    assert read == {path.removeprefix("s3:/") for path in PATHS[16:]}

    pictures = parts(s3, "pictures")
    assert [row["path"] for row in pictures] == PATHS
    assert [row["path"] for row in pictures if row["error"]] == [PATHS[7]]
    assert [row["path"] for row in parts(s3, "faces")] == PATHS[:7] + PATHS[8:]

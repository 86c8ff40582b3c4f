"""A picture that ends its process, or never comes, costs itself only."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from agelens import AgelensError
from agelens.batch import Counts
from agelens.batch.settings import Settings
from agelens.batch.shards import Shard
from agelens.batch.supervise import Worker
from batch.outputs import BROKEN, rows, small


@pytest.mark.skipif(os.name == "nt", reason="POSIX named pipes")
def test_a_picture_that_ends_its_process_costs_itself(tmp_path: Path) -> None:
    for name in ("a.png", "c.png", "e.png"):
        (tmp_path / name).write_bytes(small())
    for name in ("b.png", "d.png"):
        os.mkfifo(tmp_path / name)  # who reads it waits
    shard = Shard(names=tuple(str(tmp_path / f"{letter}.png") for letter in "abcde"))
    done: list[bool] = []
    with Worker(Settings(str(tmp_path / "out"), picture_seconds=3)) as worker:

        def kill() -> None:
            """Twice, while b is read; d then takes too long by itself."""
            for _ in range(2):
                while not done:  # a, so that b is the one in work
                    time.sleep(0.01)
                while (writing := _opened(tmp_path / "b.png")) is None:
                    time.sleep(0.01)
                pid = worker.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                while worker.pid == pid:
                    time.sleep(0.01)
                os.close(writing)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        assert worker.do(shard, done.append) == Counts(1, 5, 3, 2)
    assert done == [False, True, False, True, False]
    pictures = rows(tmp_path / "out", "pictures")
    assert [row["path"] for row in pictures] == list(shard.names)
    assert [row["faces"] for row in pictures] == [1, 0, 1, 0, 1]
    assert [row["error"] for row in pictures] == [
        None, "reading it ended the process: signal 9 (SIGKILL), 2 times",
        None, "reading it ended the process: longer than 3 seconds, 2 times", None,
    ]  # fmt: skip


def _opened(pipe: Path) -> int | None:
    """The other end of a named pipe, once somebody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_tars_and_rows_of_bytes_are_read_as_folders_are(tmp_path: Path) -> None:
    files = {
        "1.png": small(),
        "1.json": b"{}",
        "sub/2.png": BROKEN,
        "._1.png": b"",
        "3.PNG": small(),
    }
    for name in ("x.tar", "x.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as tar:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: whole.rindex(small()[:100]) + 1000])
    values: list[Any] = [small(), None, small()]
    table = pa.table({"image": pa.array(values, pa.binary()), "id": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "bare.parquet", row_group_size=2)
    nested = [{"bytes": value, "path": "x"} for value in values]
    parquet.write_table(pa.table({"image": nested}), tmp_path / "nested.parquet")

    def read(shard: Shard) -> list[tuple[str, int, bool]]:
        worker.do(shard)
        part = tmp_path / "out" / "pictures" / f"part-{shard.name}.parquet"
        return [
            (row["path"].removeprefix(str(tmp_path)), row["faces"], row["error"] is not None)
            for row in parquet.read_table(part).to_pylist()
        ]

    with Worker(Settings(str(tmp_path / "out"))) as worker:
        for name in ("x.tar", "x.tar.gz"):
            assert read(Shard(kind="tar", address=str(tmp_path / name))) == [
                (f"/{name}/1.png", 1, False), (f"/{name}/sub/2.png", 0, True),
                (f"/{name}/3.PNG", 1, False),
            ]  # fmt: skip
        cut = read(Shard(kind="tar", address=str(tmp_path / "cut.tar")))
        assert cut[:2] == [("/cut.tar/1.png", 1, False), ("/cut.tar/sub/2.png", 0, True)]
        assert cut[2:] == [("/cut.tar", 0, True)]
        address = str(tmp_path / "bare.parquet")
        second = Shard(kind="rows", address=address, column="image", group=1)
        assert read(second) == [("/bare.parquet#3", 1, False)]
        address = str(tmp_path / "nested.parquet")
        assert read(Shard(kind="rows", address=address, column="image")) == [
            (f"/nested.parquet#{row}", faces, not faces) for row, faces in ((1, 1), (2, 0), (3, 1))
        ]
        missing = Shard(kind="tar", address=str(tmp_path / "no.tar"))
        assert read(missing) == [("/no.tar", 0, True)]


def test_a_model_that_is_none_ends_the_run_with_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with (
        Worker(Settings(str(tmp_path / "out"), model=str(tmp_path / "model.onnx"))) as worker,
        pytest.raises(AgelensError, match=r"model\.onnx: not a model"),
    ):
        worker.do(Shard(names=("a.jpg",)))


@pytest.mark.skipif(os.name == "nt", reason="named pipes")
def test_a_tar_that_cannot_be_opened_in_time_ends_its_shard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tar")  # whose opening waits for whoever writes
    with Worker(Settings(str(tmp_path / "out"), picture_seconds=0.5)) as worker:
        counts = worker.do(Shard(kind="tar", address=str(tmp_path / "x.tar")))
    assert (counts.pictures, counts.failed) == (1, 1)

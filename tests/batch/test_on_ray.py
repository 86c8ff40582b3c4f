"""The engine of Ray gives the same rows, also when its processes are killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import agelens

from agelens import AgelensError
from agelens.batch import Counts, run
from batch.outputs import BROKEN, descendants, fill, rows

ray = pytest.importorskip("ray")


def test_killed_actors_and_workers_change_no_row(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    folder = fill(tmp_path / "in", 80)
    (folder / "040.png").write_bytes(BROKEN)
    killed: list[str] = []

    def kill() -> None:
        """A process that estimates, after the first part; an actor, after the second."""
        for wanted, name in ((1, "agelens.batch.worker"), (2, "ray::MapWorker")):
            while len(list((tmp_path / "out" / "pictures").glob("*.parquet"))) < wanted:
                time.sleep(0.02)
            while not (pids := descendants(os.getpid(), name)):
                time.sleep(0.02)
            os.kill(pids[0], signal.SIGKILL)
            killed.append(name)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        counts = run(folder, tmp_path / "out", engine="ray", jobs=1, shard_size=16)
    finally:
        ray.shutdown()
    assert killed == ["agelens.batch.worker", "ray::MapWorker"]
    assert counts == Counts(shards=5, pictures=80, faces=79, failed=1)
    assert run(folder, tmp_path / "whole", jobs=1, shard_size=16) == counts
    for kind in ("faces", "pictures"):
        assert rows(tmp_path / "out", kind) == rows(tmp_path / "whole", kind)
    assert not descendants(os.getpid(), "ray::")


def test_what_is_wrong_on_ray_is_a_sentence_too(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", 1)
    done = agelens("batch", folder, "-o", tmp_path / "out", "--address", "auto")
    assert done.returncode == 2
    with pytest.raises(AgelensError, match=r"auto: no Ray answers there"):
        run(folder, tmp_path / "out", engine="ray", address="auto")
    try:
        with pytest.raises(AgelensError, match=r"^device 'abacus': there are auto, cpu"):
            run(folder, tmp_path / "out", engine="ray", jobs=1, device="abacus")
    finally:
        ray.shutdown()

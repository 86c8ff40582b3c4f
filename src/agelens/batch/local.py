"""The engine of this machine: some processes, each of which does shard after shard."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress

from agelens.batch.settings import Counts, Settings
from agelens.batch.shards import Shard
from agelens.batch.supervise import OnPicture, Worker


def do_shards(
    shards: Iterable[Shard], settings: Settings, *, jobs: int, on_picture: OnPicture
) -> Generator[Counts]:
    """Do all shards; they are taken when there is a process for them.

    Args:
        shards: to do.
        settings: of the run.
        jobs: processes at once.
        on_picture: called from several threads.

    Yields:
        What is in each shard, as they are finished.

    Raises:
        AgelensError: no shard can be done; the processes are ended.
    """
    results: queue.Queue[Counts | Exception | None] = queue.Queue()
    waiting, lock = iter(shards), threading.Lock()
    workers = [Worker(settings) for _ in range(jobs)]
    stopped = False

    def work(worker: Worker) -> None:
        try:
            with worker:
                while not stopped:
                    with lock:
                        shard = next(waiting, None)
                    if shard is None:
                        break
                    results.put(worker.do(shard, on_picture))
            results.put(None)
        except Exception as error:  # noqa: BLE001 - raised where the results are taken
            results.put(error)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    working = jobs
    try:
        while working:
            result = results.get()
            if isinstance(result, Exception):
                raise result
            if result is None:
                working -= 1
            else:
                yield result
    finally:
        stopped = True
        for worker in workers:
            with suppress(OSError):
                worker.close()

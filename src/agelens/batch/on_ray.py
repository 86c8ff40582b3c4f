"""The engine of a cluster: Ray Data, whose actors each do shard after shard."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable
from dataclasses import astuple
from typing import Any

import ray
import ray.data
from numpy.typing import NDArray

from agelens.batch.settings import Counts, Settings
from agelens.batch.shards import Shard
from agelens.batch.supervise import Worker
from agelens.errors import AgelensError

STARTS = 3
"""Times that a Ray of this machine is started. It gives up after 30 seconds, busy or not."""


class EstimateShards:
    """An actor: a process of Ray's, with one that estimates beside it. Its name is the stage's."""

    def __init__(self, settings: Settings) -> None:
        self._worker = Worker(settings)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """Do the shards of a batch, as JSON in ``shard``.

        Returns:
            ``counts``, those of each, and ``failed``, why no shard can be done, or "": of an error
            that an actor raises, Ray passes on no more than a text with all of its own calls.
        """
        counts, failed = [], []
        for text in batch["shard"]:
            try:
                counts.append(list(astuple(self._worker.do(Shard.from_json(text)))))
                failed.append("")
            except AgelensError as error:
                counts.append(list(astuple(Counts())))
                failed.append(str(error))
        return {"counts": counts, "failed": failed}


def do_shards(
    shards: Iterable[Shard],
    settings: Settings,
    *,
    jobs: int | None,
    gpus: float,
    address: str | None,
) -> Generator[Counts]:
    """Do all shards. When an actor, its process or its machine is gone, Ray does its shard again.

    Args:
        shards: to do; all are listed before the first is begun.
        settings: of the run.
        jobs: actors; on a cluster at most.
        gpus: of each actor.
        address: of a cluster; a Ray of this machine's by default.

    Yields:
        What is in each shard, as they are finished.

    Raises:
        AgelensError: no shard can be done, or the cluster is not there.
    """
    waiting = [{"shard": shard.to_json()} for shard in shards]
    if not waiting:
        return
    own = not ray.is_initialized()
    if own:
        _connect(address, jobs)
    try:
        options = ray.data.DataContext.get_current()
        options.enable_progress_bars = False  # there is one already
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        here = max(1, int(there.get("GPU" if gpus else "CPU", 1) / (gpus or 1)))
        # Not yet there are the machines that an autoscaler starts when it sees what waits.
        pool = ray.data.ActorPoolStrategy(min_size=min(here, jobs or here), max_size=jobs)
        done = ray.data.from_items(waiting, override_num_blocks=len(waiting)).map_batches(
            EstimateShards,
            fn_constructor_args=(settings,),
            batch_size=1,
            compute=pool,
            num_cpus=1,
            num_gpus=gpus or None,
        )
        for row in done.iter_rows():
            if row["failed"]:
                raise AgelensError(row["failed"])
            yield Counts(*(int(value) for value in row["counts"]))
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines()
        raise AgelensError(f"Ray has given up: {said[-1] if said else error}") from error
    finally:
        if own:
            ray.shutdown()


def _connect(address: str | None, jobs: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    place: dict[str, Any] = {"num_cpus": jobs} if address is None else {"address": address}
    for left in reversed(range(STARTS if address is None else 1)):
        try:
            ray.init(**place, logging_level=logging.ERROR, log_to_driver=False)
            return
        except Exception as error:  # Ray raises bare ones
            ray.shutdown()
            if not left:
                raise AgelensError(f"{address or 'Ray'}: no Ray answers there ({error})") from error

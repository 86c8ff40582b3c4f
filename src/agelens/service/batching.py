"""One call of the network for the faces of many requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_Waiting = tuple[NDArray[np.uint8], "asyncio.Future[NDArray[np.float32]]"]


class Batcher:
    """Puts together what waits while the network is busy; nothing waits while it is idle.

    So there is no delay to tune: alone, a face is computed at once; under load, batches grow by
    themselves. `AgeModel` gives a face the same distribution in every batch.

    Args:
        predict: crops ``[N, S, S, 3]`` to distributions ``[N, K]``; called in threads.
        size: a batch takes no more faces once it has so many.
        runners: batches at once.
        observe: told the number of faces of each batch.
    """

    def __init__(
        self, predict: Predict, *, size: int, runners: int, observe: Callable[[int], None]
    ) -> None:
        self._predict = predict
        self._size = size
        self._runners = runners
        self._observe = observe
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(runners, "agelens-model")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._runners)]

    def stop(self) -> None:
        """Stop working; what still waits gets no answer."""
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distributions ``[N, K]`` of crops ``[N, S, S, 3]``, N at least 1."""
        done: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((crops, done))
        return await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            faces = len(batch[0][0])
            while faces < self._size and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
                faces += len(batch[-1][0])
            batch = [(crops, done) for crops, done in batch if not done.done()]  # gave up waiting
            if not batch:
                continue
            crops = np.concatenate([crops for crops, _ in batch])
            self._observe(len(crops))
            try:
                rows = await loop.run_in_executor(self._threads, self._predict, crops)
            except Exception as error:  # noqa: BLE001 - whoever waits raises it
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            ends = np.cumsum([len(part) for part, _ in batch])[:-1]
            for (_, done), part in zip(batch, np.split(rows, ends), strict=True):
                if not done.done():
                    done.set_result(part)

"""The list of what is to be done, made while the work goes on."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from tempfile import TemporaryFile

from agelens.batch.shards import Shard


class Plan:
    """Shards that a thread lists ahead of the work, kept in a temporary file and not in memory.

    Attributes:
        shards: listed until now.
        pictures: in them; those in tars and rows are not known before they are read.
        only_lists: whether there are no tars and rows until now.
        complete: whether everything is listed.
    """

    def __init__(self, shards: Iterable[Shard]) -> None:
        self.shards = self.pictures = 0
        self.only_lists, self.complete = True, False
        self._stream = TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._error: Exception | None = None
        self._more = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._list, args=(shards,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Shard]:
        place = read = 0
        while True:
            with self._more:
                while self.shards == read and not self.complete:
                    self._more.wait()
                if self.shards == read:
                    if self._error is not None:
                        raise self._error
                    return
                self._stream.seek(place)
                line = self._stream.readline()
            place, read = place + len(line), read + 1
            yield Shard.from_json(line)

    def close(self) -> None:
        """Stop listing, and delete the file."""
        self._stop = True
        self._thread.join(1)  # it may wait for a line of stdin that never comes
        self._stream.close()

    def _list(self, shards: Iterable[Shard]) -> None:
        try:
            for shard in shards:
                if self._stop:
                    break
                with self._more:
                    self._stream.seek(0, io.SEEK_END)
                    self._stream.write(f"{shard.to_json()}\n".encode())
                    self.shards += 1
                    self.pictures += len(shard.names)
                    self.only_lists &= shard.kind == "list"
                    self._more.notify_all()
        except Exception as error:  # noqa: BLE001 - raised where the shards are taken
            self._error = error
        with self._more:
            self.complete = True
            self._more.notify_all()

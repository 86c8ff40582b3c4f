"""The same estimate as a step of a pipeline of one's own: Ray Data, Daft, Spark, pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from agelens.batch.estimating import Estimating
from agelens.batch.reading import Loaded, pictures_of
from agelens.batch.settings import Settings
from agelens.batch.shards import Shard
from agelens.errors import UnreadableImageError


class EstimateAges:
    """Adds the faces of each picture to a batch, row for row. Opens its model once.

    An instance is called with a batch: a dict of columns, as Ray Data's ``map_batches`` gives, or a
    pandas ``DataFrame``, as Spark's ``mapInPandas`` gives. It returns the same with the columns
    ``faces`` (a list with a dict for each face, as `Faces.to_rows` has them, without ``path``),
    ``width``, ``height`` and ``error`` (why a picture was not read; None, or missing, if it was).
    `rows` does a list.

    Args:
        column: of the batch, with paths or addresses (str) or the files themselves (bytes).
        model: a shipped model's name or a model file.
        device: as for `agelens.AgeEstimator`.
        coverage: of the intervals.
        min_score: least score of a face.
        at_least: ages; each adds ``at_least_AGE`` to a face.
        anonymous: read public buckets without credentials.

    Raises:
        ModelError: the model file cannot be used.
        DeviceError: ONNX Runtime cannot use the device.
    """

    def __init__(
        self,
        column: str = "path",
        *,
        model: str = "light",
        device: str = "auto",
        coverage: float = 0.9,
        min_score: float = 0.5,
        at_least: Iterable[int] = (),
        anonymous: bool = False,
    ) -> None:
        self._column = column
        self._settings = Settings(
            "", model, device, coverage, min_score, tuple(at_least), anonymous=anonymous
        )
        self._estimating = Estimating(self._settings)

    def __call__(self, batch: Any) -> Any:
        """The batch with the columns of the estimate.

        Raises:
            KeyError: it has no such column.
            StorageError: a store did not answer; the step may be tried again.
        """
        rows = self.rows(batch[self._column])
        faces = np.empty(len(rows), object)
        faces[:] = [row["faces"] for row in rows]
        added = {
            "faces": faces,
            "width": np.array([row["width"] for row in rows], np.int32),
            "height": np.array([row["height"] for row in rows], np.int32),
            "error": np.array([row["error"] for row in rows], object),
        }
        return {**batch, **added} if isinstance(batch, Mapping) else batch.assign(**added)

    def rows(self, pictures: Iterable[str | bytes | None]) -> list[dict[str, Any]]:
        """A dict with ``faces``, ``width``, ``height`` and ``error`` for each picture.

        Raises:
            StorageError: a store did not answer.
        """
        values = list(pictures)
        names = tuple(value for value in values if isinstance(value, str))
        read = pictures_of(Shard(names=names), self._settings.source)
        return [self._row(next(read) if isinstance(one, str) else _loaded(one)) for one in values]

    def _row(self, loaded: Loaded) -> dict[str, Any]:
        line = self._estimating.rows(loaded, "", 0)
        faces = [{key: row[key] for key in row if key != "path"} for row in line["faces"]]
        return {"faces": faces} | {
            key: line["picture"][key] for key in ("width", "height", "error")
        }


def _loaded(data: Any) -> Loaded:
    name = "picture"
    if not isinstance(data, bytes | bytearray | memoryview):
        return Loaded(name, UnreadableImageError(name, "no path, no address and no bytes"))
    return Loaded(name, bytes(data))

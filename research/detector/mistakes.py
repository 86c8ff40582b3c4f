"""Where a network takes a second look, and there is nobody.

    python -m research.detector.mistakes RUN/detector.onnx PHOTOS views.npy

PHOTOS is a folder of photos without a face (see README.md). The detector looks at each photo, and
at parts of it, each shown as if it were a picture; every view of a candidate is kept. The network
is then taught with ``teach.py --mistakes views.npy`` that there is nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from agelens.files import atomic_path
from agelens.pipeline import detect
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.views import Pyramid, View

from .views import CLOSE, _enlarged, _part, scenery

PARTS = 12
"""Of each photo."""
SIDES = (128, 640)
"""From the least to the greatest side of a part as it is shown, in pixels."""


class Recorder(FaceDetector):
    """The detector; it keeps the views of its second look."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self._refines = False
        self.views: list[NDArray[np.uint8]] = []

    def _refined(self, *arguments: Any) -> Any:
        self._refines = True
        try:
            return super()._refined(*arguments)
        finally:
            self._refines = False

    def _look(self, pyramid: Pyramid, views: Sequence[View]) -> Any:
        if self._refines:
            pyramid.halve(min((view.scale for view in views), default=1.0))
            self.views += [pyramid.pixels(view) for view in views if view.size[0] == CLOSE]
        return super()._look(pyramid, views)


def main() -> None:
    """Write the views."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("nobody", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with mock.patch.object(detect, "shipped", return_value=options.network):
        recorder = Recorder()
    for photo in scenery(options.nobody):
        recorder.detect(photo)
        whole = np.array([0, 0, *photo.shape[1::-1]])
        for _ in range(PARTS):
            recorder.detect(_enlarged(_part(photo, whole, rng), int(rng.integers(*SIDES))))
    print(f"{len(recorder.views)} views")
    with atomic_path(options.target) as partial, partial.open("wb") as file:
        np.save(file, np.stack(recorder.views))


if __name__ == "__main__":
    main()

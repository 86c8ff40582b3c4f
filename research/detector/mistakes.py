"""What a small network is asked about, in its second look, where there is nobody.

    python -m research.detector.mistakes RUN/detector.onnx PHOTOS views.npz

PHOTOS is a folder of photos without a face (see README.md). The detector looks at each photo, and
at parts of it, each shown as if it were a picture; every view of a candidate is kept. The network
is then taught with ``teach.py --mistakes views.npz`` that there is nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agelens.files import atomic_path
from agelens.pipeline.detect import FACE, SURROUNDINGS, FaceDetector
from agelens.pipeline.views import Pyramid, View

from .alone import alone
from .views import _enlarged, _part, scenery

PARTS = 12
"""Of each photo."""
SIDES = (128, 640)
"""From the least to the greatest side of a part as it is shown, in pixels."""


class Recorder(FaceDetector):
    """The detector; it keeps the views of its second look, by their sides in pixels."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self._refines = False
        self.views: dict[int, list[NDArray[np.uint8]]] = {n * FACE: [] for n in SURROUNDINGS}

    def _refined(self, *arguments: Any) -> Any:
        self._refines = True
        try:
            return super()._refined(*arguments)
        finally:
            self._refines = False

    def _look(self, pyramid: Pyramid, views: Sequence[View]) -> Any:
        if self._refines:
            pyramid.halve(min((view.scale for view in views), default=1.0))
            for view in views:
                self.views[view.size[0]].append(pyramid.pixels(view))
        return super()._look(pyramid, views)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("nobody", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--most", type=int, default=6000, help="views of each side")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with alone(options.network):
        recorder = Recorder()
        for photo in scenery(options.nobody):
            recorder.detect(photo)
            whole = np.array([0, 0, *photo.shape[1::-1]])
            for _ in range(PARTS):
                recorder.detect(_enlarged(_part(photo, whole, rng), int(rng.integers(*SIDES))))
    kept = {}
    for side, views in recorder.views.items():
        chosen = rng.permutation(len(views))[: options.most]
        kept[str(side)] = np.stack([views[index] for index in chosen])
        print(f"{len(views)} views of {side} pixels, {len(chosen)} kept")
    with atomic_path(options.target) as partial, partial.open("wb") as file:
        np.savez(file, **kept)


if __name__ == "__main__":
    main()

"""The model file: an ONNX graph from crops to age distributions, and its metadata.

Or a JSON file that names several of them, whose distributions are averaged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agelens.align import shrunk
from agelens.calibrate import Calibration
from agelens.errors import ModelError
from agelens.session import ORT_ERRORS, Workers, open_session, shipped

METADATA_KEY = "agelens"
FORMAT = 1
SHIPPED = {
    "best": "age-best.json",
    "resnet50": "age-resnet50.onnx",
    "light": "age-light.onnx",
    "light160": "age-light160.onnx",
    "lite2": "age-lite2.onnx",
}
"""Names of the models inside the package, and their files."""
ALIASES = {"default": "best"}
NOT_OURS = "not a model file that `agelens export` or `agelens join` wrote"
BATCH = 4
"""Crops in one call of a network on a CPU. Of `best`, 32 take 0.7 GiB more at their peak and are no
faster (benchmarks/batch_sizes.py)."""
GPU_BATCH = 64


def files_of(model: str | Path) -> tuple[Path, tuple[Path, ...]]:
    """The file of a model, and the ONNX files that it is made of, which are not opened.

    Args:
        model: a name of `SHIPPED` or `ALIASES`, or the path of a model file.

    Raises:
        ModelError: no such file, or a JSON file that names no members.
    """
    name = ALIASES.get(str(model), str(model))
    path = shipped(SHIPPED[name]) if name in SHIPPED else Path(name)
    if name not in SHIPPED and not path.is_file():
        known = ", ".join([*ALIASES, *SHIPPED])
        raise ModelError(f"{name}: no such file; give a model file, or one of: {known}")
    if path.suffix != ".json":
        return path, (path,)
    try:
        members = json.loads(path.read_text("utf-8"))["members"]
        return path, tuple(path.parent / file for file in members)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: {NOT_OURS}") from error


def file_of(model: str | Path) -> Path:
    """The one ONNX file of a model, which is not opened.

    Args:
        model: as for `files_of`.

    Raises:
        ModelError: no such file, or a model of several.
    """
    path, files = files_of(model)
    if files != (path,):
        raise ModelError(f"{model}: is of several models; name one of those")
    return path


class AgeModel:
    """A model file, opened once. Safe to share between threads.

    Args:
        model: a name of `SHIPPED` or `ALIASES`, or the path of a model file.
        threads: CPU threads for one batch; 0 takes one for each processor.

    Attributes:
        path: of the model file.
        files: the ONNX files that it is made of; `path` itself unless it is of several.
        size: side in pixels of the crops that it reads.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the side.
        ages: ``[K]`` float32, the ages in years that the distribution is over.
        calibration: what its distributions are worth; see `agelens.calibrate`.
        workers: the threads that its calls are shared out to.
        metadata: everything else that the file says of itself: name, version, licence, training.

    Raises:
        ModelError: no such file, or not one that `agelens export` wrote.
    """

    def __init__(self, model: str | Path = "default", *, threads: int = 0) -> None:
        self.path, self.files = files_of(model)
        try:
            self._sessions = [open_session(file) for file in self.files]
            if self.path.suffix == ".json":
                text = self.path.read_text("utf-8")
            else:
                text = self._sessions[0].get_modelmeta().custom_metadata_map[METADATA_KEY]
            self.metadata: dict[str, Any] = json.loads(text)
            known = self.metadata["format"] == FORMAT
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{model}: {NOT_OURS}") from error
        except ORT_ERRORS as error:
            raise ModelError(f"{model}: not a model that ONNX Runtime can open") from error
        if not known:
            raise ModelError(f"{model}: its format needs another version of agelens")
        self.workers = Workers(threads, self._sessions[0])
        self.size = int(self.metadata["size"])
        self.template = np.array(self.metadata["template"], np.float64)
        self.ages = np.array(self.metadata["ages"], np.float32)
        learnt = self.metadata.get("calibration")
        self.calibration = Calibration.from_dict(learnt) if learnt else Calibration()

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Age distributions of aligned crops.

        Args:
            crops: RGB uint8 ``[N, size, size, 3]`` from `agelens.align.align_face`.

        Returns:
            ``[N, K]`` float32 over `ages`; each row sums to 1.
        """
        if not len(crops):
            return np.empty((0, len(self.ages)), np.float32)
        workers = self.workers
        most = min(BATCH, -(-len(crops) // workers.count)) if workers.on_cpu else GPU_BATCH
        parts = [crops[start : start + most] for start in range(0, len(crops), most)]
        calls = [(session, part) for session in self._sessions for part in parts]
        answers = np.concatenate(workers.map(_distributions, calls))
        mean: NDArray[np.float32] = answers.reshape(len(self._sessions), len(crops), -1).mean(0)
        return mean


def _distributions(
    call: tuple[onnxruntime.InferenceSession, NDArray[np.uint8]],
) -> NDArray[np.float32]:
    """What one network says of crops that are as large as its own or larger."""
    session, crops = call
    side = session.get_inputs()[0].shape[1]
    answer: NDArray[np.float32] = session.run(None, {"crops": shrunk(crops, side)})[0]
    return answer

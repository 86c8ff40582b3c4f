"""The model file: an ONNX graph from crops to age distributions, and its metadata."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agelens.errors import ModelError

METADATA_KEY = "agelens"
FORMAT = 1
SHIPPED = {"lite2": "age-lite2.onnx"}
"""Names of the models inside the package, and their files."""
DEFAULT = "lite2"
BATCH = 32
"""Crops in one call of the network, so that a crowd's memory stays bounded."""
_ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class AgeModel:
    """A model file, opened once. Safe to share between threads.

    Args:
        model: "default", the name of a shipped model, or the path of a model file.
        threads: CPU threads for one batch; 0 lets ONNX Runtime choose.

    Attributes:
        size: side in pixels of the crops that it reads.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the side.
        ages: ``[K]`` float32, the ages in years that the distribution is over.
        metadata: everything else that the file says of itself: name, version, licence, training.

    Raises:
        ModelError: no such file, or not one that `agelens export` wrote.
    """

    def __init__(self, model: str | Path = "default", *, threads: int = 0) -> None:
        name = DEFAULT if model == "default" else str(model)
        if name in SHIPPED:
            data = files("agelens").joinpath("weights", SHIPPED[name]).read_bytes()
        else:
            try:
                data = Path(name).read_bytes()
            except OSError as error:
                known = ", ".join(["default", *SHIPPED])
                raise ModelError(
                    f"{name}: {error.strerror}; give a model file, or one of: {known}"
                ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=_providers())
            facts = self._session.get_modelmeta().custom_metadata_map
            self.metadata: dict[str, Any] = json.loads(facts[METADATA_KEY])
        except KeyError as error:
            raise ModelError(f"{name}: not a model file that `agelens export` wrote") from error
        except _ORT_ERRORS as error:
            raise ModelError(f"{name}: not a model that ONNX Runtime can open") from error
        if self.metadata["format"] != FORMAT:
            raise ModelError(f"{name}: its format needs another version of agelens")
        self.size = int(self.metadata["size"])
        self.template = np.array(self.metadata["template"], np.float64)
        self.ages = np.array(self.metadata["ages"], np.float32)

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Age distributions of aligned crops.

        Args:
            crops: RGB uint8 ``[N, size, size, 3]`` from `agelens.align.align_face`.

        Returns:
            ``[N, K]`` float32 over `ages`; each row sums to 1.
        """
        parts = [
            self._session.run(None, {"crops": crops[start : start + BATCH]})[0]
            for start in range(0, len(crops), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.ages)), np.float32)


def _providers() -> list[str]:
    """CUDA where ONNX Runtime has it, and the CPU."""
    available = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]

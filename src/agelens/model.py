"""The model file: an ONNX graph from crops to age distributions, and its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agelens.calibrate import Calibration
from agelens.errors import ModelError
from agelens.session import ORT_ERRORS, open_session, shipped

METADATA_KEY = "agelens"
FORMAT = 1
SHIPPED = {"lite2": "age-lite2.onnx"}
"""Names of the models inside the package, and their files."""
DEFAULT = "lite2"
BATCH = 32
"""Crops in one call of the network, so that a crowd's memory stays bounded."""


class AgeModel:
    """A model file, opened once. Safe to share between threads.

    Args:
        model: "default", the name of a shipped model, or the path of a model file.
        threads: CPU threads for one batch; 0 lets ONNX Runtime choose.

    Attributes:
        size: side in pixels of the crops that it reads.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the side.
        ages: ``[K]`` float32, the ages in years that the distribution is over.
        calibration: what its distributions are worth; see `agelens.calibrate`.
        metadata: everything else that the file says of itself: name, version, licence, training.

    Raises:
        ModelError: no such file, or not one that `agelens export` wrote.
    """

    def __init__(self, model: str | Path = "default", *, threads: int = 0) -> None:
        name = DEFAULT if model == "default" else str(model)
        if name not in SHIPPED and not Path(name).is_file():
            known = ", ".join(["default", *SHIPPED])
            raise ModelError(f"{name}: no such file; give a model file, or one of: {known}")
        try:
            self.path = shipped(SHIPPED[name]) if name in SHIPPED else Path(name)
            self._session = open_session(self.path, threads)
            facts = self._session.get_modelmeta().custom_metadata_map
            self.metadata: dict[str, Any] = json.loads(facts[METADATA_KEY])
        except KeyError as error:
            raise ModelError(f"{name}: not a model file that `agelens export` wrote") from error
        except ORT_ERRORS as error:
            raise ModelError(f"{name}: not a model that ONNX Runtime can open") from error
        if self.metadata["format"] != FORMAT:
            raise ModelError(f"{name}: its format needs another version of agelens")
        self.size = int(self.metadata["size"])
        self.template = np.array(self.metadata["template"], np.float64)
        self.ages = np.array(self.metadata["ages"], np.float32)
        known = self.metadata.get("calibration")
        self.calibration = Calibration.from_dict(known) if known else Calibration()

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

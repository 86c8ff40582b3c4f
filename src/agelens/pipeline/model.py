"""The model file: an ONNX graph from crops to age distributions, and its metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agelens.errors import ModelError
from agelens.pipeline.align import ALIGNMENT_POINTS
from agelens.pipeline.calibration import Calibration
from agelens.pipeline.session import ORT_ERRORS, Workers, device_of, open_session, shipped

METADATA_KEY = "agelens"
PICTURES_KEY = "agelens_calibrated_on"
"""The model file's entry with the pictures that its calibration was learnt from."""
SHORT = 12
"""Hexadecimal digits of a picture's SHA-256 that are kept: of 10,000 pictures, one in 28 billion
of others is taken for one of them."""
FORMAT = 3
_OLD_NAMES = {"odds": "class_bias", "limits": "score_quantiles"}
"""What a calibration's fields are called in files of format 2, which are read as well."""
SHIPPED = {
    "light": "age-light.onnx",
    "resnet50": "age-resnet50.onnx",
    "open": "age-open.onnx",
}
"""Names of the models inside the package, and their files."""
NOT_OURS = "not a model file that `agelens export` wrote"
BATCH = 1
"""Crops in one call of a network on a CPU; more take more memory and are no faster
(research/batch_sizes.py)."""
GPU_BATCH = 64


def file_of(model: str | Path) -> Path:
    """The file of a model, which is not opened.

    Args:
        model: a name of `SHIPPED`, or the path of a model file.

    Raises:
        ModelError: no such file.
    """
    name = str(model)
    if name in SHIPPED:
        return shipped(SHIPPED[name])
    if not Path(name).is_file():
        known = ", ".join(SHIPPED)
        raise ModelError(f"{name}: no such file; give a model file, or one of: {known}")
    return Path(name)


def short_digests(digests: Iterable[str]) -> frozenset[str]:
    """How a model file names the pictures with these SHA-256 digests."""
    return frozenset(digest[:SHORT] for digest in digests)


class AgeModel:
    """A model file, opened once. Safe to share between threads.

    Args:
        model: a name of `SHIPPED`, or the path of a model file.
        device: where it runs; see `agelens.pipeline.session.open_session`.
        threads: CPU threads for one batch; 0 takes one for each processor.

    Attributes:
        name: as it was given.
        path: of the model file.
        device: that it runs on.
        size: side in pixels of the crops that it reads.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the side.
        ages: ``[K]`` float32, the ages in years that the distribution is over.
        calibration: how its distributions are corrected; see `agelens.pipeline.calibration`.
        workers: the threads that its calls are shared out to.
        metadata: everything else that the file says of itself: name, version, licence, training.

    Raises:
        ModelError: no such file, or not one that `agelens export` wrote.
        DeviceError: ONNX Runtime cannot use the device.
    """

    def __init__(
        self, model: str | Path = "light", *, device: str = "auto", threads: int = 0
    ) -> None:
        self.name, self.path = str(model), file_of(model)
        self._reopen = (model, device, threads)
        try:
            self._session = open_session(self.path, device=device)
            entries = self._session.get_modelmeta().custom_metadata_map
            self.metadata: dict[str, Any] = json.loads(entries[METADATA_KEY])
            if self.metadata["format"] not in (2, FORMAT):
                raise ModelError(f"{model}: its format needs another version of agelens")
            self.size = int(self.metadata["size"])
            self.template = np.array(self.metadata["template"], np.float64).reshape(-1, 2)
            self.ages = np.array(self.metadata["ages"], np.float32)
            learnt = self.metadata.get("calibration")
            if learnt:
                learnt = {_OLD_NAMES.get(name, name): values for name, values in learnt.items()}
            self.calibration = Calibration.from_dict(learnt) if learnt else Calibration()
            self._check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{model}: {NOT_OURS}") from error
        except ORT_ERRORS as error:
            raise ModelError(f"{model}: not a model that ONNX Runtime can open") from error
        self.device = device_of(self._session)
        self.workers = Workers(threads, self._session)
        self.metadata |= {"format": FORMAT, "calibration": learnt}
        if self.name in SHIPPED:  # not by the name of the run that made it
            self.metadata["name"] = self.name
        self._pictures = entries.get(PICTURES_KEY, "")

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Age distributions of aligned crops.

        Args:
            crops: RGB uint8 ``[N, size, size, 3]`` from `agelens.pipeline.align.align_face`.

        Returns:
            ``[N, K]`` float32 over `ages`; each row sums to 1.
        """
        if not len(crops):
            return np.empty((0, len(self.ages)), np.float32)
        workers = self.workers
        size = BATCH if workers.on_cpu else GPU_BATCH
        parts = [crops[start : start + size] for start in range(0, len(crops), size)]
        return np.concatenate(workers.map(self._run, parts))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, 64 hexadecimal digits."""
        import hashlib  # it loads OpenSSL, which an estimate has no use for

        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @cached_property
    def pictures(self) -> frozenset[str]:
        """The pictures that its calibration was learnt from, as `short_digests` names them."""
        text = self._pictures
        return frozenset(text[start : start + SHORT] for start in range(0, len(text), SHORT))

    def calibrated_on(self, digests: Iterable[str]) -> NDArray[np.bool_]:
        """Which of these pictures its calibration was learnt from, ``[N]``.

        Args:
            digests: SHA-256 of each picture's file, hexadecimal.
        """
        return np.array([digest[:SHORT] in self.pictures for digest in digests], bool)

    def close(self) -> None:
        """Let go of the network and its threads; the model cannot be used any more."""
        self.workers.close()
        del self._session

    def __enter__(self) -> AgeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        model, device, threads = self._reopen
        return partial(AgeModel, device=device, threads=threads), (model,)

    def _check(self) -> None:
        """Raise a ValueError if what the file says of itself is not true of its network."""
        (crops,), (distribution,) = self._session.get_inputs(), self._session.get_outputs()
        bias = np.broadcast_shapes(self.calibration.class_bias.shape, self.ages.shape)
        fits = (
            crops.name == "crops"
            and list(crops.shape[1:]) == [self.size, self.size, 3]
            and distribution.shape[1:] == [len(self.ages)]
            and self.template.shape == (ALIGNMENT_POINTS, 2)
            and bias == self.ages.shape
        )
        if not fits:
            raise ValueError("of another network")

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = self._session.run(None, {"crops": crops})[0]
        return answer

"""How every ONNX Runtime session is opened, and how its calls are shared out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agelens.parallel import default_jobs

Item = TypeVar("Item")
Result = TypeVar("Result")

ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What ONNX Runtime raises on a file that it cannot open; they share no public base class."""


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a model file, on CUDA where ONNX Runtime has it and else on the CPU.

    By path and not as bytes: a copy of the file in memory would raise the peak by its size. Idle
    threads of its own sleep: they would wait busily otherwise, and take the processor from others.

    Args:
        path: of the ONNX file.
        threads: CPU threads for one call, on parts of each step; 0 lets ONNX Runtime choose.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in available]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


class Workers:
    """Threads that share out the calls of the networks for one picture.

    Each call is too small to be worth several threads; but a picture has many, one of every view
    and one of every face.

    Args:
        threads: at work at once; 0 takes one for each processor of this process.
        session: the network, of which a GPU gets everything in one call.
    """

    def __init__(self, threads: int, session: onnxruntime.InferenceSession) -> None:
        self.on_cpu = session.get_providers()[0] == "CPUExecutionProvider"
        self.count = (threads or default_jobs()) if self.on_cpu else 1
        self._pool = ThreadPoolExecutor(self.count, "agelens")

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`function` of every item, in the items' order; one alone stays in the caller's thread."""
        if self.count == 1 or len(items) == 1:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))


def shipped(name: str) -> Path:
    """Path of a model file of the package's own ``weights``."""
    return Path(str(files("agelens").joinpath("weights", name)))

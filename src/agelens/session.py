"""How every ONNX Runtime session is opened."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

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


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open a model file, on CUDA where ONNX Runtime has it and else on the CPU.

    By path and not as bytes: a copy of the file in memory would raise the peak by its size. Idle
    threads sleep: ONNX Runtime's wait busily otherwise, and those of the detector and of each
    member of a model take the processor from one another (benchmarks/thread_waits.py).

    Args:
        path: of the ONNX file.
        threads: CPU threads for one call; 0 lets ONNX Runtime choose.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in available]
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def shipped(name: str) -> Path:
    """Path of a model file of the package's own ``weights``."""
    return Path(str(files("agelens").joinpath("weights", name)))

"""How every ONNX Runtime session is opened, and how its calls are shared out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agelens.errors import DeviceError
from agelens.parallel import default_jobs, in_worker

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


DEVICES = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "migraphx": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
}
"""ONNX Runtime's name of each device, and the package that brings it."""


def open_session(
    path: Path, threads: int = 1, *, device: str = "auto"
) -> onnxruntime.InferenceSession:
    """Open a model file.

    By path and not as bytes: a copy of the file in memory would raise the peak by its size. Idle
    threads of its own sleep: they would wait busily otherwise, and take the processor from others.

    Args:
        path: of the ONNX file.
        threads: CPU threads for one call, on parts of each step; 0 lets ONNX Runtime choose.
        device: one of `DEVICES`, with the number of one of several as in "cuda:1"; "auto" is a
            CUDA GPU if ONNX Runtime can use one, else the CPU.

    Raises:
        DeviceError: ONNX Runtime cannot use the device.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    cpu = DEVICES["cpu"][0]
    name, _, number = device.partition(":")
    if device == "auto":
        provider = DEVICES["cuda"][0]
        if provider not in onnxruntime.get_available_providers():
            provider = cpu
    else:
        provider = _provider(name, device)
    place = {"device_id": number} if number else {}
    providers = list(dict.fromkeys([provider, cpu]))
    session = onnxruntime.InferenceSession(
        str(path), options, providers=providers, provider_options=[place, {}][: len(providers)]
    )
    if device != "auto" and session.get_providers()[0] != provider:
        raise DeviceError(f"device {device!r}: ONNX Runtime could not start it; see its log above")
    return session


def _provider(name: str, device: str) -> str:
    """ONNX Runtime's name of a device.

    Raises:
        DeviceError: there is no such device, or this ONNX Runtime cannot use it.
    """
    if name not in DEVICES:
        raise DeviceError(f"device {device!r}: there are auto, {', '.join(DEVICES)}")
    provider, package = DEVICES[name]
    available = onnxruntime.get_available_providers()
    if provider not in available:
        there = ", ".join(known for known, (own, _) in DEVICES.items() if own in available)
        raise DeviceError(
            f"device {device!r}: this ONNX Runtime has only {there}; "
            f"install {package} in place of onnxruntime"
        )
    return provider


def device_of(session: onnxruntime.InferenceSession) -> str:
    """The device that a session runs on, one of `DEVICES`."""
    provider = session.get_providers()[0]
    return next(name for name, (own, _) in DEVICES.items() if own == provider)


class Workers:
    """Threads that run the calls of a network for one picture at the same time.

    A single call is too small for several threads; but a picture needs many calls: one for each
    view of the detector and one for each face.

    Args:
        threads: at work at once; 0 takes one for each processor of this process.
        session: the network; a GPU gets everything in one call, so that one thread is enough.
    """

    def __init__(self, threads: int, session: onnxruntime.InferenceSession) -> None:
        self.on_cpu = session.get_providers()[0] == "CPUExecutionProvider"
        self.count = (threads or default_jobs()) if self.on_cpu else 1
        self._pool = ThreadPoolExecutor(self.count, "agelens")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`function` of every item, in the items' order.

        One item alone stays in the caller's thread, and so do all where several pictures are in
        work at once: those use every processor already.
        """
        if self.count == 1 or len(items) == 1 or in_worker():
            return [function(item) for item in items]
        return list(self._pool.map(function, items))


def shipped(name: str) -> Path:
    """Path of a model file of the package's own ``weights``."""
    return Path(str(files("agelens").joinpath("weights", name)))

"""How far each network is from what the processor can do: multiply-adds a second, against its peak.

    python benchmarks/limit.py --json benchmarks/results/limit.json

The peak is that of a product of two large matrices in the same process and in the same runs, in
turns, on one thread: in floats and in 8 bits. Time is the thread's own, and the least of the runs
counts, so that other programs disturb little.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from agelens.benchmark.machine import machine
from agelens.files import write_json
from agelens.pipeline.model import SHIPPED, AgeModel
from agelens.pipeline.session import open_session, shipped

SIDE = 1024
"""Of the matrices."""
DETECTOR = "blazeface.onnx"
VIEWS = (128, 160)
"""Sides of the detector's views: of a picture or a face, and of a tile of a large picture."""


def multiply_adds(path: Path, side: int) -> int:
    """What the convolutions and products of a network do for one input of this side.

    Channels that only fill a block of a fast layout are counted: they are computed.
    """
    model = onnx.load(path)
    height, width = model.graph.input[0].type.tensor_type.shape.dim[1:3]
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    height.dim_value = width.dim_value = side
    shapes = {
        value.name: [each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    } | {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(shapes[node.input[1]][1:])) * int(np.prod(shapes[node.output[0]]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shapes[node.input[1]]))
    return total


def product(left: type, right: type) -> Callable[[], Any]:
    """A call that multiplies two matrices of these types in ONNX Runtime on one thread."""
    rng, whole = np.random.default_rng(0), left is np.uint8
    known = numpy_helper.from_array(rng.integers(-128, 128, (SIDE, SIDE)).astype(right), "right")
    given, made = (TensorProto.UINT8, TensorProto.INT32) if whole else (TensorProto.FLOAT,) * 2
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if whole else "MatMul", ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", given, (SIDE, SIDE))],
        [helper.make_tensor_value_info("out", made, (SIDE, SIDE))],
        [known],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    matrix = rng.integers(0, 256, (SIDE, SIDE)).astype(left)
    return lambda: session.run(None, {"left": matrix})


def network(path: Path, side: int) -> Callable[[], Any]:
    session = open_session(path, 1, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    return lambda: session.run(None, {session.get_inputs()[0].name: pixels})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calls = {
        "product in floats": product(np.float32, np.float32),
        "product in 8 bits": product(np.uint8, np.int8),
    }
    work = dict.fromkeys(calls, SIDE**3)
    parts = [(shipped(DETECTOR), side) for side in VIEWS]
    parts += [(model.path, model.size) for model in map(AgeModel, SHIPPED)]
    for path, side in parts:
        name = f"{path.name}, {side} pixels"
        calls[name], work[name] = network(path, side), multiply_adds(path, side)
    least = dict.fromkeys(calls, np.inf)
    for _ in range(options.repeat):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            least[name] = min(least[name], time.thread_time() - start)
    rate = {name: work[name] / least[name] for name in calls}
    report: dict[str, Any] = {"command": f"python {' '.join(sys.argv)}", "machine": machine()}
    for name in calls:
        report[name] = {
            "multiply_adds": work[name],
            "milliseconds": round(1e3 * least[name], 3),
            "billions_a_second": round(rate[name] / 1e9, 1),
            "of_float_peak": round(rate[name] / rate["product in floats"], 3),
            "of_8_bit_peak": round(rate[name] / rate["product in 8 bits"], 3),
        }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

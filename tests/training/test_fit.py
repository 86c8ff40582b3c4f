"""Runs on generated faces: exact resume, every choice, several processes."""

from __future__ import annotations

import csv
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from agelens.data.manifest import Dataset
from agelens.pipeline.model import SHIPPED, AgeModel
from agelens.pipeline.session import open_session, shipped
from agelens.training.export import export
from agelens.training.fit import fit
from agelens.training.module import AgeModule, load_checkpoint
from agelens.training.network import HALF_RESNET50, AgeNet, make_network
from agelens.training.recipe import Imbalance, Model, Recipe
from training.conftest import TINY


class KilledError(Exception):
    pass


def test_a_resumed_run_equals_an_uninterrupted_one(
    run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled, calls = AgeNet.pooled, 0

    def dies(self: AgeNet, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 12:  # in the middle of the second epoch
            raise KilledError
        return pooled(self, images)

    monkeypatch.setattr(AgeNet, "pooled", dies)
    with pytest.raises(KilledError):
        fit(TINY, dataset, tmp_path)
    monkeypatch.undo()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] < 2
    fit(TINY, dataset, tmp_path)
    whole = torch.load(run / "last.ckpt", weights_only=True)
    resumed = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert whole["global_step"] == resumed["global_step"]
    for key in ("state_dict", "current_model_state"):
        for name, tensor in whole[key].items():
            torch.testing.assert_close(resumed[key][name], tensor, rtol=0, atol=0, msg=name)
    epochs, others = logged(run), logged(tmp_path)
    assert len(epochs) == len(others) == TINY.epochs
    for one, other in zip(epochs, others, strict=True):
        assert (one["step"], one["train_loss"]) == (other["step"], other["train_loss"])
        # The same weights have once had another last digit of the validation error.
        assert float(one["val_mae"]) == pytest.approx(float(other["val_mae"]), rel=1e-6)


def logged(folder: Path) -> list[dict[str, str]]:
    """The rows that a run's log has of its epochs."""
    with (folder / "logs" / "csv" / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["val_mae"]]


def test_every_choice_trains_and_changes_the_result(variants: dict[str, AgeModule]) -> None:
    heads = [module.net.head[1].weight for module in variants.values()]
    assert all(torch.isfinite(head).all() for head in heads)
    assert len({head.sum().item() for head in heads}) == len(heads)


def test_an_answer_to_imbalance_waits_for_its_epoch(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    never = Imbalance(
        weights="sqrt_lds", sampling="sqrt", group_adjustment=1.0, from_epoch=TINY.epochs
    )
    fit(TINY.model_copy(update={"imbalance": never}), dataset, tmp_path)
    plain, waiting = (
        torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, tmp_path)
    )
    for name, tensor in plain.items():
        torch.testing.assert_close(waiting[name], tensor, rtol=0, atol=0, msg=name)


def test_a_run_that_goes_on_is_nearer_to_its_run_than_other_first_weights(
    run: Path, variants: dict[str, AgeModule]
) -> None:
    def stem(net: AgeNet) -> torch.Tensor:
        return net.backbone.conv_stem.weight

    before = stem(load_checkpoint(run / "best.ckpt").net)
    gone_on = stem(variants["goes on"].net)
    assert not torch.equal(gone_on, before)
    torch.manual_seed(TINY.seed + 1)
    others = stem(make_network(TINY.model))
    assert (gone_on - before).norm() < 0.1 * (others - before).norm()


def test_a_whole_resnet50_begins_as_the_widened_packaged_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    values = TINY.model_dump() | {
        "name": "wide",
        "model": {"backbone": "torchvision/resnet50", "initial_weights": HALF_RESNET50, "size": 32},
        "optimiser": {"batch_size": 8, "average": "none", "warmup_steps": 1_000_000},
        "stages": [{"epochs": 1, "size": 32}],
    }
    made = load_checkpoint(fit(Recipe.model_validate(values), dataset, tmp_path))
    packaged = make_network(Model(backbone=HALF_RESNET50))

    def first(net: AgeNet) -> torch.Tensor:
        return net.backbone.get_submodule("layer1")[0].conv1.weight

    assert torch.allclose(first(made.net), first(packaged).repeat(2, 1, 1, 1), atol=1e-4)


def test_a_worker_inherits_nothing_to_free(dataset: Dataset, tmp_path: Path) -> None:
    # One that frees a session of ONNX Runtime hangs: it has none of the session's threads.
    class Loop:
        def __init__(self) -> None:
            self.own, self.session = self, open_session(shipped("blazeface.onnx"), 2)

    seen: list[bool] = []
    gc.disable()
    try:
        left = weakref.ref(Loop())
        assert left() is not None
        os.register_at_fork(before=lambda: seen.append(left() is not None))
        short = {"workers": 1, "stages": [{"epochs": 1, "size": 32}]}
        recipe = Recipe.model_validate(TINY.model_dump() | short)
        fit(recipe, dataset, tmp_path)
    finally:
        gc.enable()
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("by_path", [False, True])
def test_a_run_begins_with_the_weights_of_a_model_file(
    by_path: bool, dataset: Dataset, tmp_path: Path
) -> None:
    file = shipped(SHIPPED["light"])
    start = str(file) if by_path else "agelens/light"
    values = TINY.model_dump() | {
        "name": "on",
        "model": {"backbone": "mobilenetv1_100", "initial_weights": start, "size": 32},
        "optimiser": {"batch_size": 8, "average": "none", "warmup_steps": 1_000_000},
        "stages": [{"epochs": 1, "size": 32}],
    }
    made = fit(Recipe.model_validate(values), dataset, tmp_path / "run")
    (head,) = (
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(file).graph.initializer
        if tensor.name == "net.head.1.weight"
    )
    learnt = load_checkpoint(made).net.head[1].weight.detach()
    np.testing.assert_allclose(learnt, head, atol=1e-4)
    export(made, tmp_path / "on.onnx")
    told = AgeModel(tmp_path / "on.onnx").metadata["training"]["recipe"]["model"]["initial_weights"]
    assert told == ("age-light.onnx" if by_path else "agelens/light")


def test_a_frozen_backbone_stays_and_its_head_learns(
    run: Path, variants: dict[str, AgeModule]
) -> None:
    before, after = load_checkpoint(run / "best.ckpt").net, variants["frozen"].net
    for name, tensor in before.backbone.state_dict().items():
        torch.testing.assert_close(after.backbone.state_dict()[name], tensor, msg=name)
    assert not torch.equal(after.head[1].weight, before.head[1].weight)


SHARED = """
workers = 0
[model]
backbone = "test_efficientnet_gn"  # group normalisation: the same however a batch is shared
pretrained = false
size = 32
dropout = 0.0
[optimiser]
batch_size = 8
warmup_steps = 3
precision = "float32"
[[stages]]
epochs = 2
size = 32
"""


def test_two_processes_get_the_result_of_one(dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "shared.toml"
    recipe.write_text(SHARED)
    states = []
    for devices in ("1", "2"):
        run = tmp_path / devices
        command = [sys.executable, "-m", "agelens", "train", str(recipe), "--data"]
        command += [str(dataset.folder), "--run", str(run), "--accelerator", "cpu"]
        done = subprocess.run(
            [*command, "--devices", devices],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("export it with") == 1
        told = [line for line in done.stderr.splitlines() if line.startswith("epoch ")]
        assert [line.partition(":")[0] for line in told] == ["epoch 1 of 2", "epoch 2 of 2"]
        if devices == "1":
            assert told == done.stderr.splitlines()
        states.append(torch.load(run / "last.ckpt", weights_only=True))
    one, two = states
    assert one["global_step"] == two["global_step"] == 10
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_logs_are_written(run: Path) -> None:
    metrics = (run / "logs" / "csv" / "metrics.csv").read_text()
    assert "val_mae" in metrics
    assert list((run / "logs" / "tb").glob("events.*"))

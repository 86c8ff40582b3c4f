"""The network of a recipe while it learns, and the checkpoints that it is read from."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from agelens import CheckpointError
from agelens.data.manifest import Dataset
from agelens.training.crops import (
    CropDataset,
    aligned_crops,
)
from agelens.training.export import export
from agelens.training.losses import expected_age
from agelens.training.module import AgeModule
from agelens.training.network import ServedNet
from training.conftest import TINY


def test_an_adjusted_network_does_not_guess_an_age_by_the_group() -> None:
    """Dark pictures are of a group that is mostly young, light ones of one that is mostly old."""
    groups = np.repeat([0, 1], 128)
    ages = np.where(np.arange(256) % 4 < 3, 30 + 20 * groups, 50 - 20 * groups)
    labels = np.stack([ages, ages], 1)
    shade = 150 * groups[:, None, None, None]
    rng = np.random.default_rng(0)
    seen, unseen = (
        (rng.integers(0, 60, (256, 32, 32, 3)) + shade).astype(np.uint8) for _ in range(2)
    )
    old = torch.arange(117) >= 40
    evidence = torch.where(torch.stack([old, ~old]), 0.25 / 0.5, 0.75 / 0.5).log()

    def difference(known: torch.Tensor | None) -> float:
        torch.manual_seed(0)
        values = TINY.model_dump() | {"augment": {"mixup": 0.2}, "loss": {"name": "dldl"}}
        module = AgeModule(values, 100, {}, evidence=known, pretrained=False)
        lightning.Trainer(
            max_steps=100, logger=False, enable_checkpointing=False, enable_progress_bar=False
        ).fit(module, DataLoader(CropDataset(seen, labels, groups), 16, shuffle=True))
        images = torch.from_numpy(unseen).permute(0, 3, 1, 2)
        with torch.inference_mode():
            answers = expected_age(module.eval().net(images)).reshape(2, -1).mean(1)
        return float(answers[1] - answers[0])

    guessed, adjusted = difference(None), difference(evidence)
    assert guessed > 5
    assert abs(adjusted) < guessed / 3


def test_a_corn_model_serves_a_distribution(
    variants: dict[str, AgeModule], dataset: Dataset
) -> None:
    checkpoint = variants["corn"]
    crops = np.array(aligned_crops(dataset, "validation", 32, margin=0.0)[0][:4])
    served = ServedNet(checkpoint.net).eval()
    with torch.inference_mode():
        rows = served(torch.from_numpy(crops))
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert checkpoint.net.ordinal


def test_what_is_no_checkpoint_is_named(tmp_path: Path, run: Path) -> None:
    whole = (run / "best.ckpt").read_bytes()
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.ckpt")
    for name, content in {
        "text.ckpt": b"no checkpoint",
        "empty.ckpt": b"",
        "cut.ckpt": whole[: len(whole) // 2],
        "recipe.toml": b"seed = 1",
        "model.onnx": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, said in {
        "text.ckpt": "empty, cut off, or not a checkpoint",
        "empty.ckpt": "empty, cut off, or not a checkpoint",
        "cut.ckpt": "empty, cut off, or not a checkpoint",
        "other.ckpt": "not a checkpoint",
        "recipe.toml": "a recipe where a checkpoint belongs",
        "model.onnx": "a model file where a checkpoint belongs",
        "missing.ckpt": "No such file",
        "": "a folder; give a checkpoint in it",
    }.items():
        with pytest.raises(CheckpointError, match=f"{name}: {said}"):
            export(tmp_path / name, tmp_path / "written.onnx")
    assert not (tmp_path / "written.onnx").exists()

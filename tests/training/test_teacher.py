"""Teachers say what their networks say, and are believed."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from agelens.data.bands import bands_of
from agelens.data.manifest import Dataset
from agelens.training.crops import (
    CropDataset,
    aligned_crops,
)
from agelens.training.export import export
from agelens.training.losses import expected_age
from agelens.training.module import AgeModule, load_checkpoint
from agelens.training.teacher import Teacher
from training.conftest import TINY


def test_a_teacher_says_the_same_in_eight_bits(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    module = load_checkpoint(run / "best.ckpt")
    crops = np.array(aligned_crops(dataset, "train", 32, margin=0.0)[0])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2)
    distribution, features = Teacher([module], tmp_path, crops)(images)
    with torch.inference_mode():
        pooled = module.net.pooled(images)
        expected = module.net.head(pooled).softmax(-1)
    assert functional.cosine_similarity(features, pooled).mean() > 0.95
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(images)))
    assert (distribution - expected).abs().sum(1).mean() < 0.1


@pytest.mark.parametrize("flip", [False, True])
def test_a_model_file_teaches_what_its_run_does(
    run: Path, dataset: Dataset, tmp_path: Path, flip: bool
) -> None:
    file = tmp_path / "model.onnx"
    export(run / "best.ckpt", file, flip=flip)
    crops = np.array(aligned_crops(dataset, "train", 32, margin=0.0)[0][:8])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2)
    teacher = Teacher([], tmp_path, crops, models=[file])
    distribution, features = teacher(images)
    net = load_checkpoint(run / "best.ckpt").net
    views = [images, images.flip(3)] if flip else [images]
    with torch.inference_mode():
        pooled = torch.stack([net.pooled(view) for view in views])
        expected = net.head(pooled).softmax(-1).mean(0)
    assert teacher.features == net.features
    torch.testing.assert_close(distribution, expected, atol=1e-4, rtol=0)
    wanted = functional.normalize(pooled.mean(0))
    torch.testing.assert_close(features, wanted, atol=1e-3, rtol=0)


def test_a_distilled_network_believes_its_teacher(
    dataset: Dataset, variants: dict[str, AgeModule]
) -> None:
    assert variants["distilled"].project.out_features == 2 * variants["distilled"].net.features
    seen: list[torch.Size] = []

    def insists(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Everybody is 100, whatever the label says."""
        seen.append(images.shape)
        return torch.eye(117)[[100] * len(images)], torch.eye(4)[[0] * len(images)]

    teacher = {"runs": ["anybody"], "weight": 1.0, "feature_weight": 1.0}
    values = TINY.model_dump() | {"teacher": teacher}
    torch.manual_seed(0)  # whatever tests drew before
    module = AgeModule(values, 120, {}, 4, teacher=insists, pretrained=False)
    crops, rows = aligned_crops(dataset, "train", 32, margin=0.0)
    loader = DataLoader(CropDataset(crops, bands_of(rows)), 8)
    lightning.Trainer(
        max_steps=120, logger=False, enable_checkpointing=False, enable_progress_bar=False
    ).fit(module, loader)
    images = torch.from_numpy(np.array(crops[:8])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = module.eval().net.pooled(images)
        believed = expected_age(module.net.head(features))
        directions = functional.normalize(module.project(features))
    assert believed.mean() > 65 > rows["age"][:8].mean() + 15
    assert directions[:, 0].mean() > 0.9
    assert {shape[1:] for shape in seen} == {(3, 32, 32)}  # the view before it is made smaller

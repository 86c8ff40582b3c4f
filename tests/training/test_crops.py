"""Crops, their augmentation, and the order in which they are shown."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from agelens import DataError, ImageError
from agelens.data.bands import bands_of
from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset
from agelens.pipeline.align import align_face
from agelens.pipeline.images import load_image
from agelens.training.crops import (
    MARGIN,
    CropDataset,
    EpochSampler,
    aligned_crops,
    augmentation,
)
from agelens.training.recipe import Augment


def test_crops_are_those_that_serving_makes(dataset: Dataset) -> None:
    crops, rows = aligned_crops(dataset, "train", 32, margin=0.0)
    assert rows.equals(dataset.part("train"))
    assert len(crops) == len(rows)
    row = next(rows.itertuples())
    image = load_image(dataset.root / row.path)
    served = align_face(image, landmarks_of(row), dataset.template, 32)
    np.testing.assert_array_equal(crops[0], served)
    cached = sorted((dataset.folder / "cache").iterdir())
    again, _ = aligned_crops(dataset, "train", 32, margin=0.0)
    np.testing.assert_array_equal(again, crops)
    assert sorted((dataset.folder / "cache").iterdir()) == cached


def test_a_picture_that_changed_is_not_learnt_from(dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.root, tmp_path / "pictures")
    moved = dataclasses.replace(dataset, root=tmp_path / "pictures", folder=tmp_path)
    first, second = dataset.part("train")["path"][:2]
    shutil.copy(moved.root / second, moved.root / first)
    with pytest.raises(ImageError, match=f"{first}: not the file that `agelens data prepare` read"):
        aligned_crops(moved, "train", 32, margin=0.0)
    assert not list((tmp_path / "cache").glob("*"))


def test_unknown_splits_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="exam"):
        dataset.part("exam")


def test_augmentation_depends_on_seed_epoch_and_index_alone(dataset: Dataset) -> None:
    crops, rows = aligned_crops(dataset, "train", 32, margin=MARGIN)
    labels = bands_of(rows)
    transform = augmentation(Augment(), 32)
    training = CropDataset(crops, labels, transform=transform, seed=3)
    first, label, _ = training[(2, 5)]
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    again, *_ = training[(2, 5)]
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(again, first)
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.uint8
    assert label.tolist() == [rows["age"][5]] * 2
    assert not torch.equal(training[(3, 5)][0], first)
    other = CropDataset(crops, labels, transform=transform, seed=4)
    assert not torch.equal(other[(2, 5)][0], first)


def test_the_sampler_shows_everything_once_in_another_order_each_epoch() -> None:
    sampler = EpochSampler(20, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {epoch for epoch, _ in second} == {1}
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(20))
    assert [i for _, i in first] != [i for _, i in second]
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_the_sampler_draws_the_rare_more_from_its_epoch_on() -> None:
    rates = np.repeat([1.0, 30.0], [30, 1]) / 60
    sampler = EpochSampler(31, seed=0, rates=rates, from_epoch=2)
    rare = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        rare.append(sum(index == 30 for _, index in sampler))
    assert rare[:2] == [1, 1]
    assert min(rare[2:]) >= 8
    few = EpochSampler(31, seed=0, batch=4, rates=rates, from_epoch=1, draws=10)
    shown = [index for _, index in few]
    assert len(few) == len(shown) == len(set(shown)) == 8  # whole batches, nothing twice
    few.set_epoch(1)
    assert len([*few]) == 8

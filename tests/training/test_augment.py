"""Training augmentation by bad imaging conditions."""

from __future__ import annotations

import pytest
import torch
from conftest import FACE
from torch import Tensor

from agelens.training.crops import augmentation
from agelens.training.recipe import Augment

STILL = dict.fromkeys(
    ("flip", "rotation", "zoom", "shift", "brightness", "contrast", "saturation", "grey", "erase"),
    0.0,
)
CONDITIONS = ("zoom_out", "light", "low_resolution", "blur", "sharpen", "noise", "jpeg", "occlude")


@pytest.fixture(scope="module")
def crop(photo) -> Tensor:  # type: ignore[no-untyped-def]
    x1, y1, x2, y2 = FACE
    return torch.from_numpy(photo[y1:y2, x1:x2].copy()).permute(2, 0, 1)[:, :80, :80]


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_condition_changes_the_crop_and_keeps_its_form(name: str, crop: Tensor) -> None:
    torch.manual_seed(0)
    still = augmentation(Augment(**STILL), 64)(crop)
    changed = augmentation(Augment(**STILL | {name: 1.0}), 64)(crop)
    assert changed.shape == still.shape == (3, 64, 64)
    assert changed.dtype == torch.uint8
    difference = (changed.float() - still.float()).abs().mean()
    assert 0.5 < difference < 120


def test_conditions_of_probability_zero_draw_nothing(crop: Tensor) -> None:
    """Recipes from before these keys train on the same pictures as ever."""
    steps = augmentation(Augment(), 64).transforms
    assert [type(step).__name__ for step in steps] == [
        "RandomHorizontalFlip", "RandomAffine", "CenterCrop", "ColorJitter", "RandomGrayscale",
        "RandomErasing",
    ]  # fmt: skip
    torch.manual_seed(3)
    first = augmentation(Augment(blur=0.5, noise=0.5, jpeg=0.5), 64)(crop)
    torch.manual_seed(3)
    torch.testing.assert_close(
        augmentation(Augment(blur=0.5, noise=0.5, jpeg=0.5), 64)(crop), first
    )

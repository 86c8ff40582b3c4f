"""Losses over a distribution of ages. Each takes logits ``[N, K]`` and ages ``[N]`` in years."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from agelens.training.recipe import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]


def expected_age(logits: Tensor) -> Tensor:
    """Mean of the distribution over ages 0 to K - 1 (DEX; Rothe et al. 2015): ``[N]`` years."""
    return logits.softmax(-1) @ torch.arange(logits.shape[-1], dtype=logits.dtype).to(logits.device)


def gaussian_labels(ages: Tensor, classes: int, sigma: float) -> Tensor:
    """Label distributions ``[N, classes]``: a Gaussian around each age, summing to 1."""
    grid = torch.arange(classes, dtype=torch.float32, device=ages.device)
    return (-((grid - ages[:, None].float()) ** 2) / (2 * sigma**2)).softmax(-1)


def dldl_v2(logits: Tensor, ages: Tensor, *, sigma: float, l1_weight: float) -> Tensor:
    """Learn the label's distribution and its mean together (DLDL-v2; Gao et al., IJCAI 2018).

    KL divergence from a Gaussian around the label, plus the weighted L1 error of the expected age.
    """
    target = gaussian_labels(ages, logits.shape[-1], sigma)
    divergence = functional.kl_div(logits.log_softmax(-1), target, reduction="batchmean")
    return divergence + l1_weight * l1(logits, ages)


def l1(logits: Tensor, ages: Tensor) -> Tensor:
    """Mean absolute error of the expected age, in years."""
    return functional.l1_loss(expected_age(logits), ages.float())


def make_loss(loss: Loss) -> LossFunction:
    """The loss that a recipe names."""
    if loss.name == "l1":
        return l1
    return lambda logits, ages: dldl_v2(logits, ages, sigma=loss.sigma, l1_weight=loss.l1_weight)

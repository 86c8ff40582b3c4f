"""Losses over ages: logits ``[N, K]`` and ages ``[N]`` in years to a loss for each, ``[N]``.

`make_loss` makes one of labels, ``[N, 2]``: the lowest and the highest age of each, in years.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from agelens.training.recipe import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]
POINT_LOSSES = ("l1", "mse", "huber")
"""They compare ages, not distributions of ages."""


def expected_age(logits: Tensor) -> Tensor:
    """Mean of the distribution over ages 0 to K - 1 (DEX; Rothe et al. 2015): ``[N]`` years."""
    return logits.softmax(-1) @ _years(logits)


def gaussian_labels(ages: Tensor, classes: int, sigma: float) -> Tensor:
    """Label distributions ``[N, classes]``: a Gaussian around each age, summing to 1."""
    grid = torch.arange(classes, dtype=torch.float32, device=ages.device)
    return (-((grid - ages[:, None].float()) ** 2) / (2 * sigma**2)).softmax(-1)


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL divergence of the distribution from a target distribution ``[N, K]``."""
    return functional.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)


def l1(logits: Tensor, ages: Tensor) -> Tensor:
    """Absolute error of the expected age, in years."""
    return (expected_age(logits) - ages).abs()


def mse(logits: Tensor, ages: Tensor) -> Tensor:
    """Squared error of the expected age, in years squared."""
    return (expected_age(logits) - ages) ** 2


def huber(logits: Tensor, ages: Tensor, *, delta: float) -> Tensor:
    """Squared error up to `delta` years, linear beyond (Huber 1964), of the expected age."""
    return functional.huber_loss(expected_age(logits), ages.float(), reduction="none", delta=delta)


def cross_entropy(logits: Tensor, ages: Tensor) -> Tensor:
    """Ages as classes; the age is read from the distribution (DEX; Rothe et al. 2015)."""
    return functional.cross_entropy(logits, ages, reduction="none")


def dldl(logits: Tensor, ages: Tensor, *, sigma: float) -> Tensor:
    """Divergence from a Gaussian around the label (DLDL; Gao et al., TIP 2017)."""
    return divergence(logits, gaussian_labels(ages, logits.shape[-1], sigma))


def dldl_v2(logits: Tensor, ages: Tensor, *, sigma: float, l1_weight: float) -> Tensor:
    """Learn the label's distribution and its mean together (DLDL-v2; Gao et al., IJCAI 2018)."""
    return dldl(logits, ages, sigma=sigma) + l1_weight * l1(logits, ages)


def mean_variance(
    logits: Tensor, ages: Tensor, *, mean_weight: float, variance_weight: float
) -> Tensor:
    """Cross-entropy, the mean's squared error and the variance (Pan et al., CVPR 2018)."""
    mean = expected_age(logits)
    variance = (logits.softmax(-1) * (_years(logits) - mean[:, None]) ** 2).sum(-1)
    return (
        cross_entropy(logits, ages)
        + mean_weight * (mean - ages) ** 2 / 2
        + variance_weight * variance
    )


def corn(logits: Tensor, ages: Tensor) -> Tensor:
    """Conditional ordinal regression (CORN; Shi, Cao and Raschka 2021).

    Logit k says how likely an age above k is, given that it is above k - 1; the last is not used.
    The mean over a batch is the mean binary cross-entropy over the questions that its ages answer.
    """
    years = _years(logits)[:-1]
    asked = (years <= ages[:, None]).float()
    above = (years < ages[:, None]).float()
    answers = functional.binary_cross_entropy_with_logits(logits[:, :-1], above, reduction="none")
    return (answers * asked).sum(-1) * len(ages) / asked.sum()


def corn_logits(logits: Tensor) -> Tensor:
    """Log-probabilities of the ages ``[N, K]`` from CORN's conditional logits ``[N, K]``."""
    onward = functional.logsigmoid(logits[:, :-1]).cumsum(-1)  # log P(age > k)
    reached = functional.pad(onward, (1, 0))
    stays = functional.pad(functional.logsigmoid(-logits[:, :-1]), (0, 1))
    return reached + stays


def outside_band(log_ages: Tensor, labels: Tensor) -> Tensor:
    """Negative log of the probability that lies inside each label's band: ``[N]``.

    Args:
        log_ages: log-probabilities of the ages, ``[N, K]``.
        labels: lowest and highest age of each, ``[N, 2]``.
    """
    years = _years(log_ages)
    inside = (years >= labels[:, :1]) & (years <= labels[:, 1:])
    return -log_ages.masked_fill(~inside, -torch.inf).logsumexp(-1)


def make_loss(loss: Loss) -> LossFunction:
    """The loss that a recipe names, of logits ``[N, K]`` and labels ``[N, 2]``.

    Of a band, a loss over distributions is `outside_band`; a loss over ages compares with the age
    in the band that is nearest to the expected one.
    """
    exact = _exact_loss(loss)
    if loss.name in POINT_LOSSES:
        return lambda logits, labels: exact(
            logits, expected_age(logits).detach().clamp(*labels.unbind(1))
        )

    def banded(logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()
        log_ages = corn_logits(logits) if loss.name == "corn" else logits.log_softmax(-1)
        known = labels[:, 0] == labels[:, 1]
        losses = outside_band(log_ages, labels)
        return losses.index_put((known,), exact(logits[known], labels[known, 0]))

    return banded


def _exact_loss(loss: Loss) -> LossFunction:
    losses: dict[str, LossFunction] = {
        "l1": l1,
        "mse": mse,
        "huber": lambda logits, ages: huber(logits, ages, delta=loss.delta),
        "cross_entropy": cross_entropy,
        "dldl": lambda logits, ages: dldl(logits, ages, sigma=loss.sigma),
        "dldl_v2": lambda logits, ages: dldl_v2(
            logits, ages, sigma=loss.sigma, l1_weight=loss.l1_weight
        ),
        "mean_variance": lambda logits, ages: mean_variance(
            logits, ages, mean_weight=loss.mean_weight, variance_weight=loss.variance_weight
        ),
        "corn": corn,
    }
    return losses[loss.name]


def _years(logits: Tensor) -> Tensor:
    return torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)

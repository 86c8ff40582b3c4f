"""Losses and answers to imbalance, against examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from agelens import RecipeError
from agelens.training.imbalance import (
    drawing_rates,
    group_evidence,
    label_density,
    sampling_rates,
    sqrt_lds_weights,
    sqrt_sampling,
)
from agelens.training.losses import (
    POINT_LOSSES,
    corn,
    corn_logits,
    cross_entropy,
    divergence,
    dldl,
    dldl_v2,
    expected_age,
    gaussian_labels,
    huber,
    l1,
    make_loss,
    mean_variance,
    mse,
    outside_band,
)
from agelens.training.module import mixed
from agelens.training.network import OLD_AGE_SPREAD, CurveOverAges
from agelens.training.recipe import Imbalance, Loss

FLAT = torch.zeros(1, 5)
"""Every age from 0 to 4 as likely as the others: mean 2, variance 2."""


def test_expected_age_is_the_mean_of_the_distribution() -> None:
    logits = torch.full((2, 117), -1e9)
    logits[0, 30] = 0
    logits[1, [20, 40]] = torch.tensor([1.0, 3.0]).log()  # one part to three
    torch.testing.assert_close(expected_age(logits), torch.tensor([30.0, 35.0]))


def test_gaussian_labels_by_hand() -> None:
    (row,) = gaussian_labels(torch.tensor([2]), 5, sigma=1.0)
    weights = np.exp(-0.5 * np.array([4.0, 1, 0, 1, 4]))
    np.testing.assert_allclose(row, weights / weights.sum(), rtol=1e-5)


def test_losses_of_the_expected_age_by_hand() -> None:
    ages = torch.tensor([4])
    assert float(l1(FLAT, ages)) == pytest.approx(2)
    assert float(mse(FLAT, ages)) == pytest.approx(4)
    assert float(huber(FLAT, ages, delta=3.0)) == pytest.approx(2)  # 2 squared, halved
    assert float(huber(FLAT, ages, delta=1.0)) == pytest.approx(1.5)  # 1 x (2 - 1/2)


def test_losses_of_the_distribution_by_hand() -> None:
    ages = torch.tensor([1])
    assert float(cross_entropy(FLAT, ages)) == pytest.approx(math.log(5))
    target = gaussian_labels(ages, 5, 1.0)
    expected = float((target * (target.log() - math.log(0.2))).sum())
    assert float(divergence(FLAT, target)) == pytest.approx(expected, rel=1e-5)
    assert float(dldl(FLAT, ages, sigma=1.0)) == pytest.approx(expected, rel=1e-5)
    v2 = dldl_v2(FLAT, ages, sigma=1.0, l1_weight=0.25)
    assert float(v2) == pytest.approx(expected + 0.25 * 1.0, rel=1e-5)
    both = mean_variance(FLAT, ages, mean_weight=0.2, variance_weight=0.05)
    assert float(both) == pytest.approx(math.log(5) + 0.2 * 0.5 + 0.05 * 2, rel=1e-5)


def test_corn_by_hand() -> None:
    # Over 0: 3 in 4; over 1, given over 0: 1 in 2; never over 2.
    logits = torch.tensor([[math.log(3.0), 0.0, -20.0, 0.0]])
    np.testing.assert_allclose(corn_logits(logits).exp()[0], [1 / 4, 3 / 8, 3 / 8, 0], atol=1e-6)
    # Age 1 answers two questions: over 0, yes; over 1, no.
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert float(corn(logits, torch.tensor([1]))) == pytest.approx(expected, rel=1e-5)
    # Age 0 answers one, the highest age all three.
    assert float(corn(logits, torch.tensor([0]))) == pytest.approx(math.log(4), rel=1e-5)
    expected = (math.log(4 / 3) + math.log(2) + 20) / 3
    assert float(corn(logits, torch.tensor([3]))) == pytest.approx(expected, rel=1e-4)


NAMES = Loss.model_fields["name"].annotation.__args__  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_by_name_is_least_at_the_right_age(name: str) -> None:
    loss, ages = make_loss(Loss(name=name)), torch.tensor([3, 40, 77])
    labels = torch.stack([ages, ages], 1)
    grid = torch.arange(117.0)
    right = -((grid - ages[:, None]) ** 2) / 8
    wrong = -((grid - ages[:, None] - 15) ** 2) / 8
    if name == "corn":  # conditional logits: sure up to the age, sure not above it
        right, wrong = (5.0 * torch.sign(ages[:, None] + d - 0.5 - grid) for d in (0, 15))
    assert loss(right, labels).shape == (3,)
    assert (loss(right, labels) < loss(wrong, labels)).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_learns(name: str) -> None:
    torch.manual_seed(0)
    loss, ages = make_loss(Loss(name=name)), torch.tensor([5, 30, 80, 44])
    labels = torch.tensor([[5, 5], [30, 30], [80, 80], [40, 48]])
    logits = torch.zeros(4, 117, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(600):
        optimiser.zero_grad()
        loss(logits, labels).sum().backward()
        optimiser.step()
    log_ages = corn_logits(logits) if name == "corn" else logits
    away = (expected_age(log_ages.detach()) - ages).abs()
    assert away[:3].max() < 2
    assert away[3] < 4.5
    if name not in POINT_LOSSES:
        assert log_ages.softmax(-1)[3, 40:49].sum() > 0.95


@pytest.mark.parametrize("name", sorted({*NAMES} - {*POINT_LOSSES}))
def test_a_band_costs_the_negative_log_of_its_mass(name: str) -> None:
    loss = make_loss(Loss(name=name))
    # Of ages 0 to 3: 1/4, 3/8, 3/8, 0 (test_corn_by_hand), or 1/8, 1/8, 1/4, 1/2.
    logits = torch.tensor([[0.125, 0.125, 0.25, 0.5]]).log() + 3
    masses = {(0, 1): 1 / 4, (1, 2): 3 / 8, (0, 3): 1}
    if name == "corn":
        logits = torch.tensor([[math.log(3.0), 0.0, -20.0, 0.0]])
        masses = {(0, 1): 5 / 8, (1, 2): 3 / 4, (0, 3): 1}
    for band, mass in masses.items():
        (cost,) = loss(logits, torch.tensor([band]))
        assert float(cost) == pytest.approx(-math.log(mass), abs=1e-5)
    labels = torch.tensor([[2, 2], [0, 1]])
    both, alone = loss(logits.repeat(2, 1), labels), loss(logits, labels[:1])
    torch.testing.assert_close(both[:1], alone)  # a band beside it changes no age's loss


@pytest.mark.parametrize("name", POINT_LOSSES)
def test_a_band_costs_an_age_its_distance(name: str) -> None:
    loss = make_loss(Loss(name=name))
    costs = loss(FLAT.repeat(3, 1), torch.tensor([[1, 3], [3, 4], [0, 0]]))
    inside, one, two = {"l1": (0, 1, 2), "mse": (0, 1, 4), "huber": (0, 0.5, 2)}[name]
    assert costs.tolist() == pytest.approx([inside, one, two])


def test_the_mass_outside_a_band_has_a_gradient_into_it() -> None:
    logits = torch.zeros(1, 5, requires_grad=True)
    outside_band(logits.log_softmax(-1), torch.tensor([[1, 2]])).sum().backward()
    # -log of the sum over the band: each age's probability, less its part of the band's.
    np.testing.assert_allclose(logits.grad[0], [0.2, -0.3, -0.3, 0.2, 0.2], atol=1e-6)


def test_ages_within_bands_are_learnt_from_bands_alone() -> None:
    """What says more of an age than its band does is used, where the logits are a smooth curve."""
    torch.manual_seed(0)
    ages = torch.rand(3000) * 90
    seen = ages + 4 * torch.randn(3000)
    features = torch.exp(-(((seen[:, None] - torch.arange(0, 100, 10)) / 10) ** 2))
    lowest = torch.tensor([0, 3, 10, 20, 30, 40, 50, 60, 70])
    band = torch.bucketize(ages, lowest, right=True) - 1
    labels = torch.stack([lowest, torch.cat([lowest[1:] - 1, torch.tensor([116])])], 1)[band]
    errors = []
    for last in (CurveOverAges(10, lowest.tolist()), torch.nn.Linear(10, 117)):
        optimiser = torch.optim.Adam(last.parameters(), lr=0.05)
        for _ in range(300):
            optimiser.zero_grad()
            outside_band(last(features).log_softmax(-1), labels).mean().backward()
            optimiser.step()
        away = (expected_age(last(features).detach()) - ages).abs()
        errors.append(float(away[(ages > 10) & (ages < 70)].mean()))
    curve, free = errors
    assert curve < 3.5 < 4 < free  # what was seen is 3.2 years away


def test_a_curve_goes_through_its_knots_and_ends_like_a_normal_distribution() -> None:
    curve = CurveOverAges(1, [0, 20, 40, 60])
    with torch.no_grad():
        curve.weight.fill_(1)
        curve.bias.copy_(torch.tensor([3.0, 1.0, 2.0, 2.5]))
    logits = curve(torch.zeros(1, 1))[0].detach()
    assert logits[[0, 20, 40, 60]].tolist() == pytest.approx([3, 1, 2, 2.5], abs=1e-5)
    assert torch.equal(curve(torch.full((1, 1), 0.5))[0] > logits, torch.full((117,), True))
    steps = logits[61:].diff()  # straight, less the square over twice the variance
    np.testing.assert_allclose(steps.diff(), -1 / OLD_AGE_SPREAD**2, atol=1e-4)
    assert logits[:61].diff().diff().abs().max() < 0.02


def test_label_density_by_hand() -> None:
    density = label_density(np.array([[3, 3], [3, 3]]), 7, sigma=1.0)
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2.0)
    assert density[3] == pytest.approx(2 / kernel.sum())
    assert density[2] == density[4] < density[3]
    assert (np.diff(density[:4]) > 0).all()
    banded = label_density(np.array([[2, 4]] * 6), 7, sigma=1.0)
    apart = [label_density(np.array([[age, age]] * 2), 7, sigma=1.0) for age in (2, 3, 4)]
    np.testing.assert_allclose(banded, sum(apart))


def test_rare_ages_weigh_and_are_drawn_more() -> None:
    ages = np.array([20] * 400 + [80] * 4)
    weights = sqrt_lds_weights(np.stack([ages, ages], 1), 117)
    assert weights[ages].mean() == pytest.approx(1)
    assert weights[80] / weights[20] == pytest.approx(10, rel=0.2)  # the root of 100
    assert weights[81] > weights[20]  # a neighbour's data counts: no cliff between ages
    rates = sqrt_sampling(ages)
    assert rates.sum() == pytest.approx(1)
    assert rates[-1] / rates[0] == pytest.approx(10)


def labelled(ages: list[int], **columns: list[str | None] | str) -> pd.DataFrame:
    return pd.DataFrame({"age_low": ages, "age_high": ages, "source": "A", **columns})


def test_rare_groups_are_drawn_more() -> None:
    faces = labelled(
        [21] * 50 + [29] * 50 + [60] * 25 + [61] * 4 + [30] * 16,
        ethnicity=["Black"] * 100 + ["White"] * 25 + ["Black"] * 4 + [None] * 16,
    )
    rates = sampling_rates(faces, "sqrt_groups")
    assert rates.sum() == pytest.approx(1)
    assert (rates[[50, 100, 125, 129]] / rates[0]).tolist() == pytest.approx([1, 2, 5, 2.5])
    by_age = sampling_rates(faces, "sqrt")
    assert by_age.tolist() == sqrt_sampling(faces["age_low"].to_numpy()).tolist()


def test_sources_are_drawn_as_the_recipe_says() -> None:
    faces = pd.concat(
        [
            labelled([20] * 36 + [60] * 4, ethnicity="Black"),
            labelled([30] * 9, ethnicity="Black", source="B").assign(age_high=39),
        ],
        ignore_index=True,
    )
    assert drawing_rates(faces, Imbalance()) is None
    rates = drawing_rates(faces, Imbalance(sources={"A": 3, "B": 1}))
    assert rates is not None
    assert rates.tolist() == pytest.approx([0.75 / 40] * 40 + [0.25 / 9] * 9)
    both = Imbalance(sampling="sqrt_groups", sources={"A": 0.5, "B": 0.5})
    rates = drawing_rates(faces, both)
    assert rates is not None
    assert rates[36] / rates[0] == pytest.approx(3)  # the root of 36 to 4
    assert [rates[:40].sum(), rates[40:].sum()] == pytest.approx([0.5, 0.5])
    plain = drawing_rates(faces, Imbalance(sampling="sqrt"))
    assert plain is not None
    assert plain[40] / plain[0] == pytest.approx(2)  # a band is a kind, as an age is
    for wrong in ({"A": 1}, {"A": 1, "B": 1, "C": 1}):
        with pytest.raises(RecipeError, match="the data are of A, B"):
            drawing_rates(faces, Imbalance(sources=wrong))


def test_what_a_group_alone_says_of_an_age() -> None:
    faces = labelled(
        [20] * 300 + [60] * 100 + [20] * 100 + [60] * 300,
        gender=[None] * 800,
        ethnicity=["A"] * 400 + ["B"] * 400,
    )
    groups, evidence = group_evidence(faces, 117)
    assert groups.tolist() == [0] * 400 + [1] * 400
    kernel = np.exp(-((np.arange(-20, 21) / 2.0) ** 2) / 2).sum()
    many, few = (count / kernel + 0.5 for count in (300, 100))  # half of one more face at each age
    ratios = 2 * np.array([[many, few], [few, many]]) / (many + few)
    expected = np.log((400 * ratios + 100) / 500)  # 100 with the ages of all
    np.testing.assert_allclose(evidence[:, [20, 60]], expected)
    np.testing.assert_allclose(evidence[:, [0, 40, 100]], 0, atol=1e-9)  # nobody is of those ages


def test_mixup_by_hand() -> None:
    torch.manual_seed(1)
    levels = torch.tensor([0, 100, 200], dtype=torch.uint8)
    images = levels[:, None, None, None].expand(3, 3, 2, 2)
    blend, order, share = mixed(images, 0.4)
    assert 0.5 <= share <= 1
    assert blend.dtype == torch.uint8
    expected = share * levels.float() + (1 - share) * levels[order].float()
    torch.testing.assert_close(blend[:, 0, 0, 0].float(), expected, atol=0.51, rtol=0)
    assert sorted(order.tolist()) == [0, 1, 2]


def test_divergence_from_itself_is_nothing() -> None:
    logits = torch.randn(4, 117)
    assert divergence(logits, functional.softmax(logits, -1)).abs().max() < 1e-5

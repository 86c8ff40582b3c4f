"""The report's section on imbalance: effective samples, and what a recipe makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from agelens.ages import AGE_BANDS, BAND_NAMES
from agelens.data.manifest import usable
from agelens.explore.statistics import BETA, age_counts, effective_number
from agelens.reporting.figures import BLUE, GREEN, GREY, ORANGE, draw
from agelens.reporting.page import Section, Table, Text
from agelens.training.imbalance import sampling_rates, sqrt_lds_weights


def imbalance(manifest: pd.DataFrame, weights: str, sampling: str, source: str) -> Section:
    """Effective samples by age, and what a recipe's answer makes of the distribution.

    Args:
        manifest: of a prepared dataset.
        weights: the recipe's choice; see `agelens.training.recipe.Imbalance`.
        sampling: likewise.
        source: which recipe that is, for the reader.
    """
    train = manifest[usable(manifest) & (manifest["split"] == "train")]
    ages = train["age"].to_numpy(np.int64)
    counts = age_counts(train["age"])
    effective = effective_number(counts)
    weights_of = {"as they are": np.ones(len(ages)) / len(ages)}
    by_age = sqrt_lds_weights(np.stack([ages, ages], 1), len(counts))
    weights_of["weights sqrt_lds"] = by_age[ages] / by_age[ages].sum()
    drawn = {name: sampling_rates(train, name) for name in ("sqrt", "sqrt_groups")}
    weights_of |= {f"sampling {name}": rates for name, rates in drawn.items()}
    rates = np.ones(len(ages))
    rates = rates * (by_age[ages] if weights == "sqrt_lds" else 1)
    rates = rates * drawn.get(sampling, 1)
    chosen = rates / rates.sum()

    def by_band(own: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.histogram(ages, AGE_BANDS, weights=own)[0]

    def samples(left: Axes, right: Axes) -> None:
        left.bar(range(len(counts)), counts, color=BLUE, width=0.9, label="pictures")
        left.step(range(len(counts)), effective, where="mid", color=ORANGE, label="effective")
        left.set(xlabel="age, years", ylabel="training pictures")
        left.legend(fontsize=8)
        places = np.arange(len(BAND_NAMES))
        right.bar(places - 0.2, by_band(weights_of["as they are"]), 0.4, color=GREY, label="as is")
        right.bar(places + 0.2, by_band(chosen), 0.4, color=GREEN, label="as trained")
        right.set(ylabel="weight in the loss")
        right.set_xticks(places, BAND_NAMES, rotation=45)
        right.legend(fontsize=8)

    ratio = counts.max() / max(1, counts[counts > 0].min())
    now = {name: by_band(own) for name, own in (weights_of | {"as trained": chosen}).items()}
    section = Section("Imbalance")
    section.numbers = {
        "largest_to_smallest_year": float(ratio),
        "beta": BETA,
        "effective_number": effective,
        "years_without_pictures": [age for age, n in enumerate(counts) if n == 0],
        "weights_by_band": {k: dict(zip(BAND_NAMES, v, strict=True)) for k, v in now.items()},
        "recipe": {"weights": weights, "sampling": sampling, "source": source},
    }
    old = [i for i, low in enumerate(AGE_BANDS[:-1]) if low >= 60]
    title = (
        f"People of 60 and more are {now['as they are'][old].sum():.0%} of the training pictures "
        f"and {now['as trained'][old].sum():.0%} of what the recipe learns from"
    )
    section.blocks = [
        Text(
            f"The commonest year has {ratio:,.0f} times the pictures of the rarest. The effective "
            f"number of samples counts each further picture of an age for less (Cui et al. 2019, "
            f"beta {BETA}). {source} uses weights “{weights}” and sampling “{sampling}”."
        ),
        draw("imbalance", title, samples, columns=2, size=(9, 3.6)),
        Table(
            "Weight of each band",
            ("band", *now),
            [(band, *(f"{v[i]:.1%}" for v in now.values())) for i, band in enumerate(BAND_NAMES)],
        ),
    ]
    return section

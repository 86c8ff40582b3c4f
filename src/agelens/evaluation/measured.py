"""The parts of an evaluation's result: figures, rates, and what is measured in groups."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler
from pydantic import model_serializer as serializer

SMALL_GROUP = 30
"""Fewer pictures than this are too few to compare groups by."""


class Part(BaseModel):
    """A part of a result: frozen, and without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Measured(Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Rate(Measured):
    """A fraction of people or pictures, 0 to 1, with its exact 95 % interval.

    `events` are those among the `count` that the rate is of.
    """

    events: int
    count: int


class _Group(Part):
    count: int

    @property
    def small(self) -> bool:
        """Whether the group is too small to compare."""
        return self.count < SMALL_GROUP


class Metrics(_Group):
    """Errors of a group of pictures, in years, and the quality of their intervals.

    Metrics that were not asked for are None, and are left out of JSON. `coverage` is the fraction
    of labels inside the intervals, `width` their mean width in years.
    """

    mae: Measured | None = None
    rmse: Measured | None = None
    bias: Measured | None = None
    median_error: Measured | None = None
    within_3: Measured | None = None
    within_5: Measured | None = None
    within_10: Measured | None = None
    coverage: Measured | None = None
    width: Measured | None = None

    def __getitem__(self, metric: str) -> Measured:
        """A metric by its name.

        Raises:
            KeyError: it was not measured.
        """
        figure = getattr(self, metric, None)
        if not isinstance(figure, Measured):
            raise KeyError(metric)
        return figure

    def __contains__(self, metric: str) -> bool:
        return isinstance(getattr(self, metric, None), Measured)

    @serializer(mode="wrap")
    def _without_gaps(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


Groups = dict[str, Metrics]
"""Metrics by the name of the group."""


class ConstantGuess(Part):
    """What an estimator errs by that says one age of every face: the median of the labels."""

    age: float
    mae: float


class StandardisedGroup(_Group, Measured):
    """Mean absolute error of a group, years, as if all groups had one distribution of ages."""


class WidestGap(Part):
    """The two groups whose standardised errors are furthest apart.

    `worst` is the name of the group with the larger error, `best` that with the smaller one. The
    interval of the difference does not allow for the pair having been chosen as the widest.
    """

    worst: str
    best: str
    difference: Measured


class Standardised(Part):
    """Errors of groups of equal ages, over the age `bands` that every group has.

    `fraction` is how many of all faces are in these bands, 0 to 1.
    """

    groups: dict[str, StandardisedGroup]
    bands: list[str]
    fraction: float
    widest: WidestGap


class BandMetrics(_Group):
    """Estimates against labels that are bands of ages.

    `in_band` is the fraction of estimates that are in the band as whole years; `distance` the mean
    of the years to the nearest age of the band; `outside` the same of those outside alone, None
    where there are none.
    """

    in_band: Measured
    distance: Measured
    outside: Measured | None


class BandFigures(Part):
    """Pictures whose label is a band of ages, all and by group."""

    overall: BandMetrics
    groups: dict[str, dict[str, BandMetrics]]


class IntervalLevel(Part):
    """Intervals of one nominal coverage: labels `observed` inside, mean `width` in years."""

    nominal: float
    observed: Rate
    width: float


class EstimatedBand(_Group):
    """Intervals of the faces whose estimate is in one age band."""

    levels: list[IntervalLevel]


class Intervals(Part):
    """Intervals of several nominal coverages, of all faces and by estimated age."""

    levels: list[IntervalLevel]
    estimated: dict[str, EstimatedBand]


class CheckRates(Part):
    """How often an age check is wrong; None where nobody is on that side of the age.

    `false_positive_rate`: of those under age, estimated at or above the challenge age;
    `false_positive_rate_near`: the same of those just under age; `false_negative_rate`: of those
    of age, estimated below the challenge age.
    """

    false_positive_rate: Rate | None
    false_positive_rate_near: Rate | None
    false_negative_rate: Rate | None

    @property
    def small(self) -> bool:
        """Whether too few are under age, or of age, to compare."""
        sides = (self.false_positive_rate, self.false_negative_rate)
        return min(0 if rate is None else rate.count for rate in sides) < SMALL_GROUP


class Challenge(Part):
    """A check at one challenge age."""

    overall: CheckRates
    groups: dict[str, dict[str, CheckRates]]


class LowestChallenge(Part):
    """The lowest challenge age whose false positive rate is at most `bound`.

    `observed` goes by the rate itself, `assured` by the upper end of its interval. None where no
    age up to 60 years above the legal one is high enough.
    """

    bound: float
    observed: int | None
    assured: int | None


class ReliabilityBin(Part):
    """Faces whose probability is between `low` and `high`: its mean, and how often it came true."""

    low: float
    high: float
    mean_probability: float
    observed: Rate


class Reliability(Part):
    """Predicted probabilities against what came true."""

    expected_calibration_error: float
    bins: list[ReliabilityBin]


class Threshold(Part):
    """Everything about checks for one legal age.

    `near` are the first and the last age just under the legal one; `challenges` are by challenge
    age; `lowest_challenge` is for all under age, `lowest_challenge_near` for those just under.
    """

    near: tuple[int, int]
    challenges: dict[int, Challenge]
    lowest_challenge: LowestChallenge
    lowest_challenge_near: LowestChallenge
    reliability: Reliability


class Paired(Part):
    """A metric of two models on the same pictures, and the difference, second minus first."""

    first: float
    second: float
    difference: Measured


class PairedGroup(_Group):
    """Mean absolute errors of two models on the same pictures of a group."""

    mae: Paired


class Comparison(Part):
    """Two models on the `count` pictures in which both found a face; `second` names the other."""

    second: str
    count: int
    overall: dict[str, Paired]
    groups: dict[str, dict[str, PairedGroup]]


class CleanFigures(Part):
    """Figures of clean pictures: `count` faces found, fraction missed, errors in years.

    Errors and the coverage are over the faces that were found, and None where there are none.
    """

    count: int
    miss_rate: float
    mae: float | None
    bias: float | None
    coverage: float | None


class ConditionFigures(CleanFigures):
    """Figures of corrupted pictures: also the `amount` of the corruption, and ratios.

    `ratio` is the MAE over that of the clean pictures, `ratio_same_faces` the same of the faces
    that were found in both.
    """

    amount: float
    ratio: float | None
    ratio_same_faces: float | None


class ConditionMeans(Part):
    """Means over conditions, each counting once; None where no face was found in any."""

    mae: float | None
    ratio: float | None
    miss_rate: float | None
    coverage: float | None


Means = dict[str, ConditionMeans | None]
"""By severities, "1-3" and "1-5"; None where some of these were not measured."""


class CorruptionKind(Part):
    """A kind of corruption: the unit of its amounts, and figures by severity."""

    unit: str
    severities: dict[int, ConditionFigures]
    means: Means


class Corruptions(Part):
    """Estimates in bad conditions, beside those of the same pictures without corruption."""

    seed: int
    pictures: int
    nominal_coverage: float
    clean: CleanFigures
    kinds: dict[str, CorruptionKind]
    means: Means

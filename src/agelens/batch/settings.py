"""What a run was asked for, what its processes get to know, and what it counts."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from agelens.batch.storage import Storage

OUT_OF_MEMORY = 12
"""Exit code of a process that could not get memory."""
PICTURE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of a run needs; ready for JSON.

    Attributes:
        output: the folder or address of the results.
        model: a shipped model's name or a model file, which every machine must have.
        device: as for `agelens.AgeEstimator`.
        coverage: of the intervals.
        min_score: least score of a face.
        at_least: ages, each a column ``at_least_AGE``.
        annotate: write annotated copies.
        anonymous: read public buckets without credentials.
        patience: seconds for which a store is asked again.
        picture_seconds: a picture that takes longer is given up.
    """

    output: str
    model: str = "light"
    device: str = "auto"
    coverage: float = 0.9
    min_score: float = 0.5
    at_least: tuple[int, ...] = ()
    annotate: bool = False
    anonymous: bool = False
    patience: float = 180.0
    picture_seconds: float = PICTURE_SECONDS

    @property
    def source(self) -> Storage:
        """To read pictures from."""
        return Storage(self.anonymous, self.patience)

    @property
    def target(self) -> Storage:
        """To write results to."""
        return Storage(patience=self.patience)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was done.

    Attributes:
        shards: whose parts are written.
        pictures: in them.
        faces: in them.
        failed: pictures that could not be read; their rows say why.
        unfinished: shards without parts, because a store did not answer; a resumed run does them.
    """

    shards: int = 0
    pictures: int = 0
    faces: int = 0
    failed: int = 0
    unfinished: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

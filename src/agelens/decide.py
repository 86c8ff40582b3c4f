"""An age check by estimate: who passes, and who is asked for a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agelens.types import Face


@dataclass(frozen=True, slots=True)
class Decision:
    """What a check says of a face.

    Attributes:
        probability: of having reached the check's age, 0 to 1.
        decision: "pass", or "challenge": ask for a document. A pass is no proof of age.
    """

    probability: float
    decision: Literal["pass", "challenge"]


@dataclass(frozen=True, slots=True)
class AgeCheck:
    """A check for a legal age with a margin, as shops do it ("Challenge 25").

    How often it is wrong is measured by `agelens.evaluation.thresholds`.

    Attributes:
        age: the legal age in completed years.
        challenge: who is estimated below it is challenged; at least `age`.
    """

    age: int = 18
    challenge: int = 25

    def __post_init__(self) -> None:
        if self.challenge < self.age:
            raise ValueError(
                f"the challenge age {self.challenge} is below the age {self.age} that is checked"
            )

    def decide(self, face: Face) -> Decision:
        """Pass a face that is estimated at or above the challenge age."""
        passed = face.age >= self.challenge
        return Decision(face.at_least(self.age), "pass" if passed else "challenge")

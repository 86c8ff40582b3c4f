"""How much worse the ages become in bad conditions: every kind of corruption at every severity."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import __version__
from agelens.data.cache import cached_table, keyed_path
from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset
from agelens.errors import DataError, ImageError
from agelens.estimator import AgeEstimator
from agelens.evaluation.measured import Corruptions
from agelens.evaluation.robustness.conditions import (
    CLEAN,
    COLUMNS,
    JITTER,
    KINDS,
    Condition,
    amount,
    summarise,
)
from agelens.evaluation.robustness.corruptions import LANDMARK_JITTER, corrupt, jittered
from agelens.parallel import Progress, default_jobs, map_in_order, silent
from agelens.pipeline.detect import main_face
from agelens.pipeline.images import load_image
from agelens.pipeline.preprocess import Detector, FaceCrops
from agelens.pipeline.session import shipped
from agelens.types import Box, Detection

CHUNK = 32
"""Pictures that are decoded and corrupted before the age model gets their faces as one batch."""


@dataclass(frozen=True)
class JitteredDetector:
    """A detector that is less exact than another: it moves its landmarks.

    The noise depends on the picture and the seed alone, so that it is the same in any order.

    Attributes:
        detector: whose faces are passed on.
        amount: standard deviation in sides of the face's box.
        seed: of the noise.
    """

    detector: Detector
    amount: float
    seed: int = 0

    def detect(self, image: NDArray[np.uint8], *, min_score: float) -> tuple[Detection, ...]:
        """Find the faces of an RGB uint8 picture ``[H, W, 3]``, largest first."""
        rng = np.random.default_rng([self.seed, zlib.crc32(image.tobytes())])
        found = self.detector.detect(image, min_score=min_score)
        return tuple(jittered(face, self.amount, rng) for face in found)


def evaluate_corruptions(
    estimator: AgeEstimator,
    dataset: Dataset,
    split: str,
    *,
    folder: Path | None = None,
    sample: int | None = None,
    kinds: Sequence[str] | None = None,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    jobs: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Corruptions:
    """Estimate a split's pictures, clean and corrupted, detection included.

    A picture in which no face is found has no error: it is not in `mae`, and `miss_rate` counts
    it. Since the faces that are lost tend to be the hard ones, `ratio_same_faces` compares the
    faces that were found in both conditions.

    Args:
        estimator: with one thread for each picture, since `jobs` are in work at once.
        dataset: a prepared dataset.
        split: "validation", "calibration", "test" or "train".
        folder: where the estimates of finished conditions are kept, a file each, and read again.
            Their names depend on all that the estimates depend on, so none is mixed up.
        sample: so many pictures, drawn by `seed`, instead of all.
        kinds: of `KINDS`; all by default.
        severities: of 1 to 5.
        jobs: threads; one for each processor by default.
        seed: of the sample and the noise.
        progress: called with the number of estimates done and their total.

    Raises:
        DataError: an unknown kind or severity, an empty split, no face in any clean picture, or a
            picture that is missing or broken.
    """
    kinds = KINDS if kinds is None else tuple(dict.fromkeys(kinds))
    severities = sorted(set(severities))
    _check(kinds, severities)
    rows = dataset.part(split, missed=True)
    if rows.empty:
        raise DataError(f"{dataset.folder}: the {split} part holds no usable picture")
    if sample is not None and sample < len(rows):
        rows = rows.sample(sample, random_state=seed).sort_index()
    trial = _Trial(estimator, dataset, rows, seed, jobs or default_jobs())
    groups = [[CLEAN], *([Condition(kind, level) for level in severities] for kind in kinds)]
    total = sum(map(len, groups)) * len(rows)
    facts = _facts(estimator, dataset, split, rows, seed)
    tables: dict[Condition, pd.DataFrame] = {}
    for conditions in groups:
        kept = {} if folder is None else {one: _path(folder, facts, one) for one in conditions}
        left = [one for one in conditions if one not in kept or not kept[one].exists()]
        done = (len(tables) + len(conditions) - len(left)) * len(rows)
        progress(done, total)
        made = trial.run(left, lambda count, done=done: progress(done + count, total))
        tables |= made
        for one, path in kept.items():
            tables[one] = cached_table(path, partial(made.__getitem__, one))
    ages = rows["age"].to_numpy(float)
    return summarise(
        tables, ages, kinds, severities, seed=seed, nominal_coverage=estimator.coverage
    )


def _check(kinds: Sequence[str], severities: Sequence[int]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(f"no corruption is named {kind!r}; there are: {', '.join(KINDS)}")
    if not kinds or not severities or not set(severities) <= {1, 2, 3, 4, 5}:
        raise DataError("give at least one corruption, and severities from 1 to 5")


@dataclass(frozen=True)
class _Trial:
    """The pictures and the estimator that all conditions share."""

    estimator: AgeEstimator
    dataset: Dataset
    rows: pd.DataFrame
    seed: int
    jobs: int

    def run(self, conditions: list[Condition], count: Any) -> dict[Condition, pd.DataFrame]:
        """Estimates of every picture in conditions of one kind; missing where no face was found."""
        if not conditions:
            return {}
        parts: dict[Condition, list[NDArray[np.float64]]] = {one: [] for one in conditions}
        done = 0
        try:
            results = map_in_order(
                lambda chunk: self._chunk(chunk, conditions), self._chunks(), jobs=self.jobs
            )
            for chunk, estimates in results:
                for one, values in zip(conditions, estimates, strict=True):
                    parts[one].append(values)
                done += len(chunk) * len(conditions)
                count(done)
        except ImageError as error:
            raise DataError(f"the dataset changed since it was prepared: {error}") from error
        paths = self.rows["path"].to_list()
        return {
            one: pd.DataFrame(np.concatenate(values), columns=list(COLUMNS)).assign(path=paths)
            for one, values in parts.items()
        }

    def _chunks(self) -> Iterator[list[Any]]:
        for start in range(0, len(self.rows), CHUNK):
            yield list(self.rows.iloc[start : start + CHUNK].itertuples())

    def _chunk(self, chunk: list[Any], conditions: list[Condition]) -> list[NDArray[np.float64]]:
        """Estimates ``[N, 3]`` of some pictures in each condition; a picture is decoded once.

        Batches hold the same pictures whichever conditions are asked for, so that a run that was
        cut off ends with the same numbers to the bit.
        """
        found: dict[Condition, list[_Found]] = {one: [] for one in conditions}
        for index, row in enumerate(chunk):
            image = load_image(self.dataset.picture(row))
            for one in conditions:
                view, detector = self._corrupted(image, row, one)
                height, width = view.shape[:2]
                faces = detector.detect(view, min_score=self.estimator.min_score)
                if face := main_face(faces, width, height):
                    found[one].append(_Found(index, self.estimator.preprocess(view, [face])))
        return [self._ages(found[one], len(chunk)) for one in conditions]

    def _corrupted(
        self, image: NDArray[np.uint8], row: Any, condition: Condition
    ) -> tuple[NDArray[np.uint8], Detector]:
        """The picture in a condition, and the detector that finds its face."""
        detector = self.estimator.detector
        if condition == CLEAN:
            return image, detector
        if condition.kind == JITTER:
            return image, JitteredDetector(
                detector, LANDMARK_JITTER[condition.severity - 1], self.seed
            )
        # Without the severity: the same noise and direction, only stronger.
        names = (zlib.crc32(text.encode()) for text in (row.path, condition.kind))
        rng = np.random.default_rng([self.seed, *names])
        return corrupt(image, *condition, rng, _labelled_face(row)), detector

    def _ages(self, found: list[_Found], length: int) -> NDArray[np.float64]:
        estimates = np.full((length, len(COLUMNS)), np.nan)
        for place, crops in found:
            (face,) = self.estimator.postprocess(self.estimator.predict(crops), crops)
            estimates[place] = face.age, face.interval.low, face.interval.high
        return estimates


class _Found(NamedTuple):
    """A face in a picture of a chunk, ready for the age model."""

    place: int
    crops: FaceCrops


def _labelled_face(row: Any) -> Detection | None:
    """The face that the manifest knows of, found in the clean picture."""
    if row.landmarks is None:
        return None
    return Detection(Box(*map(float, row.box)), landmarks_of(row), float(row.score))


def _facts(
    estimator: AgeEstimator, dataset: Dataset, split: str, rows: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """All that the estimates of a condition depend on, besides the condition."""
    detector = shipped("blazeface.onnx").read_bytes()
    digests = {
        "model": estimator.model.digest,
        "detector": hashlib.sha256(detector).hexdigest(),
    }
    pictures = hashlib.sha256("\n".join(rows["path"]).encode()).hexdigest()
    return digests | {
        "agelens": __version__,
        "dataset": dataset.digest,
        "split": split,
        "coverage": estimator.coverage,
        "pictures": pictures,
        "seed": seed,
    }


def _path(folder: Path, facts: dict[str, Any], condition: Condition) -> Path:
    how_much = None if condition == CLEAN else amount(condition)
    name = f"{condition.kind}-{condition.severity}"
    return keyed_path(folder, name, ".parquet", amount=how_much, **facts)

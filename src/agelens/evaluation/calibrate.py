"""`agelens calibrate`: make a model file's calibration true of the faces of a dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import alike, bands_of
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.estimator import AgeEstimator
from agelens.evaluation.cross_fitting import Gain, cross_fitted, gain, held
from agelens.evaluation.fitting import fit_calibration
from agelens.evaluation.known import UTKFACE
from agelens.evaluation.predictions import distributions_of, predict_split
from agelens.files import Inputs, atomic_path
from agelens.parallel import Progress, silent
from agelens.pipeline.calibration import Calibration
from agelens.pipeline.model import METADATA_KEY, PICTURES_KEY, AgeModel, short_digests

MIN_FACES = 100
FEW = 1000
"""With fewer faces the test part is calibrated on, too: cross-fitting measures what it would."""
PARTS = ("train", "validation", "calibration")


class Calibrated(NamedTuple):
    """A calibration, what it was learnt from, and what it gained.

    `found`: rows of `predict_split` with a face; `splits`: the parts that they are of; `adapted`:
    whether an earlier calibration was the beginning; `before` and `after`: of each face what
    `held` gives, with that calibration and, held out in turn, with the new one.
    """

    calibration: Calibration
    found: pd.DataFrame
    splits: tuple[str, ...]
    adapted: bool
    before: pd.DataFrame
    after: pd.DataFrame

    @property
    def gain(self) -> Gain:
        """What the calibration gained on faces that were held out of it."""
        return gain(self.before, self.after)


def calibrate(
    model: str | Path,
    dataset: Dataset,
    *,
    output: Path | None = None,
    splits: Sequence[str] = (),
    start: AgeModel | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Calibrated:
    """Calibrate a model on faces that its network has not learnt from.

    A calibration that the model has is adapted. If it was learnt from some of these faces and no
    others were the beginning, it is replaced.

    Args:
        model: a model file, or the name of a shipped model.
        dataset: a prepared dataset.
        output: the model file to write; by default `model` is changed.
        splits: whose faces the network has not learnt from; one that is named twice counts once.
            By default the calibration part, of a dataset with sources that the network has learnt
            from; of others all but the test part, and that too where there are fewer than `FEW`
            faces.
        start: the model whose calibration is adapted, in place of the model's own.
        jobs: pictures in work at once.
        progress: called with the number of pictures done and their total, part after part.

    Raises:
        DataError: a part is empty, there are fewer than `MIN_FACES` faces, or the calibration that
            the model has was adapted to some of them already.
        OutputError: the file cannot be written, or is one of the inputs.
    """
    # The model's own distributions: an earlier calibration must not change what is learnt now.
    estimator = AgeEstimator(model, threads=1, calibration=Calibration())
    opened = estimator.model
    if output is not None:
        Inputs([opened.path, *dataset.files()]).refuse(output)
    chosen = tuple(dict.fromkeys(splits)) or default_splits(opened, dataset)
    parts = [dataset.part(split, missed=True, bands=True) for split in chosen]
    for split, part in zip(chosen, parts, strict=True):
        if part.empty:
            raise DataError(f"{dataset.folder}: the {split} part holds no usable picture")
    rows = pd.concat(parts)
    _check_enough(dataset, len(rows))
    origin = start or opened
    earlier = origin.metadata.get("calibrated_on", [])
    seen = int(origin.calibrated_on(rows["sha256"]).sum())
    if seen and any(record["adapted"] for record in earlier):
        raise DataError(
            f"{model}: was adapted to {seen:,} of these faces already; calibrate the model file "
            "that it was made from"
        )
    tables = [
        predict_split(estimator, dataset, split, bands=True, jobs=jobs, progress=progress)
        for split in chosen
    ]
    table = pd.concat(tables, ignore_index=True)
    found = table[table["predicted"].notna()].reset_index(drop=True)
    _check_enough(dataset, len(found))
    base = None if seen or not origin.metadata["calibration"] else origin.calibration
    (distributions, ages), labels, weights = distributions_of(found), bands_of(found), alike(found)

    def fit(which: NDArray[np.bool_]) -> Calibration:
        return fit_calibration(distributions[which], labels[which], ages, weights[which], base=base)

    groups = found["duplicate_group"].to_numpy(object)
    before = held(distributions, labels, ages, base or Calibration())
    after = cross_fitted(fit, distributions, labels, ages, groups)
    fitted = fit(np.ones(len(found), bool))
    record = {
        "dataset": dataset.digest,
        "sources": [source.name for source in dataset.sources],
        "splits": list(chosen),
        "faces": len(found),
        "adapted": base is not None,
    }
    facts = {
        "calibration": fitted.to_dict(),
        "calibrated_on": [*([] if base is None else earlier), record],
    }
    pictures = short_digests(found["sha256"])
    _write(opened, facts, pictures if base is None else origin.pictures | pictures, output)
    return Calibrated(fitted, found, chosen, base is not None, before, after)


def default_splits(model: AgeModel, dataset: Dataset) -> tuple[str, ...]:
    """The parts of a dataset that the network of a model has not learnt from; see `calibrate`."""
    # Files without their sources are of before 0.2, when there was but one dataset to learn from.
    learnt = {source["name"] for source in model.metadata.get("data", [{"name": UTKFACE}])}
    if learnt & {source.name for source in dataset.sources}:
        return ("calibration",)
    sizes = {split: len(dataset.part(split, bands=True)) for split in (*PARTS, "test")}
    few = sum(sizes[split] for split in PARTS) < FEW
    return tuple(split for split, faces in sizes.items() if faces and (split in PARTS or few))


def _check_enough(dataset: Dataset, faces: int) -> None:
    if faces < MIN_FACES:
        raise DataError(
            f"{dataset.folder}: {faces} faces are too few to calibrate on: {MIN_FACES} are needed"
        )


def _write(
    model: AgeModel, facts: dict[str, Any], pictures: frozenset[str], output: Path | None
) -> None:
    text = json.dumps(model.metadata | facts, sort_keys=True)
    with atomic_path(output or model.path) as partial:
        graph = onnx.load(model.path)
        kept = {entry.key: entry.value for entry in graph.metadata_props}
        known = {METADATA_KEY: text, PICTURES_KEY: "".join(sorted(pictures))}
        onnx.helper.set_model_props(graph, kept | known)
        onnx.save(graph, partial)

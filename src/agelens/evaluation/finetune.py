"""`agelens finetune`: a shipped model goes on learning from one's own pictures, and is measured."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from agelens.data.bands import bands_of
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.estimator import AgeEstimator
from agelens.evaluation.calibrate import FEW, MIN_FACES, calibrate
from agelens.evaluation.cross_fitting import Gain, gain, held
from agelens.evaluation.predictions import distributions_of, predict_split
from agelens.files import Inputs
from agelens.parallel import Progress, silent
from agelens.pipeline.calibration import Calibration
from agelens.training.epochs import Report, tell_nobody
from agelens.training.export import export
from agelens.training.fit import fit
from agelens.training.recipe import Recipe
from agelens.training.run_folder import BEST, FACTS, FINISHED, LAST

BEFORE = "light"
"""The shipped model that the recipe `fine-tune` begins with, and that the new one has to beat."""


class FineTuned(NamedTuple):
    """How many faces were learnt and calibrated on, how many compared, and what was gained."""

    learnt: int
    calibrated: int
    compared: int
    gain: Gain


def finetune(
    recipe: Recipe,
    dataset: Dataset,
    output: Path,
    *,
    run: Path,
    accelerator: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
    report: Report = tell_nobody,
) -> FineTuned:
    """Train, export and calibrate, and compare with the shipped model.

    The new model is calibrated on the validation and calibration parts, and of fewer than `FEW`
    pictures on the test part too, with the calibration of the shipped model as the beginning. Both
    are compared on the faces of these parts that neither training nor the choice of the best epoch
    has seen, each held out of the calibration in turn.

    Args:
        recipe: how to train; `fine-tune`, or what extends it.
        dataset: a prepared dataset.
        output: the model file to write.
        run: folder of the training run; the same call goes on with it where it was cut off.
        accelerator: as for `fit`.
        jobs: pictures in work at once.
        progress: called with what is done and its total: steps, then pictures, part after part.
        report: called at the end of every epoch.

    Raises:
        DataError: too few faces can be held out to tell what was gained.
        OutputError: the file cannot be written, or is one of the dataset's or the run's.
        RecipeError, CheckpointError, ExportError: as `fit` and `export` raise them.
    """
    tuned = run / "model.onnx"
    own = (run / name for name in (BEST, LAST, FACTS, FINISHED))
    Inputs(dataset.files()).refuse(output, tuned, *own)
    sizes = {
        split: len(dataset.part(split, bands=True))
        for split in ("train", "validation", "calibration", "test")
    }
    few = sum(sizes.values()) < FEW
    held_out = [split for split in ("calibration", *(["test"] if few else [])) if sizes[split]]
    parts = ["validation", *held_out]
    kept = sum(sizes[split] for split in parts)
    if kept < MIN_FACES:
        raise DataError(
            f"{dataset.folder}: {kept} faces besides those to learn from are too few to tell "
            f"whether a new model is better: {MIN_FACES} are needed, of about 350 in all. With "
            f"{MIN_FACES} in all, `agelens calibrate {BEFORE} DIR -o FILE` adapts what the model "
            "has learnt"
        )
    if not held_out:
        raise DataError(
            f"{dataset.folder}: no face is left to compare the models on: the validation part, "
            "which chooses the best epoch, holds all that are not learnt from. Call some of them "
            "test in the table of labels, and run `agelens data prepare` again"
        )
    best = fit(recipe, dataset, run, progress=progress, report=report, accelerator=accelerator)
    export(best, tuned, dataset.folder, flip=True)
    with AgeEstimator(BEFORE, threads=1, calibration=Calibration()) as before:
        start = before.model
        done = calibrate(
            tuned, dataset, output=output, splits=parts, start=start, jobs=jobs, progress=progress
        )
        unseen = done.found["split"] != "validation"
        after = done.after[unseen].set_index(done.found.loc[unseen, "path"])
        tables = [
            predict_split(before, dataset, split, bands=True, jobs=jobs, progress=progress)
            for split in held_out
        ]
    found = pd.concat(tables, ignore_index=True)
    found = found[found["path"].isin(after.index)]
    distributions, ages = distributions_of(found)
    first = held(distributions, bands_of(found), ages, start.calibration)
    gained = gain(first, after.loc[found["path"]])
    return FineTuned(sizes["train"], len(done.found), len(found), gained)

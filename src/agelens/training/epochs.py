"""What a run tells while it learns: a line an epoch. What its framework tells is left out."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor

from agelens.errors import RecipeError
from agelens.parallel import Progress
from agelens.training.recipe import Recipe

CHECKED_STEPS = 20
"""So often the loss is looked at, in steps: reading it from a GPU waits for the GPU."""


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended.

    Attributes:
        number: which, counted from 1.
        epochs: how many the run has.
        error: validation's mean absolute error in years.
        best: the lowest so far.
        images_per_s: training pictures a second.
        seconds_left: until the run ends, at the pace so far.
    """

    number: int
    epochs: int
    error: float
    best: float
    images_per_s: float
    seconds_left: float


Report = Callable[[Epoch], None]


def tell_nobody(_epoch: Epoch) -> None:
    """Report to nobody."""


class EpochReport(Callback):
    """Tells of steps and epochs, and ends a run whose loss is not a number.

    Args:
        recipe: of the run.
        progress: called with the number of steps done and their total.
        report: called at the end of every epoch.
    """

    def __init__(self, recipe: Recipe, progress: Progress, report: Report) -> None:
        self._recipe, self._progress, self._report = recipe, progress, report
        self._started, self._work = 0.0, 0

    def on_train_start(self, *_: Any) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        del pl_module, batch
        last = batch_idx + 1 == trainer.num_training_batches
        if (batch_idx % CHECKED_STEPS == 0 or last) and not math.isfinite(float(outputs["loss"])):
            raise RecipeError(
                f"epoch {trainer.current_epoch + 1}, step {batch_idx + 1}: the loss is not a "
                "number; lower optimiser.learning_rate or optimiser.clip_norm, or set "
                'optimiser.precision="float32"'
            )
        if trainer.is_global_zero:
            self._progress(
                trainer.global_step, int(trainer.num_training_batches) * self._recipe.epochs
            )

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        del pl_module
        epoch, recipe = trainer.current_epoch, self._recipe
        self._work += recipe.size_at(epoch) ** 2
        work_left = sum(recipe.size_at(later) ** 2 for later in range(epoch + 1, recipe.epochs))
        pace = (time.monotonic() - self._started) / self._work
        figures = trainer.callback_metrics
        error = float(figures["val_mae"])
        scores = [
            callback.best_model_score
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint) and callback.monitor == "val_mae"
        ]
        best = min([error, *(float(score) for score in scores if score is not None)])
        if trainer.is_global_zero:
            rate = float(figures["images_per_s"])
            self._report(Epoch(epoch + 1, recipe.epochs, error, best, rate, pace * work_left))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the framework's advertisements, its notes on the hardware, and its warnings."""
    names = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class LastEpochs(WeightAveraging):
    """The plain mean of the weights at the ends of the epochs from `first` on."""

    def __init__(self, first: int) -> None:
        def average(mean: Tensor, now: Tensor, seen: int | Tensor) -> Tensor:
            count = max(int(seen) - first, 0)  # until then the average is the network itself
            return mean + (now - mean) / (count + 1)

        super().__init__(avg_fn=average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        del step_idx
        return epoch_idx is not None

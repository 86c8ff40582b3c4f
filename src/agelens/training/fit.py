"""A training run: recipe and dataset in, checkpoints and logs out. A killed run goes on exactly."""

from __future__ import annotations

import json
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from agelens.data.manifest import Dataset
from agelens.errors import RecipeError
from agelens.files import atomic_path
from agelens.training.crops import MARGIN, CropDataset, EpochSampler, aligned_crops, augmentation
from agelens.training.module import AgeModule
from agelens.training.recipe import Recipe


def fit(recipe: Recipe, dataset: Dataset, run: Path, *, progress: bool = True) -> Path:
    """Train, or go on with a run that was cut off.

    Writes ``last.ckpt`` after every epoch, ``best.ckpt`` when validation's mean absolute error
    falls, and TensorBoard and CSV logs. Both checkpoints hold the averaged weights.

    Args:
        recipe: what to train.
        dataset: a prepared dataset; its training part is learnt, its validation part measured.
        run: folder of this run.
        progress: show a bar.

    Returns:
        Path of the best checkpoint.

    Raises:
        RecipeError: `run` holds a run of another recipe or dataset.
    """
    _claim(run, recipe, dataset)
    size = recipe.model.size
    crops, ages = aligned_crops(dataset, "train", size, margin=MARGIN)
    training = CropDataset(
        crops, ages, transform=augmentation(recipe.augment, size), seed=recipe.seed
    )
    validation = CropDataset(*aligned_crops(dataset, "validation", size, margin=0.0))
    batch = recipe.optimiser.batch_size
    loader = DataLoader(
        training,
        batch,
        sampler=EpochSampler(len(training), recipe.seed),
        drop_last=True,
        num_workers=recipe.workers,
        persistent_workers=recipe.workers > 0,
    )
    val_loader = DataLoader(validation, 2 * batch)
    about = {
        "data": str(dataset.folder.resolve()),
        "digest": dataset.digest,
        "template": dataset.template.tolist(),
    }
    lightning.seed_everything(recipe.seed, verbose=False)
    module = AgeModule(recipe.model_dump(), len(loader) * recipe.epochs, about)
    best = ModelCheckpoint(run, "best", monitor="val_mae", enable_version_counter=False)
    last = ModelCheckpoint(run, "last", enable_version_counter=False)
    callbacks: list[Callback] = [best, last]
    if recipe.optimiser.ema_decay:
        # From the end of the warm-up on, so that the average forgets the random head at once.
        start = recipe.optimiser.warmup_steps
        callbacks.append(
            EMAWeightAveraging(decay=recipe.optimiser.ema_decay, update_starting_at_step=start)
        )
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=20))
    loggers: list[Logger] = [CSVLogger(run, "logs", "csv"), TensorBoardLogger(run, "logs", "tb")]
    trainer = lightning.Trainer(
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        logger=loggers,
        gradient_clip_val=recipe.optimiser.clip_norm,
        enable_progress_bar=progress,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        use_distributed_sampler=False,
        enable_model_summary=False,
    )
    checkpoint = run / "last.ckpt"
    trainer.fit(module, loader, val_loader, ckpt_path=checkpoint if checkpoint.exists() else None)
    return run / "best.ckpt"


def _claim(run: Path, recipe: Recipe, dataset: Dataset) -> None:
    """Write down what a run trains, or refuse to go on with another's checkpoints."""
    facts = {"recipe": recipe.model_dump(), "data": dataset.digest}
    path = run / "run.json"
    if not path.exists():
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    elif json.loads(path.read_text("utf-8")) != facts:
        raise RecipeError(f"{run} holds a run of another recipe or dataset; name another --run")

"""A training run: recipe and dataset in, checkpoints and logs out. A killed run goes on exactly."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from agelens.ages import CLASSES
from agelens.data.bands import Bands, bands_of
from agelens.data.manifest import Dataset
from agelens.errors import DataError, OutputError, RecipeError
from agelens.parallel import Progress, silent
from agelens.training.crops import MARGIN, CropDataset, EpochSampler, aligned_crops, augmentation
from agelens.training.epochs import EpochReport, LastEpochs, Report, quiet, tell_nobody
from agelens.training.imbalance import drawing_rates, group_evidence, sqrt_lds_weights
from agelens.training.initial_weights import fitted, load_model_file, restore_batch_norm
from agelens.training.module import AgeModule, load_checkpoint, read_checkpoint
from agelens.training.network import (
    HALF_RESNET50,
    AgeNet,
    make_network,
    readable_sizes,
    resized,
)
from agelens.training.quantise import calibration_crops
from agelens.training.recipe import Model, Recipe
from agelens.training.references import initial_file, teacher_files
from agelens.training.run_folder import (
    BEST,
    LAST,
    KeptLog,
    WholeCheckpoints,
    check_folder,
    claim_folder,
    mark_finished,
    run_facts,
)
from agelens.training.teacher import Teacher


@quiet()
def fit(
    recipe: Recipe,
    dataset: Dataset,
    run: Path,
    *,
    progress: Progress = silent,
    report: Report = tell_nobody,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
) -> Path:
    """Train, or go on with a run that was cut off.

    Writes ``last.ckpt`` after every epoch, ``best.ckpt`` when validation's error falls (the mean
    distance to the label, each source counting alike), and TensorBoard and CSV logs. Both
    checkpoints hold the averaged weights. Where the processor or the GPU is fast in bfloat16, the
    network computes in it where it can. Several devices or nodes share each batch of the recipe, so
    that their number changes the result by rounding only (and by batch normalisation, whose
    statistics are each device's own).

    Args:
        recipe: what to train.
        dataset: a prepared dataset; its training part is learnt, its validation part measured.
        run: folder of this run; runs and model files that the recipe names are its neighbours.
        progress: called with the number of steps done and their total.
        report: called at the end of every epoch.
        accelerator: "cpu", "gpu" or what Lightning finds.
        devices: how many of them on each node.
        nodes: machines, each started by torchrun.

    Returns:
        Path of the best checkpoint.

    Raises:
        RecipeError: `run` holds a run of another recipe or dataset, the recipe names what does not
            exist, a batch is more than an epoch or cannot be shared, the recipe's sources are not
            the data's, there is no such accelerator, or the loss is not a number.
        DataError: there is no validation part, or the pictures are gone.
        ModelError: a model file that the recipe names cannot be used.
        CheckpointError: a run that the recipe names cannot be used.
        OutputError: `run` cannot be written: the disk is full, for example.
    """
    facts = run_facts(recipe, dataset, run)
    checkpoint = run / LAST
    if check_folder(run, facts):
        mark_finished(run)
        return run / BEST
    if checkpoint.exists():
        read_checkpoint(checkpoint)
    for split in ("train", "validation"):
        if not len(dataset.part(split, bands=True)):
            raise DataError(f"{dataset.folder}: its {split} part holds no face that can be used")
    trainer = _trainer(recipe, run, accelerator=accelerator, devices=devices, nodes=nodes)
    trainer.callbacks.append(EpochReport(recipe, progress, report))  # type: ignore[attr-defined]
    processes, batch = trainer.world_size, recipe.optimiser.batch_size
    if batch % processes:
        raise RecipeError(f"optimiser.batch_size: {batch} cannot be shared by {processes} devices")
    size = recipe.model.size
    crops, faces = aligned_crops(dataset, "train", size, margin=MARGIN)
    labels = bands_of(faces)
    groups, evidence = group_evidence(faces, CLASSES)
    transform = augmentation(recipe.augment, size)
    training = CropDataset(crops, labels, groups, transform=transform, seed=recipe.seed)
    unseen, rows = aligned_crops(dataset, "validation", size, margin=0.0)
    numbers = {source.name: number for number, source in enumerate(dataset.sources)}
    sources = np.array(rows["source"].map(numbers), np.int64)
    validation = CropDataset(unseen, bands_of(rows), sources)
    sampler = EpochSampler(
        len(training),
        recipe.seed,
        batch=batch,
        rates=drawing_rates(faces, recipe.imbalance),
        from_epoch=recipe.imbalance.from_epoch,
        draws=recipe.epoch_faces,
        rank=trainer.global_rank,
        processes=processes,
    )
    if not len(sampler):
        raise RecipeError(
            f"optimiser.batch_size: {batch}, but an epoch has {sampler.draws} faces; choose a "
            "smaller batch"
        )
    on_gpu = torch.cuda.is_available()
    loader = DataLoader(
        training,
        batch // processes,
        sampler=sampler,
        num_workers=recipe.workers,
        persistent_workers=recipe.workers > 0,
        pin_memory=on_gpu,
    )
    val_sampler = range(trainer.global_rank, len(validation), processes)
    val_loader = DataLoader(validation, 2 * batch, sampler=val_sampler, pin_memory=on_gpu)
    about = {
        "data": str(dataset.folder.resolve()),
        "digest": dataset.digest,
        "template": dataset.template.tolist(),
        "sources": [source._asdict() for source in dataset.sources],
    }
    lightning.seed_everything(recipe.seed, verbose=False)
    steps = len(loader) * recipe.epochs
    module = _module(recipe, run, crops, labels, evidence, steps, about)
    readable_sizes(module.net, {stage.size for stage in recipe.stages})
    if trainer.is_global_zero:
        claim_folder(run, facts)
    # Workers are forks: one that frees an ONNX Runtime session waits for its threads for ever.
    gc.collect()
    try:
        last = checkpoint if checkpoint.exists() else None
        trainer.fit(module, loader, val_loader, ckpt_path=last)
    except SystemExit as error:  # how Lightning ends after Ctrl-C
        raise KeyboardInterrupt from error
    except OSError as error:
        raise OutputError(f"{run}: cannot be written ({error.strerror or error})") from error
    if trainer.is_global_zero:
        mark_finished(run)
    return run / BEST


def _module(
    recipe: Recipe,
    run: Path,
    crops: NDArray[np.uint8],
    labels: Bands,
    evidence: NDArray[np.float64],
    steps: int,
    about: dict[str, Any],
) -> AgeModule:
    teacher, reference = None, recipe.model.initial_weights
    checkpoints, files = teacher_files(recipe, run.parent)
    if checkpoints or files:
        modules = [load_checkpoint(path) for path in checkpoints]
        ranges = calibration_crops(crops, MARGIN)
        teacher = Teacher(modules, run, ranges, models=files)
    weights: Tensor | None = None
    if recipe.imbalance.weights == "sqrt_lds":
        weights = torch.from_numpy(sqrt_lds_weights(labels, CLASSES)).float()
    adjustment = recipe.imbalance.group_adjustment
    module = AgeModule(
        recipe.model_dump(),
        steps,
        about,
        teacher.features if teacher else 0,
        teacher=teacher,
        age_weights=weights,
        evidence=torch.from_numpy(adjustment * evidence).float() if adjustment else None,
        pretrained=reference is None,
    )
    images = torch.from_numpy(calibration_crops(crops, MARGIN)).permute(0, 3, 1, 2)
    images = resized(images, recipe.size_at(0))
    if reference is not None:
        file = initial_file(reference, run.parent)
        if file is None or file.suffix == ".onnx":
            net = _folded(recipe.model, file, images)
        else:
            net = load_checkpoint(file).net
        begun = fitted(net.state_dict(), module.net.state_dict(), recipe.seed)
        module.net.load_state_dict(begun)
    elif recipe.model.backbone == HALF_RESNET50 and recipe.model.pretrained:
        restore_batch_norm(module.net, images)
    return module


def _folded(model: Model, file: Path | None, images: Tensor) -> AgeNet:
    """The network of a model file, or of `HALF_RESNET50`: batch normalisation is folded in."""
    if file is None:
        net = make_network(Model(backbone=HALF_RESNET50))
    else:
        net = make_network(model.model_copy(update={"pretrained": False}))
        load_model_file(net, file)
    restore_batch_norm(net, images)
    return net


def _trainer(
    recipe: Recipe,
    run: Path,
    *,
    accelerator: str,
    devices: int | str,
    nodes: int,
) -> lightning.Trainer:
    callbacks: list[Callback] = [
        ModelCheckpoint(run, "best", monitor="val_mae", enable_version_counter=False),
        ModelCheckpoint(run, "last", enable_version_counter=False),
    ]
    optimiser = recipe.optimiser
    if optimiser.average == "ema":
        # From the end of the warm-up on, so that the average forgets the random head at once.
        start = optimiser.warmup_steps
        decay = optimiser.ema_decay
        callbacks.append(EMAWeightAveraging(decay=decay, update_starting_at_step=start))
    elif optimiser.average == "swa":
        callbacks.append(LastEpochs(max(0, recipe.epochs - optimiser.swa_epochs)))
    table = CSVLogger(run, "logs", "csv")
    callbacks.append(KeptLog(table))
    loggers: list[Logger] = [table, TensorBoardLogger(run, "logs", "tb")]
    several = nodes > 1 or devices not in ("auto", 1)
    # A frozen backbone has no gradients to share.
    frozen = "ddp_find_unused_parameters_true" if recipe.model.frozen_epochs else "ddp"
    try:
        return lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=frozen if several else "auto",
            precision="bf16-mixed" if _bfloat16(recipe, accelerator) else None,
            callbacks=callbacks,
            plugins=WholeCheckpoints(),
            logger=loggers,
            gradient_clip_val=optimiser.clip_norm,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            log_every_n_steps=20,
            use_distributed_sampler=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise RecipeError(f"accelerator {accelerator}, devices {devices}: {reason}") from error


def _bfloat16(recipe: Recipe, accelerator: str) -> bool:
    """Whether to compute in bfloat16; "auto" does where the hardware multiplies it faster."""
    if recipe.optimiser.precision != "auto":
        return recipe.optimiser.precision == "bfloat16"
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # 1.8 times as fast as floats on Zen 5; elsewhere PyTorch emulates it, slowly.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())

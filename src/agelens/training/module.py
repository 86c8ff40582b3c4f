"""One training step, one validation step, the optimiser and its schedule, for Lightning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import numpy as np
import torch
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from agelens.ages import CLASSES
from agelens.data.bands import distance
from agelens.errors import CheckpointError
from agelens.pipeline.calibration import quantile
from agelens.training.crops import draw_seed
from agelens.training.losses import divergence, make_loss
from agelens.training.network import make_network, resized
from agelens.training.recipe import Recipe

TeacherFunction = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From uint8 RGB images to age distributions and unit features; see `agelens.training.teacher`."""


class AgeModule(lightning.LightningModule):
    """Trains the network of a recipe.

    Args:
        recipe: a `Recipe` as plain values; kept in the checkpoint, like the next three.
        steps: length of the whole run in optimiser steps.
        about: what an exported model says of its training data: folder, digest, template, sources.
        teacher_features: how many features the teachers have; 0 without a teacher.
        teacher: what the network imitates.
        age_weights: a weight in the loss for every age, ``[117]``; see `imbalance`.
        evidence: added to the logits while learning, ``[groups, 117]``; see `imbalance`.
        pretrained: False where a checkpoint's weights follow.
    """

    def __init__(
        self,
        recipe: dict[str, Any],
        steps: int,
        about: dict[str, Any],
        teacher_features: int = 0,
        *,
        teacher: TeacherFunction | None = None,
        age_weights: Tensor | None = None,
        evidence: Tensor | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            {"recipe": recipe, "steps": steps, "about": about, "teacher_features": teacher_features}
        )
        self.steps = steps
        self.recipe = Recipe.model_validate(recipe)
        model, loss = self.recipe.model, self.recipe.loss
        self.net = make_network(
            model.model_copy(update={"pretrained": model.pretrained and pretrained}),
            ordinal=loss.name == "corn",
        )
        self.loss = make_loss(loss)
        self.teacher = teacher
        if teacher_features:
            self.project = nn.Linear(self.net.features, teacher_features)
        self.age_weights: Tensor | None
        self.register_buffer("age_weights", age_weights, persistent=False)
        self.evidence: Tensor | None
        self.register_buffer("evidence", evidence, persistent=False)
        self.train_loss = MeanMetric()
        sources = [source["name"] for source in about.get("sources", [])]
        self.sources: list[str] = sources or ["data"]
        self.validation = nn.ModuleList(MeanMetric() for _ in self.sources)
        self._epoch_started = 0.0
        self._epoch_images = 0

    def on_train_epoch_start(self) -> None:
        self._epoch_started, self._epoch_images = time.monotonic(), 0
        learns = self.current_epoch >= self.recipe.model.frozen_epochs
        self.net.backbone.requires_grad_(learns).train(learns)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        # Random draws depend on seed, epoch and step alone, so that a resumed run repeats them.
        seed = (self.recipe.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(draw_seed(*seed))
        images, labels, groups = batch
        order, weight = torch.arange(len(labels), device=labels.device), 1.0
        if self.recipe.augment.mixup:
            images, order, weight = mixed(images, self.recipe.augment.mixup)
        small = resized(images, self.recipe.size_at(self.current_epoch))
        features = self.net.pooled(_fast(small))
        logits = self.net.head(features)
        if self.evidence is not None and self._answers_imbalance():
            known = self.evidence[groups]
            logits = logits + torch.lerp(known[order], known, weight)
        losses = weight * self._label_loss(logits, labels)
        if weight < 1:
            losses = losses + (1 - weight) * self._label_loss(logits, labels[order])
        if self.teacher is not None:
            losses = self._distilled(losses, images, features, logits)
        loss = losses.mean()
        self.train_loss(loss.detach())
        self._epoch_images += len(images) * self.trainer.world_size
        rate = self._epoch_images / (time.monotonic() - self._epoch_started)
        self.log("images_per_s", rate, prog_bar=True)
        return loss

    def _label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = self.loss(logits, labels)
        if self.age_weights is None or not self._answers_imbalance():
            return losses
        sums = functional.pad(self.age_weights.cumsum(0), (1, 0))
        low, high = labels.unbind(1)
        return losses * (sums[high + 1] - sums[low]) / (high + 1 - low)

    def _answers_imbalance(self) -> bool:
        return self.current_epoch >= self.recipe.imbalance.from_epoch

    def _distilled(
        self, losses: Tensor, images: Tensor, features: Tensor, logits: Tensor
    ) -> Tensor:
        """The labels' losses ``[N]`` joined with those of the teacher on the same images."""
        assert self.teacher is not None
        wanted = self.recipe.teacher
        distribution, directions = self.teacher(images)
        imitation = divergence(self.net.log_ages(logits), distribution)
        unlike = 1 - functional.cosine_similarity(self.project(features), directions)
        return (
            (1 - wanted.weight) * losses
            + wanted.weight * imitation
            + wanted.feature_weight * unlike
        )

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        images, labels, sources = batch
        distribution = self.net.log_ages(self.net(_fast(images))).exp().float().cpu().numpy()
        estimates = quantile(distribution, np.arange(CLASSES), 0.5)
        errors = torch.from_numpy(distance(estimates, labels.cpu().numpy())).float()
        for number, metric in enumerate(self._metrics()):
            metric.update(errors.to(images.device)[sources == number])

    def on_validation_epoch_end(self) -> None:
        """Log the mean distance to the label of each source, and as ``val_mae`` their mean.

        And the epoch's mean training loss: Lightning would log it after the epoch's checkpoint, so
        that a run that goes on from there would lack it.
        """
        errors = [metric.compute() for metric in self._metrics()]
        self.log("val_mae", torch.stack(errors).mean(), prog_bar=True)
        if len(errors) > 1:
            self.log_dict({f"val_{name}": e for name, e in zip(self.sources, errors, strict=True)})
        self.log("train_loss", self.train_loss.compute(), prog_bar=True)
        for metric in (*self._metrics(), self.train_loss):
            metric.reset()

    def _metrics(self) -> list[MeanMetric]:
        return [metric for metric in self.validation if isinstance(metric, MeanMetric)]

    def configure_optimizers(self) -> Any:
        optimiser = self.recipe.optimiser
        groups = param_groups_weight_decay(self, optimiser.weight_decay)
        adamw = torch.optim.AdamW(groups, lr=optimiser.learning_rate)
        warmup, steps = optimiser.warmup_steps, self.steps

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 + 0.5 * math.cos(
                math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))
            )

        schedule = torch.optim.lr_scheduler.LambdaLR(adamw, factor)
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def mixed(images: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Mix a batch with itself in another order (mixup; Zhang et al., ICLR 2018).

    Args:
        images: uint8 ``[N, 3, S, S]``.
        alpha: of the Beta distribution that the weight of the first is drawn from.

    Returns:
        Mixed images, uint8; which were mixed in, ``[N]``; the weight of the first, at least a half.
    """
    drawn = float(torch.distributions.Beta(alpha, alpha).sample())
    weight = max(drawn, 1 - drawn)
    order = torch.randperm(len(images)).to(images.device)
    blend = torch.lerp(images[order].float(), images.float(), weight)
    return blend.round().to(torch.uint8), order, weight


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The values in a checkpoint of `fit`, on the CPU.

    Raises:
        CheckpointError: no such file, or not a checkpoint of agelens.
    """
    kind = {".toml": "recipe", ".onnx": "model file"}.get(path.suffix)
    if kind is not None:
        raise CheckpointError(f"{path}: a {kind} where a checkpoint belongs, as best.ckpt of a run")
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; give a checkpoint in it, as {path / 'best.ckpt'}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    try:
        with file:
            whole = torch.load(file, map_location="cpu", weights_only=True)
        if "hyper_parameters" in whole and "state_dict" in whole:
            return dict(whole)
    except (OSError, TypeError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: empty, cut off, or not a checkpoint that `agelens train` wrote"
        ) from error
    raise CheckpointError(f"{path}: not a checkpoint that `agelens train` wrote")


def load_checkpoint(path: Path) -> AgeModule:
    """Open a checkpoint of `fit`, with the averaged weights, in evaluation mode.

    Raises:
        CheckpointError: no such file, or not a checkpoint of agelens.
    """
    whole = read_checkpoint(path)
    try:
        module = AgeModule(**whole["hyper_parameters"], pretrained=False)
        module.load_state_dict(whole["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: a checkpoint of another version of agelens") from error
    return module.eval()


def _fast(images: Tensor) -> Tensor:
    """Channels last: what convolutions are fastest with, on CPU and GPU."""
    return images.contiguous(memory_format=torch.channels_last)

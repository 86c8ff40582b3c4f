"""One training step, one validation step, the optimiser and its schedule, for Lightning."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning
import torch
from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanMetric

from agelens.training.crops import draw_seed
from agelens.training.losses import expected_age, make_loss
from agelens.training.network import make_network
from agelens.training.recipe import Recipe


class AgeModule(lightning.LightningModule):
    """Trains the network of a recipe.

    Args:
        recipe: a `Recipe` as plain values; kept in the checkpoint, like `steps` and `about`.
        steps: length of the whole run in optimiser steps.
        about: what an exported model says of its training data: folder, digest, template.
        pretrained: False where a checkpoint's weights follow.
    """

    def __init__(
        self, recipe: dict[str, Any], steps: int, about: dict[str, Any], *, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"recipe": recipe, "steps": steps, "about": about})
        self.steps = steps
        self.recipe = Recipe.model_validate(recipe)
        model = self.recipe.model
        self.net = make_network(
            model.model_copy(update={"pretrained": model.pretrained and pretrained})
        )
        self.loss = make_loss(self.recipe.loss)
        self.train_loss = MeanMetric()
        self.validation_mae = MeanAbsoluteError()
        self._epoch_started = 0.0
        self._epoch_images = 0

    def on_train_epoch_start(self) -> None:
        self._epoch_started, self._epoch_images = time.monotonic(), 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        # Dropout's draws depend on seed, epoch and step alone, so that a resumed run repeats them.
        torch.manual_seed(draw_seed(self.recipe.seed, self.current_epoch, batch_idx))
        images, ages = batch
        size = self.recipe.size_at(self.current_epoch)
        if size != images.shape[-1]:
            images = functional.interpolate(
                images, size=(size, size), mode="bilinear", antialias=True
            )
        loss = self.loss(self.net(_fast(images)), ages)
        self.train_loss(loss.detach())
        self._epoch_images += len(images)
        rate = self._epoch_images / (time.monotonic() - self._epoch_started)
        self.log("images_per_s", rate, prog_bar=True)
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        images, ages = batch
        self.validation_mae(expected_age(self.net(_fast(images))), ages.float())
        self.log("val_mae", self.validation_mae, on_epoch=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimiser = self.recipe.optimiser
        groups = param_groups_weight_decay(self.net, optimiser.weight_decay)
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


def _fast(images: Tensor) -> Tensor:
    """Channels last: what convolutions are fastest with, on CPU and GPU."""
    return images.contiguous(memory_format=torch.channels_last)

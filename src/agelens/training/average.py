"""A network whose weights are the mean of several that began with the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from agelens.errors import CheckpointError
from agelens.files import Inputs
from agelens.training.module import load_checkpoint, read_checkpoint
from agelens.training.run_folder import write_checkpoint


def average(checkpoints: Sequence[Path], target: Path) -> None:
    """Average checkpoints, weight by weight ("model soups"; Wortsman et al., ICML 2022).

    It takes the time of one network and often errs less than each, when one run went on from
    another's weights. The result keeps the recipe of the first, under the name of `target`'s
    folder.

    Args:
        checkpoints: of one architecture, from `fit`; the first says the size that is served.
        target: path of the averaged checkpoint.

    Raises:
        CheckpointError: one cannot be read, or has other weights than the first.
        OutputError: `target` cannot be written, or is one of them.
    """
    inputs = Inputs(checkpoints)
    inputs.refuse(target)
    modules = [load_checkpoint(path) for path in checkpoints]
    states = [module.net.state_dict() for module in modules]
    for path, state in zip(checkpoints, states, strict=True):
        if _shapes(state) != _shapes(states[0]):
            raise CheckpointError(f"{path}: not of the same architecture as {checkpoints[0]}")
    mean = {
        f"net.{name}": torch.stack([state[name].double() for state in states])
        .mean(0)
        .to(states[0][name].dtype)
        for name in states[0]
    }
    whole = read_checkpoint(checkpoints[0])
    values = dict(whole["hyper_parameters"])
    names = [module.recipe.name for module in modules]
    values["recipe"] = values["recipe"] | {"name": target.resolve().parent.name}
    values["about"] = values["about"] | {"averaged": names}
    values["teacher_features"] = 0
    kept = {
        "pytorch-lightning_version": whole["pytorch-lightning_version"],
        "hyper_parameters": values,
        "state_dict": mean,
    }
    write_checkpoint(kept, target, inputs)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}

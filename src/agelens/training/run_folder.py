"""A run's folder: what it trains, written down before it learns, and a mark when it has ended."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from pydantic import ValidationError

from agelens.data.manifest import Dataset
from agelens.errors import RecipeError
from agelens.files import Inputs, atomic_path
from agelens.training.recipe import Recipe
from agelens.training.references import digests, sha256

BEST, LAST = "best.ckpt", "last.ckpt"
FACTS, FINISHED = "run.json", "finished.json"


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, whatever ends the process.

    Lightning's own are written elsewhere first, and copied where that is another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; there are no `storage_options`."""
        del storage_options
        write_checkpoint(checkpoint, Path(path))


class KeptLog(Callback):
    """The table of a run's log, in its checkpoints.

    A run that goes on has the rows of its beginning, each once: Lightning begins the table anew.
    """

    def __init__(self, logger: CSVLogger) -> None:
        self._logger = logger

    def _path(self) -> Path:
        return Path(self._logger.log_dir) / "metrics.csv"

    def state_dict(self) -> dict[str, str]:
        """What has been logged until now."""
        self._logger.save()
        return {"table": self._path().read_text("utf-8") if self._path().exists() else ""}

    @rank_zero_only
    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Put it back, instead of what was logged after the checkpoint."""
        writer, table = self._logger.experiment, state_dict["table"]
        if table:
            with atomic_path(self._path()) as partial:
                partial.write_text(table, "utf-8")
            writer.metrics_keys = table.partition("\n")[0].split(",")


def write_checkpoint(checkpoint: dict[str, Any], path: Path, inputs: Inputs | None = None) -> None:
    """Write what torch can save, whole or not at all.

    Args:
        checkpoint: what is written.
        path: of the file.
        inputs: files that must not be written over.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path, inputs=inputs) as partial:
        # Through memory, because torch's own writer gives a full disk no error of the system.
        torch.save(checkpoint, stream := io.BytesIO())
        partial.write_bytes(stream.getbuffer())


def run_facts(recipe: Recipe, dataset: Dataset, run: Path) -> dict[str, Any]:
    """What a run learns: its recipe, and the digests of data, initial weights and teachers.

    Raises:
        RecipeError: the recipe names a file or a run that does not exist.
    """
    files = digests(recipe, run.parent)
    return {"recipe": recipe.model_dump(), "data": dataset.digest} | files


def check_folder(run: Path, facts: dict[str, Any]) -> bool:
    """Make sure that `run` holds nothing, or a part of this very run.

    A start that failed before its first epoch ended left no checkpoint: it blocks nothing.

    Returns:
        Whether the run has ended.

    Raises:
        RecipeError: it holds something else, which training would overwrite.
    """
    if not (run / LAST).exists():
        if (run / BEST).exists():
            raise RecipeError(f"{run} holds {BEST} of no run of its own; name another --run")
        return False
    try:
        known = json.loads((run / FACTS).read_text("utf-8"))
        known["recipe"] = Recipe.model_validate(known["recipe"]).model_dump()
    except OSError as error:
        raise RecipeError(f"{run} holds checkpoints without {FACTS}; name another --run") from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise RecipeError(f"{run / FACTS}: broken; name another --run") from error
    changed = [key.replace("_", " ") for key in facts if known.get(key, facts[key]) != facts[key]]
    if changed:
        raise RecipeError(
            f"{run} holds a run of another {' and '.join(changed)}; name another --run, or delete "
            "that folder to train again"
        )
    return (run / FINISHED).exists() and (run / BEST).exists()


def claim_folder(run: Path, facts: dict[str, Any]) -> None:
    """Write down what a run learns; what a failed start of another left there goes."""
    text = json.dumps(facts, indent=2) + "\n"
    path = run / FACTS
    if path.exists() and path.read_text("utf-8") != text and not (run / LAST).exists():
        for left in run.glob("teacher-*.onnx"):  # copies that the teachers left
            left.unlink()
    with atomic_path(path) as partial:
        partial.write_text(text, "utf-8")


def mark_finished(run: Path) -> None:
    """Write that a run has ended, and with which checkpoints, by their digests."""
    names = [name for name in (BEST, LAST) if (run / name).exists()]
    facts = {name: sha256(run / name) for name in names}
    with atomic_path(run / FINISHED) as partial:
        partial.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")

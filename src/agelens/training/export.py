"""From a checkpoint to the one model file, checked against the network that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from numpy.typing import NDArray

from agelens import __version__
from agelens.ages import CLASSES
from agelens.data.bands import Bands, bands_of, distance, mean_over_sources
from agelens.data.manifest import Dataset
from agelens.errors import ExportError
from agelens.files import Inputs, atomic_path
from agelens.parallel import Progress, silent
from agelens.pipeline.calibration import quantile
from agelens.pipeline.model import FORMAT, METADATA_KEY, AgeModel
from agelens.training.crops import MARGIN, aligned_crops
from agelens.training.module import load_checkpoint
from agelens.training.network import ServedNet, write_graph
from agelens.training.quantise import calibration_crops, quantise
from agelens.training.recipe import Recipe

TOLERANCE = 1e-3
"""Largest difference in years between ONNX Runtime and torch for the file to be written."""
CHECKED_CROPS = 256
INT8_COST = 0.08
"""Largest rise of the validation error, in years, that 8 bits may cost."""


def export(
    checkpoint: Path,
    target: Path,
    data: Path | None = None,
    *,
    flip: bool = False,
    int8: bool = False,
    progress: Progress = silent,
) -> float:
    """Write the model file.

    The graph takes uint8 RGB crops ``[N, size, size, 3]`` and gives age distributions
    ``[N, 117]``; the normalisation is inside. Its metadata say everything else that serving needs.

    Args:
        checkpoint: from `fit`.
        target: path of the ``.onnx`` file.
        data: the prepared dataset whose validation crops are compared; by default the one that
            the checkpoint was trained on, where it was then.
        flip: average each crop with its mirror image, inside the graph.
        int8: quantise the checked file, with ranges from training crops; see `quantise`.
        progress: called with the number of crops done and their total, for each pass anew.

    Returns:
        The largest difference in years between ONNX Runtime and torch on real crops, in floats.

    Raises:
        ExportError: they differ by more than `TOLERANCE`, or 8 bits cost more than `INT8_COST`;
            nothing is written.
        DataError: there is no dataset to compare on.
        OutputError: `target` cannot be written, or is read.
    """
    module = load_checkpoint(checkpoint)
    recipe, about = module.recipe, module.hparams["about"]
    size = recipe.model.size
    dataset = Dataset.load(data or Path(about["data"]))
    inputs = Inputs([checkpoint, *dataset.files()])
    inputs.refuse(target)
    cached, rows = aligned_crops(dataset, "validation", size, margin=0.0, progress=progress)
    labels = bands_of(rows)
    crops = np.array(cached)
    served = ServedNet(module.net, flip=flip).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(crops), 32):
            parts.append(served(torch.from_numpy(crops[start : start + 32])))
            progress(min(start + 32, len(crops)), len(crops))
    years = np.arange(CLASSES)
    estimates = quantile(torch.cat(parts).numpy(), years, 0.5)
    error = _metrics(estimates, labels, rows)["validation_mae"]
    sources = about["sources"]
    terms = ", ".join(f"{source['name']} ({source['licence']})" for source in sources)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "name": recipe.name,
        "precision": "int8" if int8 else "float32",
        "flip": flip,
        "size": size,
        "ages": years.tolist(),
        "template": about["template"],
        "version": __version__,
        "data": sources,
        "licence": f"Trained on {terms}. Initial weights: see NOTICE.",
        "training": {
            "recipe": _told(recipe),
            "manifest": about["digest"],
            "averaged": about.get("averaged", []),
        },
        "metrics": _metrics(estimates, labels, rows),
    }
    with atomic_path(target, inputs=inputs) as partial:
        write_graph(served, torch.from_numpy(crops[:2]), ["distribution"], partial)
        _write(onnx.load(partial), facts, partial)
        exported = _ages(partial, crops[:CHECKED_CROPS])
        difference = float(np.abs(exported - estimates[:CHECKED_CROPS]).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{target}: not written: ONNX Runtime and torch differ by {difference:.4f} years"
            )
        if int8:
            known, _ = aligned_crops(dataset, "train", size, margin=MARGIN, progress=progress)
            quantise(partial, partial, calibration_crops(known, MARGIN))
            _write(onnx.load(partial), facts, partial)  # quantising drops the metadata
            facts["metrics"] = _metrics(_ages(partial, crops), labels, rows)
            cost = facts["metrics"]["validation_mae"] - error
            _write(onnx.load(partial), facts, partial)
            if not cost <= INT8_COST:
                raise ExportError(f"{target}: not written: 8 bits cost {cost:.3f} years of error")
    return difference


def _metrics(
    estimates: NDArray[np.floating], labels: Bands, rows: pd.DataFrame
) -> dict[str, float | dict[str, float]]:
    """The mean years from the label, each source counting alike, and those of each source.

    The name of a source whose labels are bands says so: inside a band, an estimate has no error.
    """
    errors = distance(estimates, labels)
    exact = labels[:, 0] == labels[:, 1]
    by_source = {}
    for name in sorted(set(rows["source"])):
        own = (rows["source"] == name).to_numpy()
        by_source[name if exact[own].any() else f"{name} (bands)"] = float(errors[own].mean())
    return {"validation_mae": mean_over_sources(errors, rows), "validation_by_source": by_source}


def _told(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values, with files of one machine by their names alone."""
    values = recipe.model_dump()
    model, teacher = values["model"], values["teacher"]
    if model["initial_weights"]:
        model["initial_weights"] = _name(model["initial_weights"])
    teacher["models"] = list(map(_name, teacher["models"]))
    return values


def _name(value: str) -> str:
    return Path(value).name if Path(value).is_absolute() else value


def _write(model: onnx.ModelProto, facts: dict[str, Any], path: Path) -> None:
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(facts, sort_keys=True)})
    path.write_bytes(model.SerializeToString())


def _ages(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    model = AgeModel(path)
    return quantile(model.predict(crops), model.ages, 0.5)

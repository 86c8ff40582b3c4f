"""From a checkpoint to the one model file, checked against the network that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import onnx
import torch

from agelens import __version__
from agelens.data.manifest import Dataset
from agelens.errors import ExportError
from agelens.files import atomic_path
from agelens.model import FORMAT, METADATA_KEY, AgeModel
from agelens.training.crops import aligned_crops
from agelens.training.losses import expected_age
from agelens.training.module import AgeModule
from agelens.training.network import CLASSES, ServedNet

TOLERANCE = 1e-3
"""Largest difference in years between ONNX Runtime and torch for the file to be written."""
CHECKED_CROPS = 256
OPSET = 18
LICENCE = (
    "Trained on UTKFace: for non-commercial research use only. ImageNet start weights: Apache-2.0."
)


def load_checkpoint(path: Path) -> AgeModule:
    """Open a checkpoint of `fit`, with the averaged weights, in evaluation mode.

    Raises:
        ExportError: no such file, or not a checkpoint of agelens.
    """
    try:
        module = AgeModule.load_from_checkpoint(
            path, map_location="cpu", pretrained=False, weights_only=True
        )
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ExportError(f"{path}: not a checkpoint that `agelens train` wrote") from error
    return module.eval()


def export(checkpoint: Path, target: Path, data: Path | None = None) -> float:
    """Write the model file.

    The graph takes uint8 RGB crops ``[N, size, size, 3]`` and gives age distributions
    ``[N, 117]``; the normalisation is inside. Its metadata say everything else that serving needs.

    Args:
        checkpoint: from `fit`.
        target: path of the ``.onnx`` file.
        data: the prepared dataset whose validation crops are compared; by default the one that
            the checkpoint was trained on, where it was then.

    Returns:
        The largest difference in years between ONNX Runtime and torch on real crops.

    Raises:
        ExportError: they differ by more than `TOLERANCE`; nothing is written.
        DataError: there is no dataset to compare on.
    """
    module = load_checkpoint(checkpoint)
    recipe, about = module.recipe, module.hparams["about"]
    size = recipe.model.size
    dataset = Dataset.load(data or Path(about["data"]))
    cached, ages = aligned_crops(dataset, "validation", size, margin=0.0)
    crops = np.array(cached)
    served = ServedNet(module.net).eval()
    with torch.inference_mode():
        parts = [served(torch.from_numpy(crops[i : i + 32])) for i in range(0, len(crops), 32)]
    estimates = expected_age(torch.cat(parts).log()).numpy()
    facts = {
        "format": FORMAT,
        "name": recipe.name,
        "size": size,
        "ages": list(range(CLASSES)),
        "template": about["template"],
        "version": __version__,
        "licence": LICENCE,
        "training": {"recipe": recipe.model_dump(), "manifest": about["digest"]},
        "metrics": {"validation_mae": float(np.abs(estimates - ages).mean())},
    }
    with atomic_path(target) as partial:
        program = torch.onnx.export(
            served,
            (torch.from_numpy(crops[:2]),),
            input_names=["crops"],
            output_names=["distribution"],
            dynamic_shapes={"crops": {0: torch.export.Dim("N", min=1, max=65536)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        proto = program.model_proto  # type: ignore[union-attr]
        onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(facts, sort_keys=True)})
        partial.write_bytes(proto.SerializeToString())
        model = AgeModel(partial)
        exported = model.predict(crops[:CHECKED_CROPS]) @ model.ages
        difference = float(np.abs(exported - estimates[:CHECKED_CROPS]).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{target}: not written: ONNX Runtime and torch differ by {difference:.4f} years"
            )
    return difference

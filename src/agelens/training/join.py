"""A model of several models, whose distributions are averaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agelens import __version__
from agelens.errors import ExportError
from agelens.files import atomic_path
from agelens.model import FORMAT, AgeModel


def join(models: Sequence[Path], target: Path) -> None:
    """Write a file that makes one model of several: the mean of their distributions.

    Networks of different kinds err differently, so that their mean errs less than each ("Simple and
    scalable predictive uncertainty estimation using deep ensembles", Lakshminarayanan, Pritzel and
    Blundell, NeurIPS 2017), in their time together. The new model tells the recipe of the
    first, and has no calibration yet.

    Args:
        models: model files that read the same crops, in the folder of `target` or below it; of
            those that read them smaller than others, the crops are shrunk.
        target: the JSON file to write; it names its members and does not hold them.

    Raises:
        ModelError: a member cannot be opened.
        ExportError: the members read other crops or learnt from other data than each other, or
            are elsewhere.
    """
    if target.suffix != ".json":
        raise ExportError(f"{target}: a model of several is a .json file")
    members = [AgeModel(path) for path in models]
    first = members[0]
    for member in members:
        path = member.path
        if len(member.files) > 1:
            raise ExportError(f"{path}: is itself of several models; join those")
        same = np.array_equal(member.ages, first.ages)
        if not same or not np.allclose(member.template, first.template):
            raise ExportError(f"{path}: reads other crops than {first.path}")
        if member.metadata["training"]["manifest"] != first.metadata["training"]["manifest"]:
            raise ExportError(f"{path}: learnt from another dataset than {first.path}")
        if not path.resolve().is_relative_to(target.resolve().parent):
            raise ExportError(f"{path}: a member must be beside {target}, or below it")
    facts = {
        "format": FORMAT,
        "name": target.stem,
        "version": __version__,
        "size": max(member.size for member in members),
        "ages": first.metadata["ages"],
        "template": first.metadata["template"],
        "training": first.metadata["training"],
        "licence": " ".join(dict.fromkeys(model.metadata["licence"] for model in members)),
        "flip": all(model.metadata["flip"] for model in members),
        "precision": ", ".join(dict.fromkeys(model.metadata["precision"] for model in members)),
        "members": {
            member.path.resolve().relative_to(target.resolve().parent).as_posix(): {
                "name": member.metadata["name"],
                "sha256": hashlib.sha256(member.path.read_bytes()).hexdigest(),
            }
            for member in members
        },
    }
    with atomic_path(target) as partial:
        partial.write_text(json.dumps(facts, sort_keys=True) + "\n", "utf-8")

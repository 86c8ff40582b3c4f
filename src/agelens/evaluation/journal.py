"""Finished predictions in a file, so that an evaluation that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from agelens import __version__
from agelens.data.manifest import Dataset
from agelens.pipeline.model import AgeModel, file_of
from agelens.types import Box, Face, Interval, Landmarks, Point, Quality


def model_digest(model: str | Path) -> str:
    """SHA-256 of a model file, which a shipped model's name may stand for."""
    return hashlib.sha256(file_of(model).read_bytes()).hexdigest()


class Journal:
    """The faces of one model, dataset, split and coverage, a JSON line for each picture.

    Args:
        folder: where the file is, or will be; its name holds what the predictions depend on.
        model: a model file, or a shipped model's name.
        dataset: a prepared dataset.
        split: of it.
        coverage: of the intervals.
    """

    def __init__(
        self, folder: Path, model: str | Path, dataset: Dataset, split: str, coverage: float
    ) -> None:
        key = f"{model_digest(model)} {dataset.digest} {split} {coverage} {__version__}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.path = folder / f"predictions-{digest}.jsonl"
        self._ages = np.asarray(AgeModel(model).ages, np.float64)

    def read(self) -> dict[str, Face | None]:
        """The faces so far, by the pictures' paths; None where a picture had none."""
        known: dict[str, Face | None] = {}
        if self.path.exists():
            with self.path.open(encoding="utf-8") as lines:
                for line in lines:
                    try:
                        row = json.loads(line)
                    except json.JSONDecodeError:
                        continue  # the line that a kill cut short
                    face = row["face"]
                    known[row["path"]] = None if face is None else self._face(face)
        return known

    def add(self, path: str, face: Face | None) -> None:
        """Write down a picture's face."""
        row: dict[str, Any] = {"path": path, "face": None}
        if face is not None:
            row["face"] = face.to_dict() | {"distribution": face.distribution.tolist()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as lines:
            if lines.tell() and not self._ends_whole():
                lines.write(b"\n")
            lines.write(json.dumps(row).encode() + b"\n")

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as lines:
            lines.seek(-1, 2)
            return lines.read() == b"\n"

    def _face(self, row: dict[str, Any]) -> Face:
        points = {name: Point(*point) for name, point in row["landmarks"].items()}
        quality = row["quality"] | {"reasons": tuple(row["quality"]["reasons"])}
        return Face(
            row["age"],
            Interval(**row["interval"]),
            Box(**row["box"]),
            Landmarks(**points),
            row["score"],
            Quality(**quality),
            np.array(row["distribution"]),
            self._ages,
        )

"""Write ages.json: what both shipped models say of UTKFace test pictures and the example.

    python tests/golden/make.py UTKFACE_FOLDER [NAMES_FILE]

A change that should alter no age leaves the file as it is; one that alters ages on purpose makes it
anew, and says so. The names of the pictures are those of the file that is there already; a text
file with a name a line replaces them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agelens import AgeEstimator
from agelens.benchmark.machine import machine

FILE = Path(__file__).with_name("ages.json")
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg"
MODELS = ("light", "resnet50", "open")


def ages(model: str, paths: list[Path]) -> dict[str, list[list[float]]]:
    """Age, low and high of every face, largest first, by the picture's name."""
    estimator = AgeEstimator(model, threads=1)
    return {
        path.name: [
            [face.age, face.interval.low, face.interval.high] for face in estimator.estimate(path)
        ]
        for path in paths
    }


def processor() -> list[str]:
    """What decides which of ONNX Runtime's kernels run, whose last bits differ."""
    about = machine()
    return [about["processor"], *about["abilities"], about["versions"]["onnxruntime"]]


def make(folder: Path, names: list[str]) -> dict[str, Any]:
    """The contents of the file, from the pictures of that folder and the example."""
    paths = [EXAMPLE, *(folder / name for name in names)]
    return {"processor": processor()} | {model: ages(model, paths) for model in MODELS}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        names = Path(sys.argv[2]).read_text("utf-8").split()
    else:
        known = json.loads(FILE.read_text("utf-8"))
        names = [name for name in known["light"] if name != EXAMPLE.name]
    FILE.write_text(json.dumps(make(Path(sys.argv[1]), names), indent=1) + "\n", "utf-8")

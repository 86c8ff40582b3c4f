"""Fixtures: one public-domain portrait, a generated dataset made of it, and the real UTKFace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from agelens import AgeEstimator

if TYPE_CHECKING:
    from agelens.data.manifest import Dataset

settings.register_profile("the same examples in every run", derandomize=True)
settings.load_profile("the same examples in every run")

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
"""NASA's portrait of Eileen Collins, public domain."""
FACE = (170, 66, 281, 177)
"""Where her face is: x1, y1, x2, y2."""


def agelens(
    *arguments: str | Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    through: Sequence[str] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a user does, in a process of its own."""
    command = [*through, sys.executable, "-m", "agelens", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    with Image.open(ASTRONAUT) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="session")
def estimator() -> AgeEstimator:
    return AgeEstimator()


def utkface_source() -> Path | None:
    for place in (os.environ.get("AGELENS_UTKFACE"), ROOT / "../shared/data/UTKFace.tar.gz"):
        if place and Path(place).exists():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def utkface() -> Path:
    source = utkface_source()
    if source is None:
        pytest.skip("UTKFace is not here: set AGELENS_UTKFACE to the tar.gz or folder")
    return source


def make_chip(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A 200 x 200 chip in UTKFace's manner: the same face, turned, moved and lit at random."""
    x, y = (FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2
    matrix = cv2.getRotationMatrix2D((x, y), rng.uniform(-25, 25), rng.uniform(1.4, 2.1))
    matrix[:, 2] += 100 - np.array([x, y]) + rng.uniform(-18, 18, 2)
    chip = cv2.warpAffine(photo, matrix, (200, 200), borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.5:
        chip = chip[:, ::-1]
    light = rng.uniform(0.5, 1.4, 3) * 1.0
    noise = cv2.resize(rng.normal(0, 40, (6, 6, 3)).astype(np.float32), (200, 200))
    return np.clip(chip * light + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def faces_folder(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 60 chips with UTKFace names, and every fault that cleaning must find."""
    folder = tmp_path_factory.mktemp("UTKFace")
    rng = np.random.default_rng(0)

    def save(name: str, chip: NDArray[np.uint8], quality: int = 92) -> None:
        Image.fromarray(chip).save(folder / name, "JPEG", quality=quality)

    chips = [make_chip(photo, rng) for _ in range(60)]
    for index, chip in enumerate(chips):
        name = f"{index % 12 * 8}_{index % 2}_{index % 5}_20170116{index:09d}.jpg.chip.jpg"
        save(name, chip)
    save("33_0_1_20170117000000001.jpg.chip.jpg", chips[1])  # a copy of 8_1_1, with another age
    save("16_0_2_20170117000000002.jpg.chip.jpg", chips[2])  # a copy of 16_0_2, with the same
    save("24_1_3_20170117000000003.jpg.chip.jpg", chips[3], quality=40)  # nearly 24_1_3
    save("39_1_20170116174525125.jpg.chip.jpg", make_chip(photo, rng))  # lacks the race
    save("55_0_0_20170117000000004.jpg.chip.jpg", np.full((200, 200, 3), 128, np.uint8))
    save("56_0_0_20170117000000005.jpg.chip.jpg", make_chip(photo, rng)[10:190, 10:190])
    grey = make_chip(photo, rng).mean(axis=2).astype(np.uint8)
    save("57_0_0_20170117000000006.jpg.chip.jpg", np.repeat(grey[..., None], 3, 2))
    (folder / "58_0_0_20170117000000007.jpg.chip.jpg").write_bytes(b"not a picture")
    save("readme.jpg", make_chip(photo, rng))
    return folder


@pytest.fixture(scope="session")
def dataset(faces_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """That folder, prepared. What reads it may add to its cache."""
    # Here, because the tests of what serves run without pandas.
    from agelens.data.prepare import prepare

    return prepare(faces_folder, tmp_path_factory.mktemp("prepared"), jobs=2)


@pytest.fixture(scope="session")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, of a tiny network."""
    from training.conftest import TINY

    from agelens.training.fit import fit

    folder = tmp_path_factory.mktemp("run")
    assert fit(TINY, dataset, folder) == folder / "best.ckpt"
    return folder


@pytest.fixture(scope="session")
def several(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same faces as if every second one were of another set, which knows decades alone."""
    import pandas as pd

    from agelens.data.manifest import Source, save

    rows = dataset.manifest.copy()
    other = np.arange(len(rows)) % 2 == 1
    rows["source"] = np.where(other, "Bands", "Exact")
    rows.loc[other, "age_low"] = rows["age_low"] // 10 * 10
    rows.loc[other, "age_high"] = rows["age_low"] + 9
    rows.loc[other, "age"] = pd.NA
    sources = (Source("Exact", "for research"), Source("Bands", "CC BY 4.0"))
    folder = tmp_path_factory.mktemp("several")
    return save(folder, dataset.root, rows, dataset.template, sources, made_from="a test")


@pytest.fixture(scope="session")
def older_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second model: the shipped one, whose ages are all a year older."""
    import onnx

    from agelens.pipeline.model import file_of

    path = tmp_path_factory.mktemp("models") / "older.onnx"
    model = onnx.load(file_of("light"))
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "distribution":
                node.output[index] = "before"
    moved = np.concatenate([[0], np.arange(116)])
    weights = np.concatenate([[0.5, 0.5], np.ones(115)]).astype(np.float32)
    for name, values in (("moved_ages", moved), ("moved_weights", weights)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    model.graph.node.extend(
        [
            onnx.helper.make_node("Gather", ["before", "moved_ages"], ["moved"], axis=1),
            onnx.helper.make_node("Mul", ["moved", "moved_weights"], ["distribution"]),
        ]
    )
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def evaluated(
    dataset: Dataset, older_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with all that `agelens evaluate` writes, and what it prints in ``stdout.txt``."""
    folder = tmp_path_factory.mktemp("evaluation")
    done = agelens(
        "evaluate", "light", dataset.folder, "--split", "train", "--thresholds", "18,40",
        "--compare", older_model, "--corruptions", folder / "conditions", "--sample", "3",
        "--report", folder / "report", "--json", folder / "numbers.json",
        "--predictions", folder / "predictions.csv", "--jobs", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_bytes(done.stdout)
    return folder

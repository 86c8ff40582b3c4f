"""What is only true of the real data: its known faults, and the shipped model's accuracy on it."""

from __future__ import annotations

import hashlib
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agelens import AgeEstimator
from agelens.data.sources import parse_name
from agelens.parallel import map_in_order
from agelens.pipeline.detect import main_face


@pytest.fixture(scope="module")
def files(utkface: Path) -> dict[str, bytes]:
    """Every file of the dataset by name."""
    if utkface.is_dir():
        return {path.name: path.read_bytes() for path in utkface.rglob("*.jpg")}
    with tarfile.open(utkface) as archive:
        contents = ((m.name, archive.extractfile(m)) for m in archive if m.isfile())
        return {Path(name).name: stream.read() for name, stream in contents if stream}


def test_the_known_faults_of_names_and_copies(files: dict[str, bytes]) -> None:
    assert len(files) == 23_707
    labels = {name: parse_name(name) for name in files}
    assert sorted(name[:22] for name, label in labels.items() if not label.complete) == [
        "39_1_20170116174525125",
        "61_1_20170109142408075",
        "61_1_20170109150557335",
    ]
    digests = {name: hashlib.sha256(data).digest() for name, data in files.items()}
    groups = [digest for digest, count in Counter(digests.values()).items() if count > 1]
    assert len(groups) == 375
    assert sum(Counter(digests.values())[digest] - 1 for digest in groups) == 390
    assert Counter(label.age for label in labels.values()).most_common(1) == [(26, 2197)]


def test_the_shipped_model_is_as_good_as_it_says(files: dict[str, bytes]) -> None:
    """300 images, drawn evenly by name; the model's own figures are in benchmarks/results."""
    names = sorted(name for name in files if parse_name(name).age is not None)[::79]
    estimator = AgeEstimator(threads=1)
    results = map_in_order(
        lambda name: main_face(estimator.estimate(files[name]), 200, 200), names, jobs=2
    )
    errors = [face.age - (parse_name(name).age or 0) for name, face in results if face]
    assert len(errors) >= len(names) - 3
    assert np.abs(errors).mean() < 5.2  # training images are among them
    assert abs(np.mean(errors)) < 1.5

"""The estimate as a step of somebody's pipeline: batches in, the same batches with faces out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ASTRONAUT, ROOT

from agelens import AgeEstimator
from agelens.batch import EstimateAges
from batch.outputs import BROKEN


def test_batches_keep_their_rows_and_get_faces(estimator: AgeEstimator, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(BROKEN)
    (expected,) = estimator.estimate(ASTRONAUT).to_rows([18])
    paths = [str(ASTRONAUT), str(tmp_path / "b.png"), None, f"file://{ASTRONAUT}"]
    estimate = EstimateAges("picture", at_least=[18])
    frame = estimate(pd.DataFrame({"picture": paths, "id": [1, 2, 3, 4]}))
    bare = estimate({"picture": np.array([ASTRONAUT.read_bytes(), b""], object)})
    assert list(frame["id"]) == [1, 2, 3, 4]
    assert [len(faces) for faces in frame["faces"]] == [1, 0, 0, 1]
    assert [len(faces) for faces in bare["faces"]] == [1, 0]
    for faces in (frame["faces"][0], frame["faces"][3], bare["faces"][0]):
        assert faces[0]["age"] == pytest.approx(expected["age"], abs=0.01)
        assert set(faces[0]) == (set(expected) - {"path"}) | {"model", "version"}
    assert list(frame["width"]) == [512, 0, 0, 512]
    assert pd.isna(frame["error"][0])
    assert "broken" in frame["error"][1]
    assert "no bytes" in frame["error"][2]
    assert bare["error"][1] == "the file is empty"


@pytest.mark.parametrize("library", ["daft", "pyspark", "ray"])
def test_an_example_of_each_library_runs(
    library: str, estimator: AgeEstimator, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    if library == "pyspark" and not shutil.which("java"):
        pytest.skip("Spark needs Java")
    name = {"daft": "daft_udf", "pyspark": "spark", "ray": "ray_data"}[library]
    shutil.copy(ASTRONAUT, tmp_path / "a.jpg")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", tmp_path],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (face,) = estimator.estimate(ASTRONAUT)
    assert done.stdout.strip() in (f"a.jpg [{face.age:.0f}]", f"a.jpg {face.age:.0f}")

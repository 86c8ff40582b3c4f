"""Corruptions as pure functions, and the evaluation under them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agelens import AgeEstimator, DataError
from agelens.data.manifest import Dataset
from agelens.evaluation.robustness.conditions import KINDS
from agelens.evaluation.robustness.corruptions import CORRUPTIONS, corrupt
from agelens.evaluation.robustness.run import JitteredDetector, evaluate_corruptions
from agelens.pipeline.detect import FaceDetector
from agelens.types import Detection

Pixels = NDArray[np.uint8]
RESIZING = {"rotation", "tight_crop", "wide_crop"}
FEW = ("gaussian_noise", "mouth_hidden", "detector_jitter")


@pytest.fixture(scope="module")
def face(photo: Pixels) -> Detection:
    return FaceDetector(threads=1).detect(photo)[0]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(CORRUPTIONS)),
    severity=st.integers(1, 5),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    seed=st.integers(0, 2**32 - 1),
    place=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.2, 1.5)),
    known=st.booleans(),
)
def test_any_picture_stays_one(
    kind: str, severity: int, height: int, width: int, seed: int,
    place: tuple[float, float, float], known: bool, face: Detection,
) -> None:  # fmt: skip
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    there = _moved(face, place[0] * width, place[1] * height, place[2] * min(height, width))
    first, again = (
        corrupt(image, kind, severity, np.random.default_rng(seed), there if known else None)
        for _ in range(2)
    )
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert first.size > 0
    if kind not in {*RESIZING, "low_resolution"}:
        assert first.shape == image.shape
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


def _moved(face: Detection, x: float, y: float, side: float) -> Detection:
    """The astronaut's face elsewhere, in another size."""
    from agelens.types import Box, Landmarks

    corner = np.array([face.box.x1, face.box.y1])
    points = (face.landmarks.to_array() - corner) / face.box.width * side + (x, y) - side / 2
    box = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Detection(box, Landmarks.from_array(points), face.score)


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - RESIZING))
def test_each_severity_is_further_from_the_clean_portrait(
    kind: str, photo: Pixels, face: Detection
) -> None:
    distances = [0.0]
    for severity in range(1, 6):
        worse = corrupt(photo, kind, severity, np.random.default_rng(7), face)
        if worse.shape != photo.shape:
            worse = cv2.resize(worse, photo.shape[1::-1])
        distances.append(float(np.abs(worse.astype(float) - photo).mean()))
    assert distances == sorted(distances)
    assert len(set(distances)) == 6


def test_crops_and_turns_frame_the_face_as_they_say(photo: Pixels, face: Detection) -> None:
    rng = np.random.default_rng(0)
    side = face.box.width
    for severity, times in enumerate(CORRUPTIONS["tight_crop"].amounts, 1):
        cut = corrupt(photo, "tight_crop", severity, rng, face)
        assert cut.shape[:2] == pytest.approx((times * side, times * side), abs=1)
    for severity, times in enumerate(CORRUPTIONS["wide_crop"].amounts, 1):
        wide = corrupt(photo, "wide_crop", severity, rng, face)
        assert wide.shape[:2] == pytest.approx((times * side, times * side), abs=1)
        found = FaceDetector(threads=1).detect(wide)[0].box
        assert (found.x1 + found.x2) / 2 == pytest.approx(times * side / 2, abs=0.15 * side)
    sizes = [corrupt(photo, "rotation", severity, rng, face).shape[0] for severity in range(1, 6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(photo.shape[0] * 2**0.5, abs=2)


def test_occlusions_hide_the_part_that_they_name(photo: Pixels, face: Detection) -> None:
    parts = face.landmarks
    for kind, hidden, free in (
        ("eyes_hidden", (parts.left_eye, parts.right_eye), (parts.mouth,)),
        ("mouth_hidden", (parts.mouth,), (parts.left_eye, parts.right_eye)),
    ):
        covered = corrupt(photo, kind, 3, np.random.default_rng(0), face)
        changed = (covered != photo).any(axis=2)
        assert all(changed[round(y), round(x)] for x, y in hidden)
        assert not any(changed[round(y), round(x)] for x, y in free)
    half = (corrupt(photo, "half_hidden", 5, np.random.default_rng(0), face) != photo).any(axis=2)
    eyes = [half[round(eye.y), round(eye.x)] for eye in (parts.left_eye, parts.right_eye)]
    assert sorted(eyes) == [False, True]


def test_low_resolution_leaves_a_face_of_so_many_pixels(photo: Pixels, face: Detection) -> None:
    small = corrupt(photo, "low_resolution", 2, np.random.default_rng(0), face)
    found = FaceDetector(threads=1).detect(small)[0]
    assert found.box.width == pytest.approx(48, rel=0.1)
    assert corrupt(small, "low_resolution", 1, np.random.default_rng(0), found) is small


def test_a_jittered_detector_moves_landmarks_alone(photo: Pixels, face: Detection) -> None:
    detector = FaceDetector(threads=1)
    first, again = (
        JitteredDetector(detector, 0.05, seed=2).detect(photo, min_score=0.5)[0] for _ in range(2)
    )
    assert first == again
    assert first.box == face.box
    moved = np.abs(first.landmarks.to_array() - face.landmarks.to_array()) / face.box.width
    assert 0.01 < moved.mean() < 0.15
    clean = AgeEstimator(detector=detector).estimate(photo)[0].age
    jittery = AgeEstimator(detector=JitteredDetector(detector, 0.05)).estimate(photo)[0].age
    assert clean != jittery


def test_clean_figures_are_those_of_the_estimator(dataset: Dataset) -> None:
    report = evaluate_corruptions("light", dataset, "train", kinds=["grey"], severities=[5])
    rows = dataset.part("train", missed=True)
    estimator = AgeEstimator()
    errors = []
    for row in rows.itertuples():
        faces = estimator.estimate(dataset.root / str(row.path))
        errors += [faces[0].age - row.age for _ in faces[:1]]
    assert report["pictures"] == len(rows)
    assert report["clean"]["count"] == len(errors)
    assert report["clean"]["miss_rate"] == pytest.approx(1 - len(errors) / len(rows))
    assert report["clean"]["mae"] == pytest.approx(np.abs(errors).mean(), abs=1e-3)
    assert report["clean"]["bias"] == pytest.approx(np.mean(errors), abs=1e-3)
    worse = report["kinds"]["grey"]["severities"]["5"]
    assert worse["ratio"] == pytest.approx(worse["mae"] / report["clean"]["mae"])
    assert report["means"] == {"1-3": None, "1-5": None}


def test_a_run_that_was_killed_goes_on_and_ends_the_same(dataset: Dataset, tmp_path: Path) -> None:
    def run(folder: Path | None, **options: object) -> dict[str, object]:
        return evaluate_corruptions(
            "light", dataset, "train", folder=folder, sample=8, kinds=FEW, jobs=2, **options
        )  # type: ignore[arg-type]

    whole = run(None)
    seen: list[tuple[int, int]] = []

    def kill(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 8 * 6:  # the clean pictures, and the first kind
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=kill)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 0 < len(kept) < 1 + 5 * len(FEW)
    (tmp_path / sorted(kept)[-1]).unlink()  # as if the kill had come between two files
    assert run(tmp_path) == whole
    left = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(left) == 1 + 5 * len(FEW)
    assert all(left[name] == stamp for name, stamp in sorted(kept.items())[:-1])
    assert seen[-1][1] == 8 * 16
    assert json.loads(json.dumps(whole)) == whole
    assert run(tmp_path, seed=1) != whole  # nothing of another seed is taken
    means = whole["means"]
    assert isinstance(means, dict)
    cells = [
        cell
        for kind in whole["kinds"].values()  # type: ignore[attr-defined]
        for cell in kind["severities"].values()
    ]
    known = [cell["ratio"] for cell in cells if cell["ratio"] is not None]
    assert means["1-5"]["ratio"] == pytest.approx(np.mean(known))
    assert means["1-5"]["miss_rate"] == pytest.approx(np.mean([c["miss_rate"] for c in cells]))


def test_what_cannot_be_done_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="fog"):
        evaluate_corruptions("light", dataset, "train", kinds=["fog"])
    with pytest.raises(DataError, match="1 to 5"):
        evaluate_corruptions("light", dataset, "train", severities=[6])
    assert len(KINDS) == 19

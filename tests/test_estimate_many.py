"""Many pictures: in order, lazily, in any mixture, and none is the end of the others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import ASTRONAUT
from numpy.typing import NDArray
from PIL import Image

import agelens
from agelens import AgeEstimator, AgelensError, DeviceError, UnreadableImageError


def test_any_mixture_in_order(estimator: AgeEstimator, photo: NDArray[np.uint8]) -> None:
    images = [
        ASTRONAUT,
        b"no picture",
        photo,
        np.zeros((64, 64, 3), np.uint8),
        "nowhere.jpg",
        None,
        Image.fromarray(photo),
        ASTRONAUT.read_bytes(),
        ASTRONAUT.open("rb"),
    ]
    results = list(estimator.estimate_many(images, jobs=3))  # type: ignore[arg-type]
    assert [len(found) for found in results] == [1, 0, 1, 0, 0, 0, 1, 1, 1]
    assert [found.source for found in results] == [
        str(ASTRONAUT), "<bytes>", "<array>", "<array>", "nowhere.jpg", "<NoneType>",
        "<PIL image>", "<bytes>", str(ASTRONAUT),
    ]  # fmt: skip
    errors = [found.error and found.error.reason for found in results]
    assert [bool(error) for error in errors] == [
        False,
        True,
        *[False] * 2,
        True,
        True,
        *[False] * 3,
    ]
    assert errors[4] == "No such file or directory"
    assert isinstance(results[1].error, UnreadableImageError)
    alone = estimator.estimate(ASTRONAUT)[0]
    for found in results:
        if len(found):
            assert found[0] == alone


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_reads_no_more_than_it_needs(estimator: AgeEstimator, jobs: int) -> None:
    taken = 0

    def endless() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((32, 32, 3), np.uint8)

    stream = estimator.estimate_many(endless(), jobs=jobs)
    for _ in range(10):
        next(stream)
    assert taken <= 10 + 2 * jobs
    stream.close()


def test_a_call_can_say_coverage_and_score(estimator: AgeEstimator) -> None:
    (usual,) = estimator.estimate(ASTRONAUT)
    (narrow,) = estimator.estimate(ASTRONAUT, coverage=0.5)
    assert narrow.interval.coverage == 0.5
    assert narrow.interval.high - narrow.interval.low < usual.interval.high - usual.interval.low
    assert narrow.age == usual.age
    assert not len(estimator.estimate(ASTRONAUT, min_score=1.0))
    (many,) = estimator.estimate_many([ASTRONAUT], coverage=0.5)
    assert many[0] == narrow
    for wrong in (0.0, 1.0):
        with pytest.raises(ValueError, match="coverage must lie between 0 and 1"):
            estimator.estimate(ASTRONAUT, coverage=wrong)
    with pytest.raises(ValueError, match="min_score must lie from 0 to 1"):
        AgeEstimator(min_score=1.5)


def test_channel_order_matters_and_can_be_said(
    estimator: AgeEstimator, photo: NDArray[np.uint8]
) -> None:
    right = estimator.estimate(photo)[0].age
    swapped = np.ascontiguousarray(photo[..., ::-1])
    assert estimator.estimate(swapped, bgr=True)[0].age == right
    assert estimator.estimate(swapped)[0].age != right


def test_the_steps_are_the_whole(estimator: AgeEstimator, photo: NDArray[np.uint8]) -> None:
    crops = estimator.preprocess(photo)
    distributions = estimator.predict(crops)
    assert estimator.postprocess(distributions, crops) == tuple(estimator.estimate(photo))
    known = estimator.preprocess(photo, crops.detections)
    np.testing.assert_array_equal(known.crops, crops.crops)


def test_an_estimator_is_not_changed_from_outside(estimator: AgeEstimator) -> None:
    for name in ("model", "detector", "calibration", "coverage", "min_score", "max_pixels"):
        with pytest.raises(AttributeError):
            setattr(estimator, name, getattr(estimator, name))


def test_an_estimator_is_pickled_printed_and_closed() -> None:
    estimator = AgeEstimator("resnet50", device="cpu", coverage=0.8)
    assert repr(estimator) == (
        "AgeEstimator('resnet50', device='cpu', coverage=0.8, min_score=0.5)"
    )
    expected = estimator.estimate(ASTRONAUT)
    again = pickle.loads(pickle.dumps(estimator))
    with estimator:
        pass
    with pytest.raises(AgelensError, match="closed"):
        estimator.estimate(ASTRONAUT)
    with pytest.raises(AgelensError, match="closed"):
        next(estimator.estimate_many([ASTRONAUT]))
    assert again.estimate(ASTRONAUT) == expected
    assert again.coverage == 0.8


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "there are auto, cpu, cuda"),
        ("coreml", "install onnxruntime on macOS in place of onnxruntime"),
        ("directml", "install onnxruntime-directml in place of onnxruntime"),
    ],
)
def test_a_device_that_is_not_there_is_said(device: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        AgeEstimator(device=device)


def test_documented_names_are_exported() -> None:
    pytest.importorskip("trackers")
    tracker = agelens.FaceTracker
    assert tracker.__module__ == "agelens.video.tracker"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        agelens.nothing  # noqa: B018

"""The result of an estimate: a frozen sequence that knows its picture."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from conftest import ASTRONAUT
from numpy.typing import NDArray
from PIL import Image

from agelens import AgeEstimator, Face, Faces, ImageError, load_image


@pytest.fixture(scope="module")
def faces(estimator: AgeEstimator) -> Faces:
    return estimator.estimate(ASTRONAUT)


def test_it_is_a_sequence_that_knows_its_picture(faces: Faces) -> None:
    assert isinstance(faces, Faces)
    assert len(faces) == 1
    assert faces[0] is faces.faces[0]
    assert list(faces) == list(faces[:1])
    height, width = load_image(ASTRONAUT).shape[:2]
    assert (faces.source, faces.width, faces.height) == (str(ASTRONAUT), width, height)
    assert faces.error is None
    with pytest.raises(FrozenInstanceError):
        faces.width = 3  # type: ignore[misc]


def test_a_face_goes_to_json_and_back(faces: Faces) -> None:
    facts = json.loads(json.dumps(faces.to_dict()))
    assert set(facts) == {"path", "width", "height", "error", "faces"}
    again = Face.from_dict(facts["faces"][0])
    assert again == faces[0]
    assert isinstance(again.quality.reasons, tuple)
    with pytest.raises(ValueError, match="no distribution"):
        again.at_least(18)


def test_rows_are_flat(faces: Faces) -> None:
    (row,) = faces.to_rows(at_least=[18, 65])
    face = faces[0]
    assert row["path"] == str(ASTRONAUT)
    assert row["face"] == 1
    assert (row["age"], row["low"], row["high"]) == (
        face.age,
        face.interval.low,
        face.interval.high,
    )
    assert (row["at_least_18"], row["at_least_65"]) == (face.at_least(18), face.at_least(65))
    assert all(isinstance(value, str | int | float) for value in row.values())


def test_a_result_draws_its_picture_whatever_it_was(
    estimator: AgeEstimator, photo: NDArray[np.uint8]
) -> None:
    drawn = [
        np.asarray(found.draw())
        for found in (
            estimator.estimate(ASTRONAUT),
            estimator.estimate(ASTRONAUT.read_bytes()),
            estimator.estimate(photo),
            estimator.estimate(photo[..., ::-1], bgr=True),
            estimator.estimate(Image.fromarray(photo)),
        )
    ]
    assert drawn[0].shape == photo.shape
    assert (drawn[0] != photo).any()
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_a_notebook_shows_the_picture_and_the_ages(faces: Faces) -> None:
    shown = faces._repr_html_()
    assert '<img src="data:image/jpeg;base64,' in shown
    assert f"{faces[0].age:.1f} years" in shown
    broken = Faces((), "<b>.jpg", error=ImageError("<b>.jpg", "the file is empty"))
    assert broken._repr_html_() == "<p>&lt;b&gt;.jpg: the file is empty</p>"


def test_a_result_travels_between_processes(faces: Faces) -> None:
    assert pickle.loads(pickle.dumps(faces)) == faces

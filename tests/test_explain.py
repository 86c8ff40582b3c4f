"""`agelens explain`: the map shows what the model reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, agelens
from numpy.typing import NDArray
from PIL import Image

from agelens import AgeEstimator
from agelens.explain import GREY, GRID, PATCH, draw_explanation, explain_faces, occlusion
from agelens.pipeline.calibration import Calibration

SIZE = 64


class OneCorner:
    """Sure of 40 years where the first pixel is white, of less where it is darker."""

    ages = np.arange(117, dtype=np.float32)
    calibration = Calibration()

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        years = np.rint(crops[:, 0, 0, 0] / 255 * 40).astype(int)
        return np.eye(117, dtype=np.float32)[years]


def test_the_map_is_zero_where_the_model_does_not_look() -> None:
    years = occlusion(OneCorner(), np.full((SIZE, SIZE, 3), 255, np.uint8))
    reach = int(PATCH / 2 * GRID + 0.5)  # places from which the patch still covers the corner
    assert reach == 2
    assert years[:reach, :reach] == pytest.approx(40 - round(GREY / 255 * 40))
    years[:reach, :reach] = 0
    assert not years.any()


def test_what_makes_a_face_younger_is_negative() -> None:
    years = occlusion(OneCorner(), np.zeros((SIZE, SIZE, 3), np.uint8))
    assert years[0, 0] == pytest.approx(-round(GREY / 255 * 40))


def test_the_temperature_counts() -> None:
    class Unsure(OneCorner):
        def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            white = crops[:, 0, 0, 0] > 200
            rows = np.zeros((len(crops), 117), np.float32)
            rows[:, 20], rows[:, 60] = np.where(white, 0.1, 0.4), np.where(white, 0.9, 0.6)
            return rows

    crop = np.full((SIZE, SIZE, 3), 255, np.uint8)
    plain, cold = Unsure(), Unsure()
    cold.calibration = Calibration(temperature=0.1)  # as good as certain of 60 both times
    assert occlusion(plain, crop)[0, 0] > 0.1
    assert 0 < occlusion(cold, crop)[0, 0] < 0.1


def test_a_real_face_is_read_in_the_face(estimator: AgeEstimator, photo: NDArray[np.uint8]) -> None:
    (first,), (again,) = explain_faces(estimator, photo), explain_faces(estimator, ASTRONAUT)
    np.testing.assert_array_equal(first.years, again.years)
    assert first.years.shape == (GRID, GRID)
    assert first.face.age == pytest.approx(estimator.estimate(photo)[0].age)
    strength = np.abs(first.years)
    inside = np.zeros_like(strength, bool)
    inside[GRID // 4 : -GRID // 8, GRID // 4 : -GRID // 4] = True  # eyes to chin
    assert strength[inside].mean() > 1.3 * strength[~inside].mean()


def test_the_drawing_holds_the_crop_and_a_scale(estimator: AgeEstimator) -> None:
    (found,) = explain_faces(estimator, ASTRONAUT)
    drawn = draw_explanation(found)
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 2 * drawn.shape[0]
    vivid = np.ptp(drawn[:, -200:].astype(int), axis=2) > 150  # the ends of the scale
    assert vivid.any()


def test_every_face_gets_a_picture_or_the_largest_alone(tmp_path: Path) -> None:
    with Image.open(ASTRONAUT) as portrait:
        pair = Image.new("RGB", (1024, 512))
        pair.paste(portrait, (0, 0))
        pair.paste(portrait.resize((400, 400)), (600, 50))
    pair.save(tmp_path / "pair.png")
    done = agelens("explain", tmp_path / "pair.png", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    names = [tmp_path / "out" / f"pair-{number}.png" for number in (1, 2)]
    assert done.stdout.decode().split() == [str(name) for name in names]
    assert sorted((tmp_path / "out").iterdir()) == names
    one = agelens("explain", tmp_path / "pair.png", "-o", tmp_path / "largest.png")
    assert one.returncode == 0, one.stderr
    with Image.open(tmp_path / "largest.png") as alone, Image.open(names[0]) as first:
        np.testing.assert_array_equal(np.asarray(alone), np.asarray(first))


def test_what_cannot_be_explained_is_a_sentence(tmp_path: Path) -> None:
    grey, text = tmp_path / "grey.png", tmp_path / "text.jpg"
    Image.new("RGB", (96, 96), "grey").save(grey)
    text.write_text("no picture")
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "out"
    for arguments, reason in (
        ([grey, "-o", out], "no face was found"),
        ([text, "-o", out], "not a picture"),
        ([tmp_path / "nowhere.jpg", "-o", out], "No such file"),
        ([ASTRONAUT, "-o", out, "--model", "nobody"], "nobody"),
        ([ASTRONAUT, "-o", tmp_path / "file" / "out"], "cannot be written"),
    ):
        done = agelens("explain", *arguments)
        assert done.returncode == 1, arguments
        assert reason in done.stderr.decode()
        assert b"Traceback" not in done.stderr
    assert not out.exists()
    assert agelens("explain", ASTRONAUT).returncode == 2

"""The serve flow: one answer whatever the way in, the batch, or the thread."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from conftest import ASTRONAUT
from numpy.typing import NDArray
from PIL import Image

from agelens import AgeEstimator, Face, Faces, ImageError, ModelError
from agelens.pipeline.align import align_face
from agelens.pipeline.calibration import quantile
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.model import METADATA_KEY, AgeModel, file_of
from agelens.pipeline.quality import cut_face
from agelens.pipeline.session import open_session, shipped
from agelens.types import Detection


def only(faces: Faces) -> Face:
    (face,) = faces
    return face


@pytest.mark.parametrize(
    ("model", "age"),
    [("light", 30.2), ("resnet50", 18.0), ("open", 29.2)],
)
def test_the_astronaut_gets_her_age(model: str, age: float) -> None:
    face = only(AgeEstimator(model).estimate(ASTRONAUT))
    # Golden values of the shipped models. She was 43: they take her for younger.
    assert face.age == pytest.approx(age, abs=1.0)


def test_every_way_in_gives_the_same_age(estimator: AgeEstimator, tmp_path: Path) -> None:
    face = only(estimator.estimate(ASTRONAUT))
    pixels = load_image(ASTRONAUT)
    with Image.open(ASTRONAUT) as image:
        image.save(tmp_path / "same.png")
        turned, exif = image.rotate(90, expand=True), Image.Exif()
        exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
        stream = io.BytesIO()
        turned.save(stream, "PNG", exif=exif)
        ways = [str(ASTRONAUT), ASTRONAUT.read_bytes(), image, pixels, tmp_path / "same.png"]
        for way in [*ways, stream.getvalue()]:
            assert only(estimator.estimate(way)) == face


@pytest.mark.parametrize(("side", "tolerance"), [(2000, 1.0), (700, 1.0)])
def test_a_large_jpeg_gets_the_age_of_all_its_pixels(
    estimator: AgeEstimator, photo: NDArray[np.uint8], side: int, tolerance: float
) -> None:
    """It is decoded with fewer, also where its face is then too small, and is cut from all."""
    pixels = np.full((3600, 3600, 3), 90, np.uint8)
    pixels[:side, :side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    found, whole = (only(estimator.estimate(way)) for way in (stream.getvalue(), pixels))
    assert found.age == pytest.approx(whole.age, abs=tolerance)
    assert found.quality.size == pytest.approx(whole.quality.size, rel=0.02)
    away = found.landmarks.to_array() - whole.landmarks.to_array()
    assert np.abs(away).max() < 0.02 * whole.box.width


def test_no_face_is_an_empty_tuple(estimator: AgeEstimator) -> None:
    assert tuple(estimator.estimate(np.zeros((64, 64, 3), np.uint8))) == ()


def test_bad_images_raise(estimator: AgeEstimator) -> None:
    with pytest.raises(ImageError):
        estimator.estimate(b"no image")


def test_faces_are_frozen_and_go_to_json(estimator: AgeEstimator) -> None:
    face = only(estimator.estimate(ASTRONAUT))
    with pytest.raises(FrozenInstanceError):
        face.age = 3.0  # type: ignore[misc]
    facts = json.loads(json.dumps(face.to_dict()))
    assert facts["age"] == face.age
    assert facts["box"]["x1"] == face.box.x1
    assert facts["landmarks"]["nose"] == list(face.landmarks.nose)


def test_threads_share_an_estimator(estimator: AgeEstimator) -> None:
    expected = estimator.estimate(ASTRONAUT)
    with ThreadPoolExecutor(8) as pool:
        assert all(faces == expected for faces in pool.map(estimator.estimate, [ASTRONAUT] * 24))


def test_a_picture_is_the_same_to_any_number_of_threads(photo: NDArray[np.uint8]) -> None:
    crowd = np.tile(photo[40:240, 126:326], (3, 5, 1))
    alone, shared = (AgeEstimator(threads=threads).estimate(crowd) for threads in (1, 4))
    assert len(alone) == 15
    for one, other in zip(alone, shared, strict=True):
        assert one.box == other.box
        assert one.age == pytest.approx(other.age, abs=2e-3)


def test_blur_is_told_alike_whatever_the_model_reads(photo: NDArray[np.uint8]) -> None:
    (found,) = FaceDetector().detect(photo)
    template = AgeModel("light").template
    blurred = cv2.GaussianBlur(photo, (0, 0), 2)
    cuts = [cut_face(blurred, found, template, side, (512, 512)) for side in (128, 160, 224)]
    assert [crop.shape for crop, _ in cuts] == [(side, side, 3) for side in (128, 160, 224)]
    exact, *others = [quality for _, quality in cuts]
    for quality in others:
        assert quality.sharpness == pytest.approx(exact.sharpness, rel=0.04)
        assert quality.brightness == pytest.approx(exact.brightness, abs=0.001)
        assert quality.contrast == pytest.approx(exact.contrast, abs=0.002)
        assert (quality.size, quality.yaw) == (exact.size, exact.yaw)


def test_another_detector_can_be_given(estimator: AgeEstimator, photo: NDArray[np.uint8]) -> None:
    (found,) = estimator.detector.detect(photo, min_score=0.5)

    class Twice:
        def detect(self, image: NDArray[np.uint8], *, min_score: float) -> tuple[Detection, ...]:
            assert image.shape == photo.shape
            assert min_score == 0.5
            return (found, found)

    first, second = AgeEstimator(detector=Twice()).estimate(photo)
    assert first == second
    assert first.age == pytest.approx(only(estimator.estimate(photo)).age, abs=1e-3)


def test_a_batch_of_one_equals_a_batch_of_many() -> None:
    model = AgeModel()
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (70, model.size, model.size, 3), np.uint8)
    together = model.predict(crops)
    alone = np.concatenate([model.predict(crop[None]) for crop in crops])
    assert together.shape == (70, len(model.ages))
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    medians = [quantile(parts, model.ages, 0.5) for parts in (together, alone)]
    np.testing.assert_allclose(*medians, atol=2e-3)
    assert model.predict(crops[:0]).shape == (0, len(model.ages))


def test_the_model_file_describes_itself(estimator: AgeEstimator, photo: NDArray[np.uint8]) -> None:
    model = estimator.model
    assert model.template.shape == (4, 2)
    assert (model.template > 0.2).all()
    assert (model.template < 0.8).all()
    assert model.ages.tolist() == list(range(117))
    assert "UTKFace" in model.metadata["licence"]
    assert len(model.metadata["training"]["manifest"]) == 64
    assert model.metadata["metrics"]["validation_mae"] < 6
    (found,) = estimator.detector.detect(photo, min_score=0.5)
    crop = align_face(photo, found.landmarks, model.template, model.size)
    calibrated = model.calibration.calibrated(model.predict(crop[None]))
    (age,) = quantile(calibrated, model.ages, 0.5)
    assert age == pytest.approx(only(estimator.estimate(photo)).age, abs=1e-4)


def test_unusable_model_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    other = tmp_path / "other.onnx"
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), other)
    for path in (broken, other, tmp_path / "missing.onnx"):
        with pytest.raises(ModelError, match=path.name):
            AgeEstimator(path)
    with pytest.raises(ModelError, match="resnet50"):
        AgeEstimator("resnet9000")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": None}, {"size": "big"}, {"size": 64}, {"template": [[1, 2]]},
        {"ages": [1, 2, 3]}, {"ages": ["one"]}, {"calibration": "good"},
        {"calibration": {"temperature": 1}}, {"calibration": {"class_bias": [1.0] * 5}},
    ],
)  # fmt: skip
def test_model_files_that_say_what_is_not_so_are_refused(
    wrong: dict[str, object], tmp_path: Path
) -> None:
    path, graph = tmp_path / "wrong.onnx", onnx.load(file_of("light"))
    entries = {entry.key: entry.value for entry in graph.metadata_props}
    facts = json.loads(entries[METADATA_KEY])
    for name, value in wrong.items():
        if name == "calibration" and isinstance(value, dict) and "class_bias" in value:
            value = facts[name] | value
        facts[name] = value
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(facts)})
    onnx.save(graph, path)
    with pytest.raises(ModelError, match=r"wrong\.onnx: not a model file that"):
        AgeEstimator(path)


def test_idle_threads_sleep_so_that_sessions_do_not_slow_each_other() -> None:
    options = open_session(shipped("blazeface.onnx"), 2).get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"

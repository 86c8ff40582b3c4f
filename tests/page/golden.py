"""Write page/test/golden.json: what Python computes, for the TypeScript's tests to compute too.

    python tests/page/golden.py

Each part of the file has the inputs of one step and what is expected of it. `test_golden.py` checks
that Python still gives it; a change that alters it on purpose makes the file anew.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agelens.faces import Faces
from agelens.page.constants import constants
from agelens.pipeline.align import align_face, fit_similarity, warp
from agelens.pipeline.calibration import Calibration, density_rank, intervals, quantile
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.memory import FaceMemory, frame_weight
from agelens.pipeline.quality import measure_quality, with_interval
from agelens.types import Box, Face, Interval, Landmarks, Quality

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "page" / "test" / "golden.json"
TEMPLATE = [[0.34, 0.4], [0.66, 0.4], [0.5, 0.58], [0.5, 0.74]]
LANDMARKS = [[30.5, 22], [50, 25.5], [40, 34], [39, 41.5], [25, 28], [57.5, 31]]
AGES = np.arange(0.0, 117)
UNLIKELY = -10.0
"""Logit of the anchors that are not recorded."""

Json = dict[str, Any]


def picture() -> Json:
    """The portrait, small: smooth skin, sharp edges, every colour."""
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        pixels = np.array(image.convert("RGB").crop((150, 30, 310, 190)).resize((80, 72)))
    return pack(pixels)


def pack(pixels: NDArray[np.uint8]) -> Json:
    height, width = pixels.shape[:2]
    return {"width": width, "height": height, "rgb": base64.b64encode(pixels.tobytes()).decode()}


def unpack(packed: Json) -> NDArray[np.uint8]:
    data = np.frombuffer(base64.b64decode(packed["rgb"]), np.uint8)
    return data.reshape(packed["height"], packed["width"], 3)


def similarity_inputs() -> Json:
    return {"source": LANDMARKS[:4], "target": (112 * np.array(TEMPLATE)).tolist()}


def similarity(inputs: Json) -> Any:
    matrix = fit_similarity(np.array(inputs["source"]), np.array(inputs["target"]))
    return matrix.ravel().tolist()


def warp_inputs() -> Json:
    """Enlarged, reduced by a little and by much, turned, past every border."""

    def case(scale: float, degrees: float, shift: tuple[float, float], **more: Any) -> Json:
        turn = scale * np.exp(1j * np.radians(degrees))
        matrix = [turn.real, -turn.imag, shift[0], turn.imag, turn.real, shift[1]]
        return {"matrix": matrix, **more}

    return {
        "image": picture(),
        "cases": [
            case(1.7, 12, (-20, -31), size=[40, 36], reflect=True),
            case(1, 0, (0, 0), size=[24, 24], reflect=False),
            case(0.61, -20, (-3, 14), size=[32, 32], reflect=True),
            case(0.3, 7, (6, 5), size=[36, 28], reflect=False),
            case(0.25, 0, (2, 3), size=[24, 24], reflect=True),
            case(0.09, 200, (12, 11), size=[16, 16], reflect=True),
        ],
    }


def warped(inputs: Json) -> Any:
    image = unpack(inputs["image"])
    return [
        pack(
            warp(
                image,
                np.array(case["matrix"]).reshape(2, 3),
                tuple(case["size"]),
                reflect=case["reflect"],
            )
        )
        for case in inputs["cases"]
    ]


def align_inputs() -> Json:
    return {"image": picture(), "landmarks": LANDMARKS, "template": TEMPLATE, "size": 48}


def aligned(inputs: Json) -> Any:
    landmarks = Landmarks.from_array(np.array(inputs["landmarks"]))
    template = np.array(inputs["template"])
    return pack(align_face(unpack(inputs["image"]), landmarks, template, inputs["size"]))


class _Session:
    """In the place of the detector's network, which it may ask."""

    def __init__(self, answer: Callable[[NDArray[np.uint8]], tuple[Any, Any]]) -> None:
        self._answer = answer

    def run(self, _: Any, feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        boxes, logits = zip(*(self._answer(view) for view in feed["images"]), strict=True)
        return [np.array(boxes, np.float32), np.array(logits, np.float32)[..., None]]


def detector_inputs() -> Json:
    """What the network says of six pictures.

    One is large enough for tiles, with two faces and a small one; one is filled by a face, so that
    it is found with a border only; one is long and narrow; one is upside down; one lies on its
    side; one is turned between the two, so that it seems to be a larger face upright, too.
    """
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        portrait = np.array(image.convert("RGB"))
    crowd = np.full((700, 1300, 3), 120, np.uint8)
    crowd[100:612, :512] = portrait
    crowd[40:240, 560:760] = cv2.resize(portrait, (200, 200), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((225, 120), 20, 0.8)
    crowd[200:700, 800:1300] = cv2.warpAffine(portrait, turn, (500, 500))
    filled = cv2.resize(portrait[98:147, 203:252], (170, 170))
    narrow = np.full((900, 120, 3), 120, np.uint8)
    narrow[700:810, 5:115] = cv2.resize(portrait[40:200, 146:306], (110, 110))
    turned = np.ascontiguousarray(portrait[299::-1, 379:79:-1])
    sideways = np.ascontiguousarray(np.rot90(portrait[:300, 80:380]))
    turn = cv2.getRotationMatrix2D((226, 121), 210, 0.7)
    turn[:, 2] += 150 - np.array([226, 121])
    between = cv2.warpAffine(portrait, turn, (300, 300), borderValue=(120, 120, 120))
    shown = (crowd, filled, narrow, turned, sideways, between)
    pictures = [_recorded(image) for image in shown]
    return {"min_score": 0.5, "pictures": pictures}


def _recorded(image: NDArray[np.uint8]) -> Json:
    detector = FaceDetector(threads=1)
    network, views = detector._session, []

    def answer(view: NDArray[np.uint8]) -> tuple[Any, Any]:
        boxes, scores = network.run(["boxes", "scores"], {"images": view[None]})
        known = np.flatnonzero(scores[0, :, 0] > -2)
        views.append(
            {
                "size": [view.shape[1], view.shape[0]],
                "anchors": known.tolist(),
                "logits": np.round(scores[0, known, 0].astype(float), 3).tolist(),
                "boxes": np.round(boxes[0, known].astype(float), 2).tolist(),
            }
        )
        return _answer(views[-1])

    detector._session = _Session(answer)
    detector.detect(image)
    return {"width": image.shape[1], "height": image.shape[0], "views": views}


def _answer(view: Json) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The boxes ``[A, 16]`` and logits ``[A]`` of a recorded view."""
    stride = constants()["detector"]["stride"]
    count = view["size"][0] * view["size"][1] // stride**2
    boxes, logits = np.zeros((count, 16), np.float32), np.full(count, UNLIKELY, np.float32)
    if view["anchors"]:
        boxes[view["anchors"]], logits[view["anchors"]] = view["boxes"], view["logits"]
    return boxes, logits


def detected(inputs: Json) -> Any:
    return [_replayed(known, inputs["min_score"]) for known in inputs["pictures"]]


def _replayed(known: Json, min_score: float) -> list[Json]:
    views: Iterator[Json] = iter(known["views"])

    def answer(view: NDArray[np.uint8]) -> tuple[Any, Any]:
        recorded = next(views)
        assert [view.shape[1], view.shape[0]] == recorded["size"]
        return _answer(recorded)

    detector = FaceDetector(threads=1)
    detector._session = _Session(answer)
    image = np.zeros((known["height"], known["width"], 3), np.uint8)
    found = detector.detect(image, min_score=min_score)
    assert next(views, None) is None, "the detector looks at fewer views than it did"
    return [
        {
            "box": asdict(face.box),
            "landmarks": face.landmarks.to_array().tolist(),
            "score": face.score,
        }
        for face in found
    ]


def calibration_inputs() -> Json:
    """A sharp, a wide, a two-peaked and a lopsided distribution; two calibrations and none."""
    peaks = [[(30, 2, 1)], [(50, 12, 1)], [(8, 3, 0.6), (40, 4, 0.4)], [(1, 1, 0.7), (20, 30, 0.3)]]
    rows = [
        sum(mass * np.exp(-(((AGES - mean) / width) ** 2) / 2) / width for mean, width, mass in row)
        for row in peaks
    ]
    one = Calibration(
        1.3,
        np.exp((AGES - 60) / 40),
        np.array([0.0, 20, 60, 100]),
        np.array([0.0, 0.5, 0.9, 1]),
        np.array([[0.0, 0.4, 0.8, 1], [0, 0.5, 0.9, 1], [0, 0.6, 0.95, 1], [0, 0.3, 0.7, 1]]),
    )
    other = Calibration(0.8, np.ones(1), levels=np.array([0.0, 1]))
    return {
        "ages": AGES.tolist(),
        "coverages": [0.5, 0.9],
        "distributions": [(row / row.sum()).tolist() for row in rows],
        "calibrations": [one.to_dict(), other.to_dict(), None],
    }


def calibrated(inputs: Json) -> Any:
    ages = np.array(inputs["ages"])
    results = []
    for values in inputs["calibrations"]:
        calibration = Calibration.from_dict(values) if values else Calibration()
        rows = calibration.calibrated(np.array(inputs["distributions"]))
        results.append(
            {
                "calibrated": rows.tolist(),
                "rank": density_rank(rows).tolist(),
                "median": quantile(rows, ages, 0.5).tolist(),
                "intervals": [
                    intervals(rows, ages, calibration, coverage).tolist()
                    for coverage in inputs["coverages"]
                ],
            }
        )
    return results


def quality_inputs() -> Json:
    """A good face, cut larger than it is measured; a small one, turned and half outside, of which
    nothing is sure; one that is too narrow.
    """
    away = [[-6.5, 3], [-1, 3.5], [1.5, 6], [-3, 9], [-8, 4], [1, 4.5]]
    image = picture()
    narrow = [[0.5 * x + 20, y] for x, y in LANDMARKS]
    dark = pack((unpack(image) // 32).astype(np.uint8))
    return {
        "template": TEMPLATE,
        "faces": [
            {"image": image, "landmarks": LANDMARKS, "side": 160, "score": 0.9, "width": 30},
            {"image": dark, "landmarks": away, "side": 128, "score": 0.5, "width": 60},
            {"image": image, "landmarks": narrow, "side": 128, "score": 0.9, "width": 45},
        ],
    }


def qualities(inputs: Json) -> Any:
    template = np.array(inputs["template"])

    def measure(face: Json) -> Json:
        image, landmarks = unpack(face["image"]), Landmarks.from_array(np.array(face["landmarks"]))
        crop = align_face(image, landmarks, template, face["side"])
        height, width = image.shape[:2]
        quality = measure_quality(crop, landmarks, template, width, height, face["score"])
        quality = with_interval(quality, face["width"])
        return asdict(quality) | {"reasons": list(quality.reasons)}

    return [measure(face) for face in inputs["faces"]]


def memory_inputs() -> Json:
    """More frames than are remembered, some of them poor."""
    rows = [np.roll([0.5, 0.3, 0.15, 0.05], turn).tolist() for turn in (0, 1, 1, 3, 2)]
    reasons = [["blurred"], [], ["small", "dark"], [], []]
    order = [0, 1, 2, *([3] * 160), 4, 0]
    return {"frames": [{"distribution": rows[k], "reasons": reasons[k]} for k in order]}


def remembered(inputs: Json) -> Any:
    memory, means = None, []
    for time, frame in enumerate(inputs["frames"]):
        weight = frame_weight(Quality(0, 0, 0, 0, 0, 0, 1, 1, tuple(frame["reasons"])))
        distribution = np.array(frame["distribution"])
        if memory is None:
            memory = FaceMemory.start(distribution, weight, time)
        else:
            memory.add(distribution, weight, time)
        means.append(memory.mean.tolist())
    return means


PARTS: dict[str, tuple[Callable[[], Json], Callable[[Json], Any]]] = {
    "similarity": (similarity_inputs, similarity),
    "warp": (warp_inputs, warped),
    "align": (align_inputs, aligned),
    "detector": (detector_inputs, detected),
    "calibration": (calibration_inputs, calibrated),
    "quality": (quality_inputs, qualities),
    "memory": (memory_inputs, remembered),
}
"""For each part of the file: what makes its inputs, and what computes the rest of them."""


def facts() -> Json:
    """What the TypeScript has to know without computing it."""
    landmarks, box = Landmarks.from_array(np.array(LANDMARKS)), Box(0, 0, 1, 1)
    quality = Quality(0, 0, 0, 0, 0, 0)
    face = Face(0, Interval(0, 1, 0.9), box, landmarks, 1, quality, np.ones(1), np.zeros(1))
    (row,) = Faces((face,), "").to_rows(at_least=[18])
    return {
        "constants": constants(),
        "landmarks": [field.name for field in fields(Landmarks)],
        "columns": list(row),
    }


if __name__ == "__main__":
    parts: Json = {}
    for name, (make, compute) in PARTS.items():
        inputs = make()
        parts[name] = {"inputs": inputs, "expected": compute(inputs)}
    FILE.write_text(json.dumps(facts() | parts, separators=(",", ":")) + "\n", "utf-8")

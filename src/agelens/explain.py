"""Which parts of a face its age comes from: hide each in turn, and estimate again.

Occlusion sensitivity (Zeiler and Fergus, ECCV 2014) needs nothing but the model's answers, so that
what is shown is the model file that serves, in its own precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agelens.errors import ImageError
from agelens.estimator import AgeEstimator
from agelens.files import Inputs, atomic_path
from agelens.pipeline.calibration import Calibration, quantile
from agelens.pipeline.images import ImageSource, describe
from agelens.types import Face

GRID = 16
"""Number of places along each side of the crop at which a part is hidden."""
PATCH = 0.2
"""Side of the square that hides, in sides of the crop: about an eye with its brow."""
GREY = 127
"""What it is filled with. Training erases squares with the same grey, so that a model has seen it
and answers for what is hidden, not for the square."""
PANEL = 384
"""Side in pixels of the drawn crop and map."""
LEAST_SCALE = 1.0
"""Least number of years at the ends of the colour scale, so that small effects look small."""
OLDER, YOUNGER = (213, 94, 0), (0, 114, 178)
"""RGB; told apart by colour-blind people too (Okabe and Ito)."""


class Predictor(Protocol):
    """What is explained: `AgeModel`, or a test's own."""

    ages: NDArray[np.float32]
    calibration: Calibration

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Age distributions ``[N, K]`` of crops, RGB uint8 ``[N, S, S, 3]``."""
        ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """A face, and how much each place in it adds to its age.

    Attributes:
        face: as `AgeEstimator.estimate` returns it.
        crop: the aligned face that the model read, RGB uint8 ``[S, S, 3]``.
        years: ``[GRID, GRID]``, rows from top to bottom of the crop: the estimate less what it is
            when a square around this place is hidden. Positive: what is there makes the face look
            older.
    """

    face: Face
    crop: NDArray[np.uint8]
    years: NDArray[np.float64]


def explain_faces(estimator: AgeEstimator, image: ImageSource) -> tuple[Explanation, ...]:
    """Explain the age of every face in a picture, largest first; see `AgeEstimator.estimate`."""
    crops = estimator.preprocess(image)
    faces = estimator.postprocess(estimator.predict(crops), crops)
    return tuple(
        Explanation(face, crop, occlusion(estimator.model, crop))
        for face, crop in zip(faces, crops.crops, strict=True)
    )


def occlusion(model: Predictor, crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How many years each place of an aligned face adds to the estimate.

    Args:
        model: that estimates.
        crop: RGB uint8 ``[S, S, 3]``.

    Returns:
        ``[GRID, GRID]``; see `Explanation.years`.
    """
    size = len(crop)
    centres = (np.arange(GRID) + 0.5) * size / GRID
    starts = np.clip(np.rint(centres - PATCH * size / 2), 0, size).astype(int)
    stops = np.clip(np.rint(centres + PATCH * size / 2), 0, size).astype(int)
    crops = np.repeat(crop[None], 1 + GRID * GRID, axis=0)
    places = ((y, x) for y in range(GRID) for x in range(GRID))
    for hidden, (y, x) in zip(crops[1:], places, strict=True):
        hidden[starts[y] : stops[y], starts[x] : stops[x]] = GREY
    distributions = model.calibration.calibrated(model.predict(crops))
    ages = quantile(distributions, model.ages, 0.5)
    years: NDArray[np.float64] = (ages[0] - ages[1:]).reshape(GRID, GRID)
    return years


def draw_explanation(explanation: Explanation) -> NDArray[np.uint8]:
    """The aligned face beside the map of its years, with their scale.

    Returns:
        RGB uint8 ``[H, W, 3]``.
    """
    years, face = explanation.years, explanation.face
    limit = max(LEAST_SCALE, float(np.abs(years).max()))
    crop = cv2.resize(explanation.crop, (PANEL, PANEL), interpolation=cv2.INTER_CUBIC)
    # Bilinear: between two places that were measured nothing rises above both.
    smooth = cv2.resize(years / limit, (PANEL, PANEL), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    heat = _coloured(np.asarray(grey, np.float64), np.asarray(smooth, np.float64))
    scale = np.repeat(np.linspace(1, -1, PANEL)[:, None], PANEL // 16, axis=1)
    bar = _coloured(np.full((*scale.shape, 3), 255.0), scale)

    gap, text, title = PANEL // 16, PANEL // 20, PANEL // 8
    right = 2 * PANEL + 3 * gap
    width, height = right + bar.shape[1] + 6 * gap, title + PANEL + 2 * gap + text
    page = np.full((height, width, 3), 255, np.uint8)
    for panel, x in ((crop, gap), (heat, PANEL + 2 * gap), (bar, right)):
        page[title : title + PANEL, x : x + panel.shape[1]] = panel

    drawn = Image.fromarray(page)
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(text)
    interval = face.interval
    heading = f"{face.age:.1f} years, {interval.low:.0f} to {interval.high:.0f}"
    draw.text((gap, title / 2), heading, "black", ImageFont.load_default(1.3 * text), "lm")
    beside = right + bar.shape[1] + gap / 3
    for place, label in ((0.0, f"{limit:+.1f} y"), (0.5, "0"), (1.0, f"{-limit:+.1f} y")):
        draw.text((beside, title + place * PANEL), label, "black", font, "lm")
    note = "Orange: what is here makes the face look older. Blue: younger."
    draw.text((PANEL + 2 * gap, title + PANEL + gap), note, "black", font, "lt")
    return np.asarray(drawn)


def write_explanations(
    photo: Path, output: Path, *, model: str = "light", min_score: float = 0.5
) -> list[Path]:
    """Explain a photo's faces and draw each.

    Args:
        photo: a picture's file.
        output: a ``.png`` or ``.jpg`` file for the largest face; else a folder, which gets
            ``PHOTO-1.png`` for the largest, ``PHOTO-2.png`` for the next.
        model: a shipped model's name or a model file.
        min_score: faces that the detector is less sure of are left out.

    Returns:
        The files that were written.

    Raises:
        ImageError: the photo cannot be read, or shows no face.
        ModelError: the model file cannot be used.
        OutputError: `output` cannot be written, or is the photo or the model.
    """
    one = output.suffix.lower() in {".png", ".jpg", ".jpeg"} and not output.is_dir()
    estimator = AgeEstimator(model, min_score=min_score)
    inputs = Inputs([photo, estimator.model.path])
    if one:
        inputs.refuse(output)
    found = explain_faces(estimator, photo)
    if not found:
        raise ImageError(describe(photo), "no face was found in it")
    names = [output] if one else [output / f"{photo.stem}-{i}.png" for i, _ in enumerate(found, 1)]
    for path, explanation in zip(names, found, strict=False):
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        with atomic_path(path, inputs=inputs) as partial:
            Image.fromarray(draw_explanation(explanation)).save(partial, kind, quality=92)
    return names


def _coloured(ground: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour RGB `ground` ``[H, W, 3]``; the nearer a value is to -1 or 1, the stronger."""
    colour = np.where(values[..., None] > 0, OLDER, YOUNGER)
    strength = np.abs(values)[..., None]
    return np.rint(ground + strength * (colour - ground)).astype(np.uint8)

"""Bad imaging conditions: pure functions from a picture to a worse one, and their five severities.

Where ImageNet-C has a kind, its severities are used (Hendrycks and Dietterich, ICLR 2019,
github.com/hendrycks/robustness); those in pixels are taken as fractions of its 224 pixels and
applied to the face's box, so that a face is as blurred in a crowd as in a portrait. Exposure and
sensor noise act on linear intensity (a power law of 2.2), not on grey levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.types import Detection, Landmarks

Pixels = NDArray[np.uint8]
"""RGB uint8 ``[H, W, 3]``."""
Apply = Callable[[Pixels, float, np.random.Generator, Detection | None], Pixels]
"""Picture, amount, source of chance, and the face if it is known, to another picture."""

GAMMA = 2.2
LIGHT = (np.arange(256) / 255) ** GAMMA
"""Linear intensity, 0 to 1, of each grey level."""
DARK_PHOTONS = 1000.0
"""Electrons that a small sensor counts at white, before the light falls."""
READ_NOISE = 2.0
"""Standard deviation in electrons of a sensor's own noise."""


def low_light(
    image: Pixels, stops: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Take away light by powers of two; what little is left is noisy."""
    return _sense(image, 2**-stops, DARK_PHOTONS, rng)


def over_exposure(
    image: Pixels, stops: float, _rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Add light by powers of two; what is brighter than white is lost."""
    return _encode(LIGHT * 2**stops)[image]


def contrast(
    image: Pixels, kept: float, _rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Keep a fraction of the differences from the mean colour (ImageNet-C)."""
    mean = image.mean(axis=(0, 1))
    return _to_bytes((image - mean) * kept + mean)


def colour_cast(
    image: Pixels, stops: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """A wrong white balance: red is so much brighter than blue, or darker."""
    half = stops / 2 * rng.choice([-1, 1])
    tables = [_encode(LIGHT * 2**gain) for gain in (half, 0.0, -half)]
    return np.dstack([table[image[..., i]] for i, table in enumerate(tables)])


def grey(image: Pixels, lost: float, _rng: np.random.Generator, _face: Detection | None) -> Pixels:
    """Take away a fraction of the colour."""
    plain = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return _as_pixels(cv2.addWeighted(image, 1 - lost, plain, lost, 0))


def gaussian_noise(
    image: Pixels, sigma: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Independent noise of one strength everywhere (ImageNet-C)."""
    return _to_bytes(image + 255 * sigma * rng.standard_normal(image.shape, np.float32))


def shot_noise(
    image: Pixels, photons: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Poisson noise of grey levels, `photons` at white (ImageNet-C)."""
    return _to_bytes(rng.poisson(image * (photons / 255)) * (255 / photons))


def iso_noise(
    image: Pixels, photons: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """A sensor whose gain makes up for little light: Poisson-Gaussian (Foi et al., TIP 2008)."""
    return _sense(image, 1.0, photons, rng)


def defocus_blur(
    image: Pixels, radius: float, _rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """Every point becomes a disc; the radius is a fraction of the face's side (ImageNet-C)."""
    pixels = radius * face_side(image, face)
    x, y = _grid(pixels)
    return _filter(image, np.clip(pixels + 0.5 - np.hypot(x, y), 0, 1))


def motion_blur(
    image: Pixels, length: float, rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """The camera moved evenly in one direction, by a fraction of the face's side.

    The lengths spread the light as far as ImageNet-C's one-sided Gaussians do.
    """
    pixels = length * face_side(image, face)
    angle = rng.uniform(0, np.pi)
    x, y = _grid(pixels / 2)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = np.clip(pixels / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return _filter(image, line)


def jpeg(
    image: Pixels, quality: float, _rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Save as JPEG of this quality, 1 to 100, and read it again (ImageNet-C)."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    return _as_pixels(
        cv2.cvtColor(_as_pixels(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    )


def low_resolution(
    image: Pixels, side: float, _rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """A smaller picture, in which the face's box has this side in pixels; never a larger one."""
    scale = side / face_side(image, face)
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return _as_pixels(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def eyes_hidden(
    image: Pixels, height: float, rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """Dark glasses: a bar over both eyes, `height` to each side of them."""
    bar = [(-1.1, -height), (1.1, -height), (1.1, height), (-1.1, height)]
    return _cover(image, face, bar, rng.integers(0, 60, 3))


def mouth_hidden(
    image: Pixels, top: float, rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """A mask of any colour from the chin up to `top`: 1 is the mouth, 0 the eyes."""
    mask = [(-0.95, top), (0.95, top), (0.5, 1.75), (-0.5, 1.75)]
    return _cover(image, face, mask, rng.integers(0, 256, 3))


def half_hidden(
    image: Pixels, hidden: float, rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """Something flat of any colour stands before a fraction of the face, left or right."""
    outer, inner = 1.4, 1 - 2 * hidden
    side = rng.choice([-1, 1])
    wall = [(side * outer, -1.2), (side * inner, -1.2), (side * inner, 2), (side * outer, 2)]
    return _cover(image, face, wall, rng.integers(0, 256, 3))


def rotation(
    image: Pixels, degrees: float, rng: np.random.Generator, _face: Detection | None
) -> Pixels:
    """Turn the picture, left or right; the canvas grows to hold all of it, on black."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), degrees * rng.choice([-1, 1]), 1
    )
    cosine, sine = np.abs(matrix[0, :2])
    size = np.ceil([width * cosine + height * sine, width * sine + height * cosine]).astype(int)
    matrix[:, 2] = matrix[:, 2] + (size - (width, height)) / 2
    return _as_pixels(cv2.warpAffine(image, matrix, (int(size[0]), int(size[1]))))


def tight_crop(
    image: Pixels, times: float, _rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """Keep only a square at the face, of so many sides of its box."""
    return image if face is None else _square(image, face, times, pad=False)


def wide_crop(
    image: Pixels, times: float, _rng: np.random.Generator, face: Detection | None
) -> Pixels:
    """A square at the face of so many sides of its box, of the mean colour past the picture."""
    return image if face is None else _square(image, face, times, pad=True)


@dataclass(frozen=True, slots=True)
class Corruption:
    """A kind: what it does, the amounts of severities 1 to 5, and what they are."""

    apply: Apply
    amounts: tuple[float, float, float, float, float]
    unit: str


def _of_224(*pixels: float) -> tuple[float, float, float, float, float]:
    a, b, c, d, e = (round(value / 224, 4) for value in pixels)
    return a, b, c, d, e


CORRUPTIONS: dict[str, Corruption] = {
    "low_light": Corruption(low_light, (1, 2, 3, 4, 5), "stops less light"),
    "over_exposure": Corruption(over_exposure, (0.5, 1, 1.5, 2, 2.5), "stops more light"),
    "contrast": Corruption(contrast, (0.4, 0.3, 0.2, 0.1, 0.05), "fraction of contrast kept"),
    "colour_cast": Corruption(colour_cast, (0.3, 0.6, 0.9, 1.2, 1.6), "stops of red over blue"),
    "grey": Corruption(grey, (0.2, 0.4, 0.6, 0.8, 1), "fraction of colour lost"),
    "gaussian_noise": Corruption(gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38), "sigma of 1"),
    "shot_noise": Corruption(shot_noise, (60, 25, 12, 5, 3), "photons at white"),
    "iso_noise": Corruption(iso_noise, (400, 200, 100, 50, 25), "electrons at white"),
    "defocus_blur": Corruption(defocus_blur, _of_224(3, 4, 6, 8, 10), "radius / face"),
    "motion_blur": Corruption(motion_blur, _of_224(6, 10, 17, 25, 31), "length / face"),
    "jpeg": Corruption(jpeg, (25, 18, 15, 10, 7), "quality"),
    "low_resolution": Corruption(low_resolution, (64, 48, 32, 24, 20), "pixels of face"),
    "eyes_hidden": Corruption(eyes_hidden, (0.12, 0.18, 0.25, 0.32, 0.4), "half height"),
    "mouth_hidden": Corruption(mouth_hidden, (0.85, 0.7, 0.5, 0.35, 0.2), "upper edge"),
    "half_hidden": Corruption(half_hidden, (0.1, 0.2, 0.3, 0.4, 0.5), "fraction of face"),
    "rotation": Corruption(rotation, (9, 18, 27, 36, 45), "degrees"),
    "tight_crop": Corruption(tight_crop, (1, 0.9, 0.8, 0.7, 0.6), "side / face"),
    "wide_crop": Corruption(wide_crop, (2, 2.5, 3, 4, 5), "side / face"),
}
"""Every kind that changes the picture. Lengths of the occlusions are in distances from the eyes to
the mouth; "face" is the side of the detector's box, forehead to chin."""
LANDMARK_JITTER = (0.02, 0.04, 0.06, 0.08, 0.1)
"""Standard deviation of `jittered`, by severity, in sides of the face's box."""


def corrupt(
    image: Pixels,
    kind: str,
    severity: int,
    rng: np.random.Generator,
    face: Detection | None = None,
) -> Pixels:
    """Make a picture worse.

    Args:
        image: RGB uint8 ``[H, W, 3]``; it is not changed.
        kind: a name of `CORRUPTIONS`.
        severity: 1 to 5.
        rng: source of noise, directions and colours.
        face: where the face is. Without it, occlusions and crops do nothing, and lengths are
            fractions of the picture's shorter side.

    Returns:
        RGB uint8 ``[H', W', 3]``; another size for `low_resolution`, `rotation` and the crops.
    """
    corruption = CORRUPTIONS[kind]
    return corruption.apply(image, corruption.amounts[severity - 1], rng, face)


def jittered(found: Detection, amount: float, rng: np.random.Generator) -> Detection:
    """What a worse detector would say: each landmark moved by noise, `amount` sides of the box."""
    points = found.landmarks.to_array()
    points += rng.normal(0, amount * found.box.width, points.shape)
    return Detection(found.box, Landmarks.from_array(points), found.score)


def face_side(image: Pixels, face: Detection | None) -> float:
    """Side in pixels of the face's box; of the picture when the face is not known."""
    return float(min(image.shape[:2])) if face is None else face.box.width


def _to_bytes(values: NDArray[np.floating]) -> Pixels:
    return _as_pixels(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _as_pixels(array: Any) -> Pixels:
    """What OpenCV returns of a uint8 picture, which its types do not tell."""
    return np.asarray(array, np.uint8)


def _encode(light: NDArray[np.floating]) -> Pixels:
    """Linear intensity to grey levels."""
    return _to_bytes(255 * np.clip(light, 0, 1) ** (1 / GAMMA))


def _sense(image: Pixels, gain: float, photons: float, rng: np.random.Generator) -> Pixels:
    """Take the picture with a sensor that counts `photons` electrons at white."""
    electrons = rng.poisson((LIGHT * gain * photons)[image])
    noise = READ_NOISE * rng.standard_normal(image.shape, np.float32)
    return _encode((electrons + noise) / photons)


def _grid(radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates x, y of a kernel that reaches `radius` to each side."""
    reach = np.arange(-np.ceil(radius), np.ceil(radius) + 1)
    x, y = np.meshgrid(reach, reach)
    return x, y


def _filter(image: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    return _as_pixels(cv2.filter2D(image, -1, kernel / kernel.sum()))


def _cover(
    image: Pixels,
    face: Detection | None,
    corners: list[tuple[float, float]],
    colour: NDArray[np.integer],
) -> Pixels:
    """Paint a convex shape that lies on the face, turned and scaled with it.

    `corners` are of the face's own frame: the origin is between the eyes, y goes to the mouth and
    is 1 there, x is as long and at right angles (a profile's eyes are too near to measure by).
    """
    if face is None:
        return image
    points = face.landmarks.to_array()
    eyes = points[:2].mean(axis=0)
    down = points[3] - eyes
    across = np.array([down[1], -down[0]])
    placed = eyes + np.array(corners, float) @ np.stack([across, down])
    covered = image.copy()
    paint = tuple(int(value) for value in colour)
    cv2.fillConvexPoly(covered, np.rint(placed).astype(np.int32), paint, cv2.LINE_AA)
    return covered


def _square(image: Pixels, face: Detection, times: float, *, pad: bool) -> Pixels:
    """The square around the face; its part within the picture, or all of it."""
    box, half = face.box, times * face.box.width / 2
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    height, width = image.shape[:2]
    left, right, top, bottom = (round(value) for value in (x - half, x + half, y - half, y + half))
    inside = image[max(0, top) : max(1, bottom), max(0, left) : max(1, right)]
    if not pad:
        return np.ascontiguousarray(inside)
    above, below = max(0, -top), max(0, bottom - height)
    before, after = max(0, -left), max(0, right - width)
    mean = image.mean(axis=(0, 1)).tolist()
    return _as_pixels(
        cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_CONSTANT, value=mean)
    )

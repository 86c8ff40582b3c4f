"""agelens: the age of every face in a picture, offline, in milliseconds.

>>> from agelens import AgeEstimator
>>> estimator = AgeEstimator()
>>> [round(face.age) for face in estimator.estimate("examples/astronaut.jpg")]  # doctest: +SKIP
"""

from agelens.errors import (
    AgelensError,
    CheckpointError,
    DataError,
    ExportError,
    ImageError,
    ImageTooLargeError,
    MissingExtraError,
    ModelError,
    RecipeError,
    UnreadableImageError,
    VideoError,
)
from agelens.estimator import AgeEstimator
from agelens.types import Box, Face, Interval, Landmarks, Point, Quality

__all__ = [
    "AgeEstimator",
    "AgelensError",
    "Box",
    "CheckpointError",
    "DataError",
    "ExportError",
    "Face",
    "ImageError",
    "ImageTooLargeError",
    "Interval",
    "Landmarks",
    "MissingExtraError",
    "ModelError",
    "Point",
    "Quality",
    "RecipeError",
    "UnreadableImageError",
    "VideoError",
    "__version__",
]
__version__ = "0.1.0"

"""agelens: the age of every face in a picture, offline, in milliseconds.

>>> from agelens import AgeEstimator
>>> estimator = AgeEstimator()
>>> [round(face.age) for face in estimator.estimate("examples/astronaut.jpg")]  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agelens.decide import AgeCheck, Decision
from agelens.errors import (
    AgelensError,
    CheckpointError,
    DataError,
    DeviceError,
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
from agelens.faces import Faces
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.model import AgeModel
from agelens.types import Box, Detection, Face, Interval, Landmarks, Point, Quality

if TYPE_CHECKING:
    from agelens.draw import draw_faces
    from agelens.explain import Explanation, explain_faces
    from agelens.video.tracker import FaceTracker, TrackedFace

__all__ = [
    "AgeCheck",
    "AgeEstimator",
    "AgeModel",
    "AgelensError",
    "Box",
    "CheckpointError",
    "DataError",
    "Decision",
    "Detection",
    "DeviceError",
    "Explanation",
    "ExportError",
    "Face",
    "FaceDetector",
    "FaceTracker",
    "Faces",
    "ImageError",
    "ImageTooLargeError",
    "Interval",
    "Landmarks",
    "MissingExtraError",
    "ModelError",
    "Point",
    "Quality",
    "RecipeError",
    "TrackedFace",
    "UnreadableImageError",
    "VideoError",
    "__version__",
    "draw_faces",
    "explain_faces",
    "load_image",
]
__version__ = "0.1.0"


_LATER = {
    "Explanation": "explain",
    "FaceTracker": "video.tracker",
    "TrackedFace": "video.tracker",
    "draw_faces": "draw",
    "explain_faces": "explain",
}


def __getattr__(name: str) -> Any:
    """What few processes need, when it is used; the tracker's packages are ``agelens[video]``'s."""
    if name not in _LATER:
        raise AttributeError(f"module 'agelens' has no attribute {name!r}")
    try:
        module = import_module(f"agelens.{_LATER[name]}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{name} needs {error.name}: pip install 'agelens[video]'"
        ) from error
    return getattr(module, name)

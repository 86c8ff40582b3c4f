"""agelens: the age of every face in a picture, offline, in milliseconds.

>>> from agelens import AgeEstimator
>>> estimator = AgeEstimator()
>>> [round(face.age) for face in estimator.estimate("examples/astronaut.jpg")]  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from agelens.decide import AgeCheck, Decision
    from agelens.draw import draw_faces
    from agelens.estimator import AgeEstimator
    from agelens.explain import Explanation, explain_faces
    from agelens.faces import Faces
    from agelens.pipeline.detect import FaceDetector
    from agelens.pipeline.images import load_image
    from agelens.pipeline.model import AgeModel
    from agelens.types import Box, Detection, Face, Interval, Landmarks, Point, Quality
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


_MODULES = {
    "decide": ("AgeCheck", "Decision"),
    "draw": ("draw_faces",),
    "estimator": ("AgeEstimator",),
    "explain": ("Explanation", "explain_faces"),
    "faces": ("Faces",),
    "pipeline.detect": ("FaceDetector",),
    "pipeline.images": ("load_image",),
    "pipeline.model": ("AgeModel",),
    "types": ("Box", "Detection", "Face", "Interval", "Landmarks", "Point", "Quality"),
    "video.tracker": ("FaceTracker", "TrackedFace"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is used; the tracker's packages are ``agelens[video]``'s."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'agelens' has no attribute {name!r}")
    try:
        module = import_module(f"agelens.{_MODULE_OF[name]}")
    except ModuleNotFoundError as error:
        if name not in _MODULES["video.tracker"]:
            raise
        raise MissingExtraError(
            f"{name} needs {error.name}: pip install 'agelens[video]'"
        ) from error
    return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return __all__

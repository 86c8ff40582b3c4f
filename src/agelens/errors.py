"""The one error tree. Every failure that a user can cause is an `AgelensError` with a sentence.

The command line turns these into exit codes; nothing else prints them.
"""

from __future__ import annotations


class AgelensError(Exception):
    """Base class of every error that agelens raises on purpose."""


class ImageError(AgelensError):
    """An image cannot be used. `source` names the file, `reason` says why."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.source, self.reason)  # picklable: raised in worker processes


class UnreadableImageError(ImageError):
    """The source is missing, empty, truncated or no image."""


class ImageTooLargeError(ImageError):
    """The image claims more pixels than the limit allows."""


class OutputError(AgelensError):
    """A result cannot be written, or would be written over an input."""


class VideoError(AgelensError):
    """A video or camera is missing, broken or no video."""


class ModelError(AgelensError):
    """A model file is missing, broken, or not one that agelens wrote."""


class DeviceError(AgelensError):
    """ONNX Runtime cannot use the device that was asked for."""


class DataError(AgelensError):
    """A dataset source, folder or manifest cannot be used."""


class RecipeError(AgelensError):
    """A training recipe has an unknown key or an impossible value."""


class CheckpointError(AgelensError):
    """A checkpoint is missing, broken, or not one that agelens wrote."""


class ExportError(AgelensError):
    """An exported model does not agree with the one it was made from."""


class MissingExtraError(AgelensError):
    """A command needs packages of an extra that is not installed."""

"""The process that decodes pictures: one after the other goes through the whole serve flow.

``python -m agelens.service.decoder`` reads frames from its standard input and writes frames to its
standard output: a length of 4 bytes, then so many bytes. The first frame is a `DecoderSettings` as
JSON. Then each picture is two frames, a `PictureRequest` as JSON and the bytes of the image file;
the answer is one, of a `PictureResult`. Nothing is pickled: a decoder that hostile bytes have taken
over sends numbers and words, and no code.

A decoder is no sandbox: it has the rights of the service's user.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from agelens.errors import AgelensError, ImageError, ImageTooLargeError, UnreadableImageError
from agelens.estimator import AgeEstimator
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.formats import open_image, silence_libtiff
from agelens.pipeline.images import load_image
from agelens.types import Face

log = logging.getLogger("agelens.service")

QUICK_PIXELS = 2_000_000
"""A picture with more takes so long that it may not use the decoder kept free for quick ones."""
NOT_QUICK = "not quick"
FREE_SECONDS = 0.5
"""Processor time that every picture may use, whatever its size."""


@dataclass(frozen=True, slots=True)
class DecoderSettings:
    """How a decoder works. `models` are names or paths, by the name that requests use.

    With `track`, its pictures are the frames of one video, whose faces it follows.
    """

    models: dict[str, str]
    min_score: float
    coverage: float
    max_pixels: int
    max_faces: int
    megapixel_seconds: float
    track: bool = False


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What to do with a picture: the model's name, None for the usual coverage; ages."""

    model: str
    coverage: float | None = None
    at_least: tuple[int, ...] = ()
    only_quick: bool = False


@dataclass(frozen=True, slots=True)
class PictureResult:
    """What a picture showed, or why nothing could be seen.

    Attributes:
        shown: JSON of an object with `width` and `height` of the upright picture in pixels,
            `faces`, each as `Face.to_dict`, with ``at_least`` if ages were asked for, and
            `left_out`, the number of faces over the limit; empty if there is an error. The service
            puts it into its answer as it is: to read and write it again took longer than HTTP.
        faces: how many they are.
        error: "unreadable", "too large", "failed", `NOT_QUICK`, or empty.
        reason: the sentence that goes with it.
    """

    shown: bytes = b""
    faces: int = 0
    error: str = ""
    reason: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """What `shown` says."""
        values: dict[str, Any] = json.loads(self.shown)
        return values

    def to_frame(self) -> bytes:
        """The number of faces in 4 bytes, then `shown`; or JSON of the error and the reason."""
        if self.error:
            return json.dumps([self.error, self.reason]).encode()
        return self.faces.to_bytes(4, "big") + self.shown

    @classmethod
    def from_frame(cls, frame: bytes) -> PictureResult:
        """Read what `to_frame` gave."""
        if frame.startswith(b"["):
            return cls(b"", 0, *json.loads(frame))
        return cls(frame[4:], int.from_bytes(frame[:4], "big"))


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Write a length and the bytes."""
    stream.write(len(data).to_bytes(4, "big"))
    stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes:
    """Read what `write_frame` wrote.

    Raises:
        EOFError: the other side has closed the stream.
    """
    head = stream.read(4)
    data = stream.read(int.from_bytes(head, "big"))
    if len(head) < 4 or len(data) < int.from_bytes(head, "big"):
        raise EOFError
    return data


class Decoder:
    """The models, and one detector for all of them."""

    def __init__(self, settings: DecoderSettings) -> None:
        self._settings = settings
        detector = FaceDetector(threads=1)
        self._estimators = {
            name: AgeEstimator(
                model,
                threads=1,
                coverage=settings.coverage,
                min_score=settings.min_score,
                max_pixels=settings.max_pixels,
                detector=detector,
            )
            for name, model in settings.models.items()
        }
        self._tracker = _tracker(next(iter(self._estimators.values()))) if settings.track else None

    def warm_up(self) -> None:
        """Make the first calls of the networks, which are slow."""
        for estimator in self._estimators.values():
            estimator.detector.detect(np.zeros((480, 640, 3), np.uint8), min_score=0.5)
            size = estimator.model.size
            estimator.model.predict(np.zeros((1, size, size, 3), np.uint8))

    def estimate(self, data: bytes, request: PictureRequest) -> PictureResult:
        """The serve flow for the bytes of one picture, within its processor time."""
        try:
            pixels = self._pixels_of(data)
            if request.only_quick and pixels > QUICK_PIXELS:
                return PictureResult(error=NOT_QUICK)
            limit = FREE_SECONDS + self._settings.megapixel_seconds * pixels / 1e6
            with _processor_time(limit):
                return self._flow(data, request)
        except ImageTooLargeError as error:
            return PictureResult(error="too large", reason=error.reason)
        except ImageError as error:
            return PictureResult(error="unreadable", reason=error.reason)
        except Exception:  # the edge of this process, and it logs
            log.exception("a decoder failed on a picture of %d bytes", len(data))
            return PictureResult(error="failed", reason="the picture made its decoder fail")

    def _pixels_of(self, data: bytes) -> int:
        """How many pixels a picture says it has, nothing decoded; where it is unclear, the most."""
        if not data:
            raise UnreadableImageError("picture", "the file is empty")
        try:
            with open_image(data, "picture") as image:
                return image.width * image.height
        except Exception:  # noqa: BLE001 - `preprocess` says what is wrong with it
            return self._settings.max_pixels

    def _flow(self, data: bytes, request: PictureRequest) -> PictureResult:
        estimator = self._estimators[request.model]
        if self._tracker is not None:
            pixels = load_image(data, max_pixels=self._settings.max_pixels)
            height, width = pixels.shape[:2]
            seen = self._tracker.update(pixels, time.monotonic())
            tracked = [{"track": one.track} | one.face.to_dict() for one in seen]
            return _result(width, height, tracked[: self._settings.max_faces], len(tracked))
        crops = estimator.preprocess(data, most=self._settings.max_faces)
        faces = estimator.postprocess(estimator.predict(crops), crops, coverage=request.coverage)
        shown = [_as_dict(face, request.at_least) for face in faces]
        return _result(crops.width, crops.height, shown, len(crops) + crops.left_out)


def _result(width: int, height: int, faces: list[dict[str, Any]], found: int) -> PictureResult:
    values = {"width": width, "height": height, "faces": faces, "left_out": found - len(faces)}
    return PictureResult(json.dumps(values, separators=(",", ":")).encode(), len(faces))


def _tracker(estimator: AgeEstimator) -> Any:
    """What follows faces; imported here, because only a decoder of a stream needs it."""
    from agelens.video.tracker import FaceTracker

    return FaceTracker(estimator)


def _as_dict(face: Face, ages: tuple[int, ...]) -> dict[str, Any]:
    values: dict[str, Any] = face.to_dict()
    if ages:
        values["at_least"] = {str(age): face.at_least(age) for age in ages}
    return values


@contextlib.contextmanager
def _processor_time(seconds: float) -> Any:
    """End this process if what is inside uses more processor time than this.

    The signal's own action ends the process, also in the middle of a C library's work.
    """
    if not hasattr(signal, "setitimer"):  # Windows: the service's deadline remains
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Work until the service closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the log
    if sys.platform == "linux":  # short of memory, let the kernel end a decoder, not the service
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    cv2.setNumThreads(1)  # there is a decoder for each processor
    warnings.simplefilter("ignore")  # Pillow's on sizes; `max_pixels` is the limit
    silence_libtiff()
    questions = sys.stdin.buffer
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        try:
            decoder = Decoder(DecoderSettings(**json.loads(read_frame(questions))))
        except AgelensError as error:
            sys.exit(str(error))
        decoder.warm_up()
        write_frame(answers, b"{}")
        while True:
            request = PictureRequest(**json.loads(read_frame(questions)))
            result = decoder.estimate(read_frame(questions), request)
            write_frame(answers, result.to_frame())


if __name__ == "__main__":
    main()

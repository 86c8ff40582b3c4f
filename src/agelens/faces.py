"""What an estimate returns: the faces of one picture, as a sequence that knows its picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from PIL import Image

from agelens.errors import ImageError
from agelens.pipeline.images import ImageSource, copied_info, load_image
from agelens.types import Face


@dataclass(frozen=True, slots=True)
class Faces(Sequence[Face]):
    """The faces of one picture, largest first.

    Attributes:
        faces: of the picture; empty if nobody was found, or if it could not be read.
        source: the picture's path, or what kind of object it was.
        width: of the upright picture in pixels; 0 if it could not be read.
        height: likewise.
        error: why the picture could not be read; only `AgeEstimator.estimate_many` returns such
            results, `AgeEstimator.estimate` raises the error.
        image: the picture as it was given, for `draw`.
        bgr: whether `image` is an array whose channels are blue, green, red.
    """

    faces: tuple[Face, ...]
    source: str
    width: int = 0
    height: int = 0
    error: ImageError | None = None
    image: ImageSource | None = field(default=None, repr=False, compare=False)
    bgr: bool = field(default=False, repr=False, compare=False)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...
    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        return self.faces[index]

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain numbers, texts, lists and dicts, ready for JSON."""
        return {
            "path": self.source,
            "width": self.width,
            "height": self.height,
            "error": self.error and self.error.reason,
            "faces": [face.to_dict() for face in self.faces],
        }

    def to_rows(self, at_least: Sequence[int] = ()) -> list[dict[str, Any]]:
        """A flat row for each face, ready for a table such as pandas' ``DataFrame``.

        Args:
            at_least: ages; each adds a column ``at_least_AGE``, the probability of having
                completed it.

        Returns:
            Rows with ``path``, ``face`` (its number from 1), ``age``, ``low`` and ``high`` in
            years, ``score``, the box's ``x1``, ``y1``, ``x2``, ``y2`` in pixels, and ``quality``,
            its reasons joined by semicolons.
        """
        return [
            {
                "path": self.source,
                "face": number,
                "age": face.age,
                "low": face.interval.low,
                "high": face.interval.high,
                "score": face.score,
                "x1": face.box.x1,
                "y1": face.box.y1,
                "x2": face.box.x2,
                "y2": face.box.y2,
                "quality": ";".join(face.quality.reasons),
            }
            | {f"at_least_{age}": face.at_least(age) for age in at_least}
            for number, face in enumerate(self.faces, 1)
        ]

    def draw(self) -> Image.Image:
        """The picture with every face's box and age; a file is read once more for it.

        Raises:
            ImageError: the picture cannot be read, or is gone.
        """
        if self.image is None:
            raise self.error or ImageError(self.source, "the result was made without its picture")
        from agelens.draw import draw_faces

        return Image.fromarray(draw_faces(load_image(self.image, bgr=self.bgr), self.faces))

    def _repr_html_(self) -> str:
        """What a notebook shows: the drawn picture, and a line for each face."""
        if self.error is not None:
            return f"<p>{html.escape(str(self.error))}</p>"
        lines = "".join(
            f"<li>{face.age:.1f} years ({face.interval.low:.0f} to {face.interval.high:.0f})</li>"
            for face in self.faces
        )
        picture = ""
        if self.image is not None:
            stream = io.BytesIO()
            drawn = self.draw()
            drawn.thumbnail((800, 800))
            drawn.save(stream, "JPEG", quality=85)
            data = base64.b64encode(stream.getvalue()).decode()
            picture = f'<img src="data:image/jpeg;base64,{data}">'
        return f"{picture}<p>{html.escape(self.source)}</p><ol>{lines or 'no face'}</ol>"


def encode_drawn(faces: Faces, kind: Literal["JPEG", "PNG"] = "JPEG") -> bytes:
    """A picture file of `Faces.draw`, with the colour profile and the time of the original.

    Args:
        faces: of a picture.
        kind: of file.

    Raises:
        ImageError: the picture is gone, or longer than such a file may be.
    """
    stream = io.BytesIO()
    kept = {} if faces.image is None else copied_info(faces.image)
    try:
        faces.draw().save(stream, kind, quality=92, **kept)
    except (OSError, ValueError) as error:
        raise ImageError(faces.source, f"no copy of it can be written ({error})") from error
    return stream.getvalue()

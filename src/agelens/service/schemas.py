"""The answers of version 1. A face is `Face.to_dict()`; a test holds the two together."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


class Schema(BaseModel):
    """Frozen, and with no fields but those that it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IntervalV1(Schema):
    """Ages that the true one is among, both ends included."""

    low: float = Field(description="Years.")
    high: float = Field(description="Years.")
    coverage: float = Field(description="Fraction of true ages that such intervals hold, 0 to 1.")


class BoxV1(Schema):
    """A face's square in pixels of the upright picture; it may reach past the border."""

    x1: float
    y1: float
    x2: float
    y2: float


PointV1 = tuple[float, float]


class LandmarksV1(Schema):
    """Points `[x, y]` in the same pixels. Left and right are the person's own."""

    right_eye: PointV1
    left_eye: PointV1
    nose: PointV1
    mouth: PointV1
    right_ear: PointV1
    left_ear: PointV1


class QualityV1(Schema):
    """What may make this estimate worse than others."""

    size: float = Field(description="Side of the face in the picture, pixels.")
    sharpness: float = Field(description="Of the Laplacian, over that of the grey levels.")
    brightness: float = Field(description="0 black to 1 white.")
    contrast: float = Field(description="0 to about 0.5.")
    yaw: float = Field(description="Degrees by which the head is turned; a rough estimate.")
    cut_off: float = Field(description="Fraction of the face that is outside the picture, 0 to 1.")
    stretch: float = Field(description="How much wider the face seems than faces are.")
    texture: float = Field(description="Low where areas are flat, as in drawings.")
    reasons: list[str] = Field(
        description="Of small, blurred, dark, bright, turned, cut off, stretched, drawn, unlike a "
        "face and unsure; empty for a good face."
    )


class FaceV1(Schema):
    """A face with its estimated age."""

    age: float = Field(description="Years; never rounded.")
    interval: IntervalV1
    box: BoxV1
    landmarks: LandmarksV1
    score: float = Field(description="The detector's confidence, 0 to 1.")
    quality: QualityV1
    at_least: dict[str, float] | None = Field(
        None,
        description="For each age that was asked for: the probability that it is completed.",
    )


class ProblemV1(Schema):
    """An error, in the form of RFC 9457."""

    title: str
    status: int
    detail: str = Field(description="A sentence that says what is wrong.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "portrait.jpg: not a picture, or of a format that is not read",
                }
            ]
        }
    )


class PictureV1(Schema):
    """A picture and its faces, largest first."""

    name: str = Field(description="The file's name as it was sent, or the address.")
    width: int = Field(description="Of the upright picture, pixels.")
    height: int
    faces: list[FaceV1]
    left_out: int = Field(description="Faces over the limit; the smallest are left out.")
    error: ProblemV1 | None = Field(
        None, description="Why the picture could not be used; only where `partial` was asked for."
    )


class EstimateV1(Schema):
    """The answer to `POST /v1/estimate`: a picture for each that was sent, in the same order."""

    version: Literal[1] = 1
    pictures: list[PictureV1]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": 1,
                    "pictures": [
                        {
                            "name": "portrait.jpg",
                            "width": 640,
                            "height": 480,
                            "faces": [
                                {
                                    "age": 31.4,
                                    "interval": {"low": 22.0, "high": 42.0, "coverage": 0.9},
                                    "box": {"x1": 212.5, "y1": 90.1, "x2": 380.2, "y2": 257.8},
                                    "landmarks": {
                                        "right_eye": [262.0, 150.3],
                                        "left_eye": [330.1, 149.8],
                                        "nose": [297.4, 189.0],
                                        "mouth": [298.2, 221.6],
                                        "right_ear": [229.7, 165.2],
                                        "left_ear": [366.9, 163.0],
                                    },
                                    "score": 0.97,
                                    "quality": {
                                        "size": 214.0,
                                        "sharpness": 0.21,
                                        "brightness": 0.52,
                                        "contrast": 0.21,
                                        "yaw": -2.1,
                                        "cut_off": 0.0,
                                        "stretch": 1.02,
                                        "texture": 0.61,
                                        "reasons": [],
                                    },
                                    "at_least": {"18": 0.99},
                                }
                            ],
                            "left_out": 0,
                        }
                    ],
                }
            ]
        }
    )


class ModelV1(Schema):
    """The answer to `GET /v1/model`."""

    agelens: str = Field(description="Version of agelens.")
    models: list[str] = Field(description="Names that the parameter `model` may have.")
    size: int = Field(description="Side of the crops that the model reads, pixels.")
    ages: list[int] = Field(
        min_length=2, max_length=2, description="The youngest and the oldest age that it knows."
    )
    coverage: float = Field(description="Of the intervals, unless asked for.")
    calibration_faces: int = Field(description="Faces that it was calibrated on.")
    metadata: dict[str, Any] = Field(
        description="What the model file says of itself: name, version, licence, training."
    )


class StatusV1(Schema):
    """The answer to `/healthz` and `/readyz`."""

    status: Literal["ok"] = "ok"


class UrlV1(Schema):
    """The picture at an address, where the service allows it."""

    url: str = Field(examples=["https://example.com/portrait.jpg"], max_length=2048)


def _decoded(text: Any) -> Any:
    """Base64, or a ``data:`` address that holds it, to bytes."""
    if not isinstance(text, str):
        raise ValueError("data is a text in Base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("data is not Base64") from error


Base64Data = Annotated[
    bytes,
    BeforeValidator(_decoded),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class DataV1(Schema):
    """A picture as Base64."""

    name: str = Field("data", description="What the answer calls it.")
    data: Base64Data


class ManyV1(Schema):
    """Several pictures."""

    pictures: list[UrlV1 | DataV1] = Field(min_length=1)


JsonBodyV1 = UrlV1 | DataV1 | ManyV1
"""A JSON body."""


class ParametersV1(Schema):
    """How to estimate; in the query, or as text fields of a form."""

    at_least: list[Annotated[int, Field(ge=0, le=150)]] = Field(
        default=[],
        max_length=16,
        description="Ages for which the probability is given that they are completed.",
        examples=[[18, 21]],
    )
    coverage: float | None = Field(
        None, gt=0, lt=1, description="Of the intervals.", examples=[0.9]
    )
    model: str | None = Field(None, description="One of the service's models; else the first.")
    partial: bool = Field(
        False,
        description="Answer 207 with an `error` in place of each picture that cannot be used, "
        "where otherwise the whole request fails.",
    )

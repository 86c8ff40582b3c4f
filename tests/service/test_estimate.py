"""Pictures in, ages out: the same answers as Python, and a sentence for what is bad."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ASTRONAUT
from fastapi.testclient import TestClient
from PIL import Image
from serving import JPEG, PHOTO, estimate, picture

from agelens import AgeEstimator
from agelens.service.app import create_app
from agelens.service.schemas import EstimateV1
from agelens.service.settings import Settings

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Settings(
        jobs=2,
        max_body=2_000_000,
        max_pixels=4_000_000,
        max_files=3,
        deadline=30,
        model=("light", "resnet50"),
    )
    with TestClient(create_app(limits)) as client:
        yield client


def bomb() -> bytes:
    """A small PNG that claims 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_faces_are_those_of_python(client: TestClient) -> None:
    answer = estimate(client, PHOTO, params={"at_least": [18, 30]})
    assert answer.status_code == 200
    (picture,) = answer.json()["pictures"]
    (face,) = AgeEstimator().estimate(PHOTO)
    wanted = json.loads(json.dumps(face.to_dict()))
    (got,) = picture["faces"]
    chances = got.pop("at_least")
    assert got == wanted
    assert chances == pytest.approx({"18": face.at_least(18), "30": face.at_least(30)}, abs=0.01)
    assert (picture["width"], picture["height"]) == (512, 512)


def test_many_files_keep_their_order_and_coverage_is_heard(client: TestClient) -> None:
    files = [("file", ("a.png", picture(90, 70))), ("file", ("b.jpg", PHOTO))]
    answer = client.post("/v1/estimate", files=files, params={"coverage": 0.5})
    pictures = answer.json()["pictures"]
    assert [picture["name"] for picture in pictures] == ["a.png", "b.jpg"]
    assert [len(picture["faces"]) for picture in pictures] == [0, 1]
    narrow = pictures[1]["faces"][0]["interval"]
    (face,) = AgeEstimator(coverage=0.5).estimate(PHOTO)
    assert narrow["coverage"] == 0.5
    assert narrow["low"] == pytest.approx(face.interval.low, abs=1)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", JPEG, 422, "empty"),
        (b"no picture", JPEG, 422, "body"),
        (PHOTO[:5000], JPEG, 422, "body"),
        (bomb(), JPEG, 413, "pixels"),
        (bytes(2_000_001), JPEG, 413, "2,000,000"),
        (b"x", {"content-type": "text/plain"}, 415, "multipart"),
        (b"x", {"content-type": "application/x-www-form-urlencoded"}, 415, "-F file=@FILE"),
        (b"x", {"content-type": "multipart/form-data; boundary=y"}, 400, "form"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "boundary"),
        (b"{}", JSON, 400, "url"),
        (b'{"url": "https://example.org/a.jpg"}', JSON, 403, "no"),
    ],
)
def test_bad_bodies_get_a_sentence(
    client: TestClient, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = client.post("/v1/estimate", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_too_large_without_a_length_and_too_many(client: TestClient) -> None:
    stream = (bytes(100_000) for _ in range(30))
    answer = client.post("/v1/estimate", content=stream, headers=JPEG)
    assert answer.status_code == 413
    files = [("file", (f"{i}.jpg", PHOTO)) for i in range(4)]
    answer = client.post("/v1/estimate", files=files)
    assert answer.status_code == 413
    assert "more than 3" in answer.json()["detail"]


def test_a_form_may_hold_parameters(client: TestClient) -> None:
    files = [("file", ("a.jpg", PHOTO))]
    answer = client.post("/v1/estimate", files=files, data={"at_least": ["18", "30"]})
    assert set(answer.json()["pictures"][0]["faces"][0]["at_least"]) == {"18", "30"}
    for fields, word in (
        ({"at_last": "18"}, "at_last"),
        ({"coverage": "2"}, "coverage"),
        ({"coverage": ["0.5", "0.6"]}, "twice"),
    ):
        answer = client.post("/v1/estimate", files=files, data=fields)
        assert answer.status_code == 422
        assert word in answer.json()["detail"]


def test_unknown_parameters_are_refused(client: TestClient) -> None:
    for url in ("/v1/model?modell=light", "/healthz?x=1"):
        assert client.get(url).status_code == 422
    answer = estimate(client, PHOTO, params={"at_leat": 18})
    assert answer.status_code == 422
    assert "at_least" in answer.json()["detail"]


def test_one_bad_picture_costs_only_itself_where_that_is_asked_for(client: TestClient) -> None:
    files = [("file", ("a.jpg", PHOTO)), ("file", ("b.jpg", b"no picture"))]
    answer = client.post("/v1/estimate", files=files, params={"partial": True})
    assert answer.status_code == 207
    good, bad = EstimateV1.model_validate(answer.json()).pictures
    assert len(good.faces) == 1
    assert good.error is None
    assert bad.error is not None
    assert bad.error.status == 422
    assert "b.jpg" in bad.error.detail
    assert client.post("/v1/estimate", files=files).status_code == 422


def test_pictures_in_json(client: TestClient) -> None:
    text = base64.b64encode(PHOTO).decode()
    first = {"name": "me", "data": text}
    both = {"pictures": [first, {"data": f"data:image/jpeg;base64,{text}"}]}
    for body, names in ((first, ["me"]), (both, ["me", "data"])):
        answer = client.post("/v1/estimate", json=body)
        assert [one["name"] for one in answer.json()["pictures"]] == names
        assert all(len(one["faces"]) == 1 for one in answer.json()["pictures"])
    assert client.post("/v1/estimate", json={"data": "%%%"}).status_code == 400
    assert client.post("/v1/estimate", json={"pictures": [first] * 4}).status_code == 413


def test_a_model_is_chosen_by_its_name(client: TestClient) -> None:
    (face,) = AgeEstimator("resnet50").estimate(PHOTO)
    answer = estimate(client, PHOTO, params={"model": "resnet50"})
    assert answer.json()["pictures"][0]["faces"][0]["age"] == face.age
    assert client.get("/v1/model").json()["models"] == ["light", "resnet50"]
    other = client.get("/v1/model", params={"model": "resnet50"}).json()
    assert "resnet50" in json.dumps(other["metadata"])
    missing = estimate(client, PHOTO, params={"model": "best"})
    assert missing.status_code == 422
    assert "resnet50" in missing.json()["detail"]


def test_concurrent_requests_get_their_own_answers(client: TestClient) -> None:
    with Image.open(ASTRONAUT) as image:
        stream = io.BytesIO()
        image.resize((300, 300)).save(stream, "PNG")
    bodies = [PHOTO, stream.getvalue()] * 6
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda body: estimate(client, body), bodies))
    widths = [answer.json()["pictures"][0]["width"] for answer in answers]
    assert widths == [512, 300] * 6

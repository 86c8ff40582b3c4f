"""The Open Inference Protocol, as clients of KServe and Triton speak it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving import KEY, PHOTO, picture

from agelens import AgeEstimator
from agelens.service.app import create_app
from agelens.service.settings import Settings

INFER = "/v2/models/light/infer"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(jobs=1, max_files=3, api_keys=(KEY,)))) as client:
        client.headers["x-api-key"] = KEY
        yield client


def tensor(*pictures: bytes) -> dict[str, Any]:
    data = [base64.b64encode(one).decode() for one in pictures]
    return {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}


def test_a_row_for_each_face(client: TestClient) -> None:
    given = {
        "id": "42",
        "inputs": [tensor(picture(64, 64), PHOTO, PHOTO)],
        "parameters": {"coverage": 0.5},
    }
    answer = client.post(INFER, json=given)
    assert answer.status_code == 200
    values = answer.json()
    outputs = {one["name"]: one for one in values["outputs"]}
    (face,) = AgeEstimator().estimate(PHOTO, coverage=0.5)
    assert (values["id"], values["model_name"]) == ("42", "light")
    assert outputs["picture"]["data"] == [1, 2]
    assert outputs["age"]["data"] == [face.age, face.age]
    assert outputs["low"]["data"][0] == face.interval.low
    assert outputs["box"]["shape"] == [2, 4]
    assert outputs["box"]["data"][2] == face.box.x2


def test_the_server_and_its_models(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "agelens"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    described = client.get("/v2/models/light").json()
    assert described["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert client.get("/v2/models/light/ready").json() == {"name": "light", "ready": True}
    assert client.get("/v2/models/best/ready").status_code == 404


@pytest.mark.parametrize(
    ("path", "given", "status", "words"),
    [
        ("/v2/models/best/infer", {"inputs": [tensor(PHOTO)]}, 422, "there are light"),
        (INFER, {"inputs": []}, 400, "inputs"),
        (INFER, {"inputs": [tensor(PHOTO) | {"shape": [2]}]}, 400, "shape"),
        (INFER, {"inputs": [tensor(PHOTO, PHOTO, PHOTO, PHOTO)]}, 400, "at most 3"),
        (INFER, {"inputs": [tensor(PHOTO) | {"data": ["%"]}]}, 400, "Base64"),
        (INFER, {"inputs": [tensor(PHOTO, b"no picture")]}, 422, "image 1"),
        (INFER, {"inputs": [tensor(PHOTO)], "parameters": {"covrage": 1}}, 400, "covrage"),
    ],
)
def test_errors_are_the_protocols(
    client: TestClient, path: str, given: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post(path, json=given)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_key_is_needed(client: TestClient) -> None:
    answer = client.post(INFER, json={"inputs": [tensor(PHOTO)]}, headers={"x-api-key": "x"})
    assert answer.status_code == 401
    assert "key" in answer.json()["error"]

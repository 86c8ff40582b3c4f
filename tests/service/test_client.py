"""The Python client, against a running service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import ASTRONAUT
from serving import KEY, PHOTO, Running, serving

from agelens import AgeEstimator
from agelens.service.client import Client, ServiceError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("service"), AGELENS_API_KEYS=KEY) as running:
        yield running


def test_its_faces_are_those_of_the_estimator(running: Running) -> None:
    (wanted,) = AgeEstimator().estimate(PHOTO, coverage=0.5)
    with Client(f"http://127.0.0.1:{running.port}", key=KEY) as client:
        for image in (PHOTO, ASTRONAUT):
            faces = client.estimate(image, coverage=0.5)
            assert (faces.width, faces.height) == (512, 512)
            assert faces[0].to_dict() == wanted.to_dict()
        assert faces.source == str(ASTRONAUT)
        assert client.models() == ("light",)
        with pytest.raises(ServiceError, match="model") as refused:
            client.estimate(PHOTO, model="best")
        assert refused.value.status == 422


def test_what_is_wrong_is_a_sentence(running: Running) -> None:
    keyless = Client(f"http://127.0.0.1:{running.port}")
    with pytest.raises(ServiceError, match="API key"):
        keyless.models()
    keyless.close()
    with pytest.raises(ServiceError, match="not the http"):
        Client("ages.example.org")
    with pytest.raises(ServiceError, match="does not answer"):
        Client("http://127.0.0.1:9", timeout=1).models()

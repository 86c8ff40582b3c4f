"""The WebSocket of frames, against a running service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from serving import KEY, PHOTO, Running, picture, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agelens import AgeEstimator
from agelens.pipeline.images import load_image
from agelens.service.client import Client, ServiceError
from agelens.video.tracker import FaceTracker

KEYED = {"X-API-Key": KEY}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, AGELENS_API_KEYS=KEY, AGELENS_STREAMS="1") as running:
        yield running


def stream(running: Running, query: str = "", **headers: str) -> ClientConnection:
    address = f"ws://127.0.0.1:{running.port}/v1/stream{query}"
    return connect(address, additional_headers=KEYED | headers, compression=None, open_timeout=60)


def test_a_face_keeps_its_number_and_its_age(running: Running) -> None:
    tracker, pixels = FaceTracker(AgeEstimator()), load_image(PHOTO)
    *_, (wanted,) = [tracker.update(pixels, time=number / 10) for number in range(3)]
    with Client(f"http://127.0.0.1:{running.port}", key=KEY) as client:
        answers = list(client.track([PHOTO] * 3))
        with pytest.raises(ServiceError, match="is not here") as refused:
            list(client.track([PHOTO], model="best"))
    assert refused.value.status == 422
    assert [len(faces) for faces in answers] == [0, 1, 1]
    assert [number for faces in answers for number, _ in faces] == [1, 1]
    assert answers[2][0][1].age == pytest.approx(wanted.face.age, abs=0.01)


def test_one_bad_frame_does_not_end_a_stream(running: Running) -> None:
    while "agelens_streams 1.0" in running.get("/metrics", **KEYED)[1]:
        time.sleep(0.05)  # the stream of the test before is ending
    with stream(running) as socket:
        socket.send(b"no picture")
        assert json.loads(socket.recv())["error"]["status"] == 422
        socket.send(picture(90, 70))
        assert json.loads(socket.recv()) == {
            "version": 1, "width": 90, "height": 70, "faces": [], "left_out": 0,
        }  # fmt: skip
        with pytest.raises(InvalidStatus) as refused, stream(running):
            pass
        assert refused.value.response.status_code == 503
        socket.send("words")
        with pytest.raises(ConnectionClosed, match="binary"):
            socket.recv()


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"X-API-Key": "another-key-of-16-letters"}, 401),
        ("", {"Origin": "https://elsewhere.example"}, 403),
        ("?coverage=0.5", {}, 422),
    ],
)
def test_who_is_refused(running: Running, query: str, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, stream(running, query, **headers):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["status"] == status

"""Connections that are slow, silent, many or half closed; services that stop and begin again."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import JPEG, PHOTO, Running, free_port, picture, serving, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets and signals")
HEAD = b"POST /v1/estimate HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose times are short."""
    times = {"RECEIVE_TIMEOUT": "0.5", "SEND_TIMEOUT": "0.5", "IDLE_TIMEOUT": "1"}
    variables = {f"AGELENS_{name}": value for name, value in times.items()}
    with serving(tmp_path_factory.mktemp("service"), **variables) as running:
        yield running


def end_of(plain: socket.socket) -> bytes:
    """What is answered until the connection is closed."""
    answer = b""
    with plain:
        while part := plain.recv(65536):
            answer += part
    return answer


def test_headers_must_arrive_in_time(running: Running) -> None:
    begun = time.monotonic()
    slow = running.raw(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
    for _ in range(3):
        time.sleep(0.1)
        slow.sendall(b"x")  # a byte now and then does not help
    assert b"408 Request Timeout" in end_of(slow)
    assert time.monotonic() - begun < 5


def test_a_body_must_arrive_in_time(running: Running) -> None:
    slow = running.raw(HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert b"408 Request Timeout" in slow.recv(1000)


def test_a_silent_connection_ends(running: Running) -> None:
    assert end_of(running.raw()) == b""


def test_an_answer_must_be_read(running: Running) -> None:
    def connected() -> int:
        """Connections of the service, this one included."""
        _, text = running.get("/metrics")
        return int(float(text.partition("\nprocess_open_fds ")[2].split()[0]))

    before = connected()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((running.host, running.port))
    deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
    time.sleep(0.3)
    assert connected() > before
    deadline = time.monotonic() + 15
    while connected() > before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    deaf.close()


def test_a_half_closed_client_is_answered(running: Running) -> None:
    half = running.raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(PHOTO) + PHOTO)
    half.shutdown(socket.SHUT_WR)
    answer = end_of(half)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    gone = running.raw(HEAD + b"Content-Length: 100\r\n\r\nabc")
    gone.shutdown(socket.SHUT_WR)
    assert b"200" not in end_of(gone)


@pytest.mark.parametrize(
    ("head", "status"),
    [(HEAD, b"415"), (HEAD.replace(b"v1/estimate", b"nowhere"), b"404")],
    ids=["type", "path"],
)
def test_an_early_answer_reaches_a_client_that_is_sending(
    running: Running, head: bytes, status: bytes
) -> None:
    """Closed before all was read, the connection would be reset, and the answer lost."""
    head = head.replace(b"image/jpeg", b"text/plain") + b"Connection: close\r\n"
    sending = running.raw(head + b"Content-Length: 500000\r\n\r\n")
    for _ in range(50):
        sending.sendall(bytes(10_000))
        time.sleep(0.002)
    answer = end_of(sending)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answer


def test_who_never_ends_a_refused_request_is_dropped(running: Running) -> None:
    sending = running.raw(
        HEAD.replace(b"image/jpeg", b"text/plain")
        + b"Connection: close\r\nContent-Length: 5000000\r\n\r\n"
    )
    assert end_of(sending).startswith(b"HTTP/1.1 415")


def test_a_client_cannot_fill_the_log(running: Running) -> None:
    before = len(running.said)
    for sent in (
        b"\0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade, close\r\n\r\n",
    ):
        for _ in range(20):
            end_of(running.raw(sent))
    assert len(running.said) == before


def test_idle_connections_make_room(tmp_path: Path) -> None:
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("prlimit is not here")
    with serving(tmp_path, through=[prlimit, "--nofile=72"]) as running:
        silent = [running.raw() for _ in range(64)]
        for _ in range(3):
            assert running.get("/healthz")[0] == 200
        status, _ = running.ask("POST", "/v1/estimate", PHOTO, JPEG)
        assert status == 200
        assert len(running.said) < 100_000
        for one in silent:
            one.close()


def test_a_restart_fails_no_request(tmp_path: Path) -> None:
    """As systemd does it: the socket stays open while one service ends and the next begins."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    port, fd = listening.getsockname()[1], listening.fileno()

    def begin() -> Running:
        return start(tmp_path, "--fd", str(fd), port=port, pass_fds=[fd])

    first = begin()
    first.wait()
    over = threading.Event()
    statuses: list[int] = []
    failures: list[Exception] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not over.is_set():
            try:
                connection.request("POST", "/v1/estimate", small, JPEG)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)  # `http.client` heeds Connection: close
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
                connection.close()
            time.sleep(0.02)

    small = picture(64, 64)
    clients = [threading.Thread(target=client) for _ in range(16)]
    for one in clients:
        one.start()
    time.sleep(0.5)
    first.stop()
    answered = len(statuses)
    second = begin()
    second.wait()
    time.sleep(0.5)
    over.set()
    for one in clients:
        one.join(60)
    second.stop()
    listening.close()
    assert not failures
    assert set(statuses) == {200}
    assert answered < len(statuses)


@pytest.mark.parametrize("workers", [1, 2])
def test_both_kinds_of_addresses_and_sighup(tmp_path: Path, workers: int) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    options = ["--host", "::", "--workers", str(workers), "--access-log"]
    with serving(tmp_path, *options) as running:
        for running.host in ("127.0.0.1", "::1"):
            assert running.get("/healthz")[0] == 200
        assert "Everybody who reaches this address" in running.said
        os.kill(running.process.pid, signal.SIGHUP)
        time.sleep(0.7)
        assert running.get("/healthz")[0] == 200
    assert '127.0.0.1 "GET /healthz" 200' in running.said
    assert "::ffff" not in running.said


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_sighup_ends_no_worker_that_is_starting(tmp_path: Path) -> None:
    running = start(tmp_path, "--workers", "2")
    try:
        deadline, ready = time.monotonic() + 90, 0
        while ready < 2:
            assert time.monotonic() < deadline
            if "Listening on" in running.said:
                os.kill(running.process.pid, signal.SIGHUP)
            time.sleep(0.1)
            ready = running.said.count("Application startup complete")
        running.stop()
    finally:
        running.process.kill()
        running.process.wait()
    assert "died" not in running.said
    assert running.said.count("Started server process") == 2


def test_a_unix_socket(tmp_path: Path) -> None:
    place = tmp_path / "agelens.sock"
    running = start(tmp_path, "--uds", str(place), "--trusted-proxy", "unix", "--access-log")
    try:
        deadline = time.monotonic() + 60
        while "startup complete" not in running.said:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(str(place))
        plain.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert end_of(plain).startswith(b"HTTP/1.1 200")
        assert '192.0.2.7 "GET /healthz" 200' in running.said
        running.stop()
        assert not place.exists()
    finally:
        running.process.kill()
        running.process.wait()


def test_a_port_that_is_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        running = start(tmp_path, port=port)
        assert running.process.wait(60) == 1
    assert f"127.0.0.1:{port}: cannot be listened on" in running.said
    assert "Traceback" not in running.said

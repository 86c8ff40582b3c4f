"""What hostile and many clients do to `agelens serve`, on loopback. Linux only.

    python benchmarks/service_guards.py --json service-guards.json

Five trials, each with a service of its own; "ok" says whether it holds what is asked of it:

- neighbours: two clients at other addresses (127.0.0.2 and 127.0.0.3) send the costliest pictures
  that are let in, in turn. An honest client keeps at least 0.4 of the pictures per second that it
  has alone, and none of its answers takes over 3 seconds.
- overload: 64 clients send pictures of 12 million pixels for a minute. The answers are 200 and
  503, and every 503 comes within half a second.
- restart: 16 keep-alive clients while the service ends and another begins on the same socket. No
  request fails.
- hostile: 1,000 requests that are wrong in all kinds of ways. None is answered 500, and the service
  answers as before afterwards.
- schema: schemathesis makes requests of the OpenAPI for three minutes, and finds nothing.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agelens.benchmark.machine import machine
from agelens.files import atomic_path

ROOT = Path(__file__).resolve().parent.parent
PHOTO = (ROOT / "examples" / "astronaut.jpg").read_bytes()
JPEG = {"Content-Type": "image/jpeg"}
Answer = tuple[int, float]  # status, 0 where the connection failed; seconds


@contextmanager
def serving(listening: socket.socket, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service on an open socket, ready, until the end of the block."""
    fd = listening.fileno()
    command = [sys.executable, "-m", "agelens", "serve", "--fd", str(fd), *options]
    # A session of its own: Linux shares the processors among sessions, so that the many threads of
    # the clients, who would be on other machines, do not take them all.
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, pass_fds=[fd], start_new_session=True
    )
    try:
        while process.poll() is None:
            connection = http.client.HTTPConnection(*listening.getsockname(), timeout=60)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                break
        connection.close()
        yield process
        process.terminate()
        process.wait(60)
    finally:
        process.kill()


def client(
    port: int, pictures: list[bytes], until: Callable[[], bool], source: str = "127.0.0.1"
) -> list[Answer]:
    """Send one picture after the other over one connection; after a 503, wait as it says."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(source, 0)
    )
    answers = []
    for picture in itertools.cycle(pictures):
        if until():
            break
        begun, status, wait = time.monotonic(), 0, 0.0
        try:
            connection.request("POST", "/v1/estimate", picture, JPEG)
            answer = connection.getresponse()
            answer.read()
            status, wait = answer.status, float(answer.headers.get("Retry-After", 0))
        except (OSError, http.client.HTTPException):
            connection.close()
        answers.append((status, time.monotonic() - begun))
        time.sleep(wait)
    connection.close()
    return answers


def clients(number: int, work: Callable[[int], list[Answer]]) -> Callable[[], list[Answer]]:
    """Start clients; the result waits for their answers."""
    results: list[list[Answer]] = [[] for _ in range(number)]

    def run(index: int) -> None:
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()

    def finish() -> list[Answer]:
        for thread in threads:
            thread.join()
        return [answer for one in results for answer in one]

    return finish


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def encoded(width: int, height: int, form: str, **options: Any) -> bytes:
    """A picture that is costly to decode: it is full of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(stream, form, **options)
    return stream.getvalue()


def many_scans(data: bytes, times: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def neighbours(seconds: float) -> dict[str, Any]:
    """An honest client beside two that are costly."""
    jpeg = encoded(4992, 5000, "JPEG", quality=70, progressive=True)
    costly = [
        many_scans(jpeg, 100),
        encoded(4992, 5000, "WEBP", lossless=True, method=0),
        jpeg,
        encoded(4992, 5000, "PNG", compress_level=1),
    ]
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        port = listening.getsockname()[1]
        with serving(listening, "--jobs", "2"):
            alone = client(port, [PHOTO], after(seconds))
            over = threading.Event()
            finish = clients(
                2, lambda index: client(port, costly, over.is_set, f"127.0.0.{2 + index}")
            )
            time.sleep(1)
            beside = client(port, [PHOTO], after(seconds))
            over.set()
            hostile = finish()
    kept = len(beside) / len(alone)
    longest = max(took for _, took in beside)
    failed = [status for status, _ in alone + beside if status != 200]
    return {
        "alone_per_second": round(len(alone) / seconds, 2),
        "beside_per_second": round(len(beside) / seconds, 2),
        "kept": round(kept, 3),
        "longest_seconds": round(longest, 2),
        "hostile_answers": dict(Counter(status for status, _ in hostile)),
        "ok": kept >= 0.4 and longest <= 3 and not failed,
    }


def overload(seconds: float) -> dict[str, Any]:
    """64 clients with large pictures."""
    large = encoded(4000, 3000, "JPEG", quality=80)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        port = listening.getsockname()[1]
        with serving(listening, "--jobs", "2"):
            until = after(seconds)
            answers = clients(64, lambda _: client(port, [large], until))()
    slowest = max((took for status, took in answers if status == 503), default=0.0)
    return {
        "answers": dict(Counter(status for status, _ in answers)),
        "slowest_503_seconds": round(slowest, 3),
        "slowest_200_seconds": round(max(t for status, t in answers if status == 200), 2),
        "ok": {status for status, _ in answers} <= {200, 503} and slowest <= 0.5,
    }


def restart(_: float) -> dict[str, Any]:
    """Keep-alive clients during a stop and a start."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        port = listening.getsockname()[1]
        over = threading.Event()
        with serving(listening):
            finish = clients(16, lambda _: client(port, [PHOTO], over.is_set))
            time.sleep(3)
        with serving(listening):
            time.sleep(3)
            over.set()
            answers = finish()
    statuses = Counter(status for status, _ in answers)
    return {"answers": dict(statuses), "ok": set(statuses) == {200}}


def hostile(_: float, requests: int = 1000) -> dict[str, Any]:
    """Requests that are wrong in all kinds of ways."""
    rng = random.Random(0)
    statuses: Counter[int] = Counter()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        address = listening.getsockname()
        with serving(listening, "--jobs", "2"):
            before = client(address[1], [PHOTO], counted(1))
            for _ in range(requests):
                statuses[exchange(address, hostile_request(rng))] += 1
            last = client(address[1], [PHOTO], counted(1))
    return {
        "answers": dict(statuses),
        "ok": not any(status >= 500 for status in statuses) and before[0][0] == last[0][0] == 200,
    }


def schema(seconds: float) -> dict[str, Any]:
    """Requests that schemathesis makes of the OpenAPI."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listening,
        serving(listening, "--jobs", "2"),
    ):
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/openapi.json"
        # No schema says what a picture is, so that some bodies are refused; keys are optional.
        unfit = "positive_data_acceptance,ignored_auth"
        command = [str(Path(sys.executable).with_name("st")), "run", address, "--no-color"]
        command += ["--max-time", f"{3 * seconds:g}", "--max-examples", "100000", "--seed", "1"]
        command += ["--continue-on-failure", "--exclude-checks", unfit]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    cases = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    if cases is None:
        raise SystemExit(f"schemathesis did not run:\n{run.stdout}{run.stderr}")
    if run.returncode:
        print(run.stdout, file=sys.stderr)
    return {"generated": int(cases[1]), "passed": int(cases[2]), "ok": run.returncode == 0}


def counted(times: int) -> Callable[[], bool]:
    left = iter(range(times))
    return lambda: next(left, None) is None


def exchange(address: tuple[str, int], request: bytes) -> int:
    """Send bytes and say all; the status of the first answer, 0 where there is none."""
    with socket.create_connection(address, timeout=60) as plain:
        with suppress(OSError):
            plain.sendall(request)
            plain.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(OSError):
            while part := plain.recv(65536):
                answer += part
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def hostile_request(rng: random.Random) -> bytes:
    """A request of a random kind."""
    kind = rng.choice(
        [_noise, _broken_picture, _form, _json, _path, _headers, _lengths, _png_bomb, _query]
    )
    return kind(rng)


def _post(body: bytes, kind: str, path: str = "/v1/estimate", length: str | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}"]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 4000))


def _broken_picture(rng: random.Random) -> bytes:
    heads = [
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8L",
        b"II*\0",
        b"BM",
        b"P3\n9 9\n",
    ]
    data = bytearray(rng.choice([PHOTO, *(head + rng.randbytes(500) for head in heads)]))
    for _ in range(rng.randrange(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return _post(bytes(data[: rng.randrange(1, len(data))]), "image/jpeg")


def _form(rng: random.Random) -> bytes:
    name = rng.choice(["file", "file\r\nX: y", "at_least", "\xff", "a" * 9999, '"'])
    value = rng.choice([PHOTO[:3000], b"", b"\0" * 99, b"18", rng.randbytes(100)])
    end = rng.choice([b"--b--", b"--b", b"", b"--c--\r\n"])
    part = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="../../x"\r\n\r\n'
    body = part.encode("latin-1") * rng.randrange(1, 40) + value + b"\r\n" + end
    return _post(body, rng.choice(["multipart/form-data; boundary=b", "multipart/form-data"]))


def _json(rng: random.Random) -> bytes:
    deep = b"[" * 50_000
    texts = [b"{", b'{"url": 1}', deep, b'{"url": "file:///etc/passwd"}', b"\xff", b'{"data": "%"}']
    texts += [b'{"pictures": []}', b'{"data": "AAAA", "more": 1}', b"null", b"1e999", b'"\\ud800"']
    return _post(rng.choice(texts), "application/json")


def _path(rng: random.Random) -> bytes:
    paths = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//", "/models/..%2f..%2fx", "/%00"]
    paths += ["/healthz%0d%0aX:y", "/v1/estimate/", "*", "http://elsewhere/", "/" + "a" * 20_000]
    method = rng.choice(["GET", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "get", "POST"])
    return f"{method} {rng.choice(paths)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _headers(rng: random.Random) -> bytes:
    lines = [b"X: " + b"y" * 70_000, b"X : y", b": y", b"X: \0", b"Transfer-Encoding: chunked, x"]
    lines += [
        b"Authorization: Bearer " + b"\xff" * 9,
        b"Expect: 100-continue",
        b"Upgrade: websocket",
    ]
    lines += [b"X-Request-ID: a\tb", b"X-Forwarded-For: " + b"1," * 5000, b"Range: bytes=0-0,0-0"]
    some = b"\r\n".join(rng.sample(lines, 3))
    return b"GET /v1/model HTTP/1.1\r\nHost: x\r\n" + some + b"\r\n\r\n"


def _lengths(rng: random.Random) -> bytes:
    length = rng.choice(["-1", "99999999999999999999", "+5", "0x5", "1, 2", "", "5", "0"])
    return _post(PHOTO[: rng.randrange(50)], "image/jpeg", length=length)


def _png_bomb(rng: random.Random) -> bytes:
    side = rng.choice([0, 1, 4999, 40_000, 2**31 - 1])

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", side, rng.choice([1, side]), 8, rng.choice([0, 2, 6]), 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(rng.choice([10, 1_000_000]))))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rows * rng.choice([1, 200])
    return _post(data + chunk(b"IEND", b""), "image/png")


def _query(rng: random.Random) -> bytes:
    names = ["at_least", "coverage", "partial", "model", "x", "%ff", "at_least[]"]
    values = ["", "-1", "nan", "inf", "1e400", "9" * 5000, "%00", "true", "151", "%ud800"]
    query = "&".join(
        f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randrange(1, 30))
    )
    return _post(PHOTO[:100], "image/jpeg", f"/v1/estimate?{query}")


TRIALS = {
    "neighbours": neighbours,
    "overload": overload,
    "restart": restart,
    "hostile": hostile,
    "schema": schema,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"[default: {' '.join(TRIALS)}]")
    parser.add_argument(
        "--seconds", type=float, default=60, help="of neighbours and overload; a third of schema"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    if unknown := set(options.trials) - set(TRIALS):
        parser.error(f"no such trial: {unknown.pop()}")
    report: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine()}
    for name in options.trials or TRIALS:
        report[name] = TRIALS[name](options.seconds)
        print(name, json.dumps(report[name]), flush=True)
    if options.json:
        with atomic_path(options.json) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if not all(report[name]["ok"] for name in options.trials or TRIALS):
        raise SystemExit("not all trials are ok")


if __name__ == "__main__":
    main()

"""The image of deploy/Containerfile: built, run and asked, where buildah is installed.

BASE_IMAGE names another base than the file's, for machines that reach no registry.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT
from serving import JPEG, PHOTO, free_port

from agelens import AgeEstimator

FILE = ROOT / "deploy" / "Containerfile"
BUILDAH = shutil.which("buildah")
USUAL = re.findall(r"^ARG BASE=(\S+)$", FILE.read_text("utf-8"), re.M)[0]
BASE = os.environ.get("BASE_IMAGE", USUAL)


def buildah(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(BUILDAH), command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def container() -> Iterator[str]:
    """A container of the image."""
    pulled = buildah("pull", "--policy", "missing", BASE)
    if pulled.returncode:
        pytest.skip(f"{BASE} cannot be fetched: {pulled.stderr.strip().splitlines()[-1][:200]}")
    tag = f"localhost/agelens-test-{os.getpid()}"
    built = buildah(
        "build", "--isolation", "chroot", "--build-arg", f"BASE={BASE}", "-f", FILE, "-t", tag, ROOT
    )
    assert built.returncode == 0, built.stderr
    name = buildah("from", tag).stdout.strip()
    yield name
    buildah("rm", name)
    buildah("rmi", tag)


@pytest.mark.skipif(BUILDAH is None, reason="needs buildah: apt install buildah")
def test_the_image_is_built_runs_and_answers(container: str) -> None:
    port = free_port()
    command = [str(BUILDAH), "run", "--isolation", "chroot", container, "--"]
    command += ["agelens", "serve", "--port", str(port), "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST", "/v1/estimate", PHOTO, JPEG)
                break
            time.sleep(0.2)
        answer = connection.getresponse()
        (face,) = json.loads(answer.read())["pictures"][0]["faces"]
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[1]
    (wanted,) = AgeEstimator().estimate(PHOTO)
    assert face["age"] == pytest.approx(wanted.age, abs=0.01), said

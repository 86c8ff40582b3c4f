"""Fixtures: the page as it is exported, a browser, and one with a camera."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ASTRONAUT
from PIL import Image
from typer.testing import CliRunner

from agelens import AgeEstimator
from agelens.cli import export_web  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from page.browsing import chromium, files


@pytest.fixture(scope="package")
def estimator() -> AgeEstimator:
    """With the model that the page runs, whatever the default is."""
    return AgeEstimator("light")


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    result = CliRunner().invoke(commands, ["export-web", str(folder)])
    assert result.exit_code == 0, result.output
    with files(folder) as url:
        yield url


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="package")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows the astronaut, her face in the left of the picture."""
    video = tmp_path_factory.mktemp("camera") / "astronaut.mjpeg"
    with Image.open(ASTRONAUT) as image:
        wide = Image.new("RGB", (640, 480))
        wide.paste(image.convert("RGB").resize((480, 480)))
    wide.save(video, "JPEG", quality=90)
    video.write_bytes(video.read_bytes() * 30)
    fake = "--use-fake-device-for-media-stream"
    with chromium(fake, f"--use-file-for-fake-video-capture={video}") as driver:
        yield driver

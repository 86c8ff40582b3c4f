"""What the reader of a page of the documentation has."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT
from numpy.typing import NDArray
from PIL import Image

from agelens.video.writers import VideoWriter


@pytest.fixture(scope="session")
def belongings(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reader of a page has: a photo, a folder of photos, and a video."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(ASTRONAUT, folder / "photo.jpg")
    photos = folder / "photos"
    photos.mkdir()
    shutil.copy(ASTRONAUT, photos / "eileen.jpg")
    Image.fromarray(photo[:, ::-1]).save(photos / "mirrored.jpg", quality=95)
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(photos / "wall.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    video = VideoWriter(folder / "party.mp4", 25)
    for shift in range(30):
        video.write(np.roll(photo, 2 * shift, axis=1), shift / 25)
    video.close()
    return folder

"""Every age is what it was: a change that should alter none is held to the last bit.

`tests/golden/make.py` makes the file anew when a change alters ages on purpose.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT
from golden.make import FILE, MODELS, ages, processor

GOLDEN = json.loads(FILE.read_text("utf-8"))


def _check(model: str, paths: list[Path]) -> None:
    found = ages(model, paths)
    for name, faces in found.items():
        # Other processors run other kernels, and 8 bits round a little otherwise there.
        limit = 0 if processor() == GOLDEN["processor"] else 2
        assert len(faces) == len(GOLDEN[model][name]), name
        assert np.abs(np.subtract(faces, GOLDEN[model][name])).max(initial=0) <= limit, name


@pytest.mark.parametrize("model", MODELS)
def test_the_ages_of_the_example(model: str) -> None:
    _check(model, [ASTRONAUT])


@pytest.mark.parametrize("model", MODELS)
def test_the_ages_of_100_test_pictures(model: str, utkface: Path, tmp_path: Path) -> None:
    names = set(GOLDEN[model]) - {ASTRONAUT.name}
    assert len(names) == 100
    if utkface.is_dir():
        paths = [path for path in utkface.rglob("*.jpg") if path.name in names]
    else:
        with tarfile.open(utkface) as archive:
            for member in archive:
                if (name := Path(member.name).name) in names:
                    stream = archive.extractfile(member)
                    assert stream is not None
                    (tmp_path / name).write_bytes(stream.read())
        paths = sorted(tmp_path.iterdir())
    assert {path.name for path in paths} == names
    _check(model, paths)

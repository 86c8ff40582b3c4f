"""The file that the tests of the TypeScript read is what Python computes today."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from page import golden

KNOWN = json.loads(golden.FILE.read_text("utf-8"))


def same(found: Any, expected: Any) -> None:
    """Numbers to 1e-7; pixels to 1 grey level, which another OpenCV may round otherwise."""
    if isinstance(expected, dict) and "rgb" in expected:
        difference = golden.unpack(found).astype(int) - golden.unpack(expected)
        assert np.abs(difference).max() <= 1
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)
    else:
        assert found == expected


@pytest.mark.parametrize("name", golden.PARTS)
def test_python_still_gives_what_is_written(name: str) -> None:
    _, compute = golden.PARTS[name]
    same(compute(KNOWN[name]["inputs"]), KNOWN[name]["expected"])


def test_the_constants_are_todays() -> None:
    facts = json.loads(json.dumps(golden.facts()))
    assert {name: KNOWN[name] for name in facts} == facts


def test_the_detectors_recording_has_what_it_is_for() -> None:
    crowd, filled, narrow, turned, sideways, _ = KNOWN["detector"]["inputs"]["pictures"]
    assert [len(faces) for faces in KNOWN["detector"]["expected"]] == [3, 1, 1, 1, 1, 1]
    assert len(crowd["views"]) > 4  # the whole picture, tiles, and every face
    assert len(filled["views"]) > 2  # with a border, besides
    assert len({tuple(view["size"]) for view in narrow["views"]}) > 2  # strips, besides the whole
    assert len(turned["views"]) > 5  # upright, with a border, upside down, on two sides
    assert len(sideways["views"]) == 3  # the whole picture, the face, and the face upright

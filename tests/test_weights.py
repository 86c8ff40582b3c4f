"""The weights that ship are those of the lock file: a change of one is never by accident."""

from __future__ import annotations

import hashlib
from pathlib import Path

import agelens

WEIGHTS = Path(agelens.__file__).parent / "weights"


def test_the_weights_are_the_locked_ones() -> None:
    lines = (WEIGHTS / "SHA256SUMS").read_text("utf-8").splitlines()
    locked = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in WEIGHTS.glob("*.onnx")
    }
    assert found == locked, "a new release's weights? sha256sum *.onnx > SHA256SUMS in weights/"

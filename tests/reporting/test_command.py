"""Recorded commands hold no absolute path of the machine that gave them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from agelens.reporting.command import recorded_command

RESULTS = sorted([*ROOT.glob("benchmarks/results/*.json"), *ROOT.glob("research/results/*.json")])


def test_paths_are_relative_or_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "agelens", "evaluate", str(tmp_path / "runs" / "my model.onnx"), "/elsewhere/data",
        "--json=/elsewhere/report.json", f"model.initial_weights={tmp_path / 'runs'}", "data/x",
    ]  # fmt: skip
    assert recorded_command(words) == (
        "agelens evaluate 'runs/my model.onnx' data --json=report.json "
        "model.initial_weights=runs data/x"
    )
    monkeypatch.setattr("sys.argv", [str(tmp_path / "benchmarks" / "one.py"), "--json", "a.json"])
    assert recorded_command() == "python benchmarks/one.py --json a.json"


def commands(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "command":
                yield part if isinstance(part, str) else " ".join(part)
            else:
                yield from commands(part)
    elif isinstance(value, list):
        for part in value:
            yield from commands(part)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_results_were_recorded_so(path: Path) -> None:
    found = list(commands(json.loads(path.read_text("utf-8"))))
    assert not [command for command in found if re.search(r"(^|[ =\"'])/\w", command)]

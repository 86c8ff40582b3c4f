"""What is killed leaves what is whole, and goes on; benchmarks/kill.py does it more often."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ASTRONAUT, ROOT


@pytest.mark.parametrize(
    ("command", "needs"), [("predict", "agelens"), ("prepare", "pandas"), ("video", "av")]
)
def test_a_kill_loses_nothing(command: str, needs: str) -> None:
    pytest.importorskip(needs)
    script = ROOT / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, script, command, ASTRONAUT, "--times", "1", "--size", "24"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{command}: 1 kills" in done.stdout

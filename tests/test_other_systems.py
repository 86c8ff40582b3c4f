"""What serves, on systems that lack what Linux has: simulated, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ASTRONAUT, ROOT

from agelens.parallel import default_jobs

LACKING = """
import multiprocessing, os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None  # importing it fails
for name in ("fork", "getuid", "killpg", "sched_getaffinity", "wait4"):
    if hasattr(os, name):
        delattr(os, name)
multiprocessing.set_start_method("spawn")
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="cp1252", errors="strict")
from agelens.cli import main
main()
"""
"""A program with neither POSIX modules nor forks, that prints in the encoding of Windows."""


def elsewhere(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LACKING, *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return done.stdout.decode("cp1252")


def test_processors_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert default_jobs() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_jobs() == 1


@pytest.mark.parametrize("form", ["table", "csv", "json", "jsonl"])
def test_ages_are_printed_whatever_the_name_of_the_picture(form: str, tmp_path: Path) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "照片.jpg")
    printed = elsewhere("predict", "照片.jpg", "--format", form, "--save", "out", cwd=tmp_path)
    assert "\\u7167" in printed
    assert (tmp_path / "out" / "照片.jpg").exists()
    if form == "json":
        ((picture),) = json.loads(printed)
        assert picture["path"] == "照片.jpg"


def test_a_decision_is_printed(tmp_path: Path) -> None:
    assert "pass" in elsewhere(
        "decide", ASTRONAUT, "--age", "18", "--challenge", "25", cwd=tmp_path
    )


def test_help_needs_no_other_encoding(tmp_path: Path) -> None:
    assert "--coverage" in elsewhere("predict", "--help", cwd=tmp_path)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_wheel_is_checked_where_nothing_can_be_cut_off(tmp_path: Path) -> None:
    """`scripts/check_wheel` goes on where there is no `unshare`, and says so."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cut", "dirname", "du"):
        (tools / name).symlink_to(str(shutil.which(name)))
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/bash\ncase $* in *torch*) exit 1;; *get_path*) echo /dev/null;; esac\n"
    )
    (python.parent / "agelens").write_text("#!/bin/bash\n")
    for path in python.parent.iterdir():
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "check_wheel", ASTRONAUT, tmp_path / "venv"],
        capture_output=True,
        env={"PATH": str(tools)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"no unshare: not cut off" in done.stdout

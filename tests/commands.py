"""Commands in this process: quick, because nothing is imported twice, and through the same door."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agelens.cli import main


def command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path
) -> tuple[int, str]:
    """Run a command line.

    Returns:
        The exit code, and what was said on stderr.
    """
    monkeypatch.setattr(sys, "argv", ["agelens", *map(str, arguments)])
    code: object = 0
    try:
        main()
    except SystemExit as done:
        code = done.code
    assert isinstance(code, int | None)
    return code or 0, capfd.readouterr().err


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for what is computed once and kept."""
    files = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

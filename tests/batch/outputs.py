"""What the tests of batch share: pictures, and the rows that a run has written."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from conftest import ASTRONAUT
from PIL import Image

BROKEN = b"\x89PNG broken"


def small() -> bytes:
    """The portrait at 128 pixels, which is quick to read."""
    stream = io.BytesIO()
    with Image.open(ASTRONAUT) as portrait:
        portrait.resize((128, 128)).save(stream, "PNG")
    return stream.getvalue()


def fill(folder: Path, count: int) -> Path:
    """So many small portraits in a new folder."""
    folder.mkdir(parents=True)
    (folder / "000.png").write_bytes(small())
    for index in range(1, count):
        shutil.copy(folder / "000.png", folder / f"{index:03d}.png")
    return folder


def rows(output: Path | str, kind: str, files: Any = None) -> list[dict[str, Any]]:
    """All rows of a kind, part after part, without what a second run need not repeat."""
    table = ds.dataset(f"{output}/{kind}", filesystem=files, format="parquet").to_table()
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in table.to_pylist()
    ]


def descendants(pid: int, name: str) -> list[int]:
    """Processes below a process, at any depth, whose command line has this in it (Linux)."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            commands[int(folder.name)] = (
                (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            )
        except OSError:
            continue  # it has ended
    found = []
    for one, command in commands.items():
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and one != pid and name in command:
            found.append(one)
    return found

"""Kills `agelens video` at random moments: what is there afterwards is whole, or not there at all.

    python benchmarks/kill_video.py examples/astronaut.jpg --times 50

Each time the rows that came through the pipe must be the first of an uninterrupted run's, to the
byte; files of an earlier run must be as they were, and nothing new may have appeared but hidden
``.partial`` files. At the end a last run must give what the uninterrupted one gave.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from agelens import load_image
from agelens.video.frames import VideoFile
from agelens.video.writers import VideoWriter


def clip(photo: Path, path: Path, frames: int) -> Path:
    """The portrait, moving."""
    pixels = load_image(photo)
    writer = VideoWriter(path, 25)
    for index in range(frames):
        writer.write(np.roll(pixels, 2 * index, axis=1), index / 25)
    writer.close()
    return path


def command(source: Path, folder: Path, *, piped: bool) -> list[str]:
    """Rows through a pipe, or into a file; the annotated video always."""
    rows = [] if piped else ["--rows", str(folder / "rows.jsonl")]
    output = ["-o", str(folder / "out.mp4")]
    return [sys.executable, "-m", "agelens", "video", str(source), *output, *rows]


def visible(folder: Path) -> dict[str, bytes]:
    """What somebody sees who lists the folder."""
    files = (path for path in folder.iterdir() if not path.name.endswith(".partial"))
    return {path.name: path.read_bytes() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = clip(options.photo, folder / "in.mp4", options.frames)
        whole = folder / "whole"
        whole.mkdir()
        start = time.monotonic()
        subprocess.run(command(source, whole, piped=False), check=True, capture_output=True)
        seconds = time.monotonic() - start
        expected = visible(whole)
        finished = cut = 0
        for attempt in range(options.times):
            place = folder / f"run{attempt}"
            if chance.random() < 0.5:
                shutil.copytree(whole, place)
            else:
                place.mkdir()
            before, piped = visible(place), chance.random() < 0.5
            process = subprocess.Popen(
                command(source, place, piped=piped),
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                rows, _ = process.communicate(timeout=chance.uniform(0.2, 1.1) * seconds)
                finished += 1
            except subprocess.TimeoutExpired:
                process.kill()
                rows, _ = process.communicate()
                cut += bool(rows)
            now = visible(place)
            if piped:
                assert rows.count(b"\n") == len(rows.splitlines()), "a row is cut"
                assert expected["rows.jsonl"].startswith(rows), "a row is lost or doubled"
            for found in now:
                assert now[found] in {before.get(found), expected[found]}, f"{found} is not whole"
        subprocess.run(command(source, place, piped=False), check=True, capture_output=True)
        assert visible(place) == expected, "the end differs"
        assert len(list(VideoFile(place / "out.mp4"))) == options.frames
    print(
        f"{options.times} kills: {finished} came too late, {cut} in the middle of rows; all whole"
    )


if __name__ == "__main__":
    main()

"""Kills a long command at random moments: what is there afterwards is whole, or not there at all.

    python benchmarks/kill.py predict examples/astronaut.jpg --times 50

The command is `predict --resume`, `data prepare`, `train` or `video`. It is killed (SIGKILL), what
it left is looked at, and it is started again, until it comes to its end, which must be what an
uninterrupted one gives: no row lost, doubled or cut. Then it begins anew, until it has been killed
so many times. The moments depend on the seed, and on the machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agelens import load_image

HEAD = (225.5, 121.5)
"""Where the middle of the face is in examples/astronaut.jpg."""
RECIPE = """
name = "tiny"
workers = 0
model = {backbone = "test_efficientnet", pretrained = false, size = 32}
optimiser = {batch_size = 8, warmup_steps = 3, precision = "float32"}
stages = [{epochs = 12, size = 32}]
"""


@dataclass(frozen=True)
class Command:
    """What is killed.

    Attributes:
        arguments: of the command line, which is started in a folder of its own.
        check: raises an AssertionError about what a kill left in that folder; it is also told what
            came through the pipe.
        last: the file below that folder that is written last.
        end: what must be the same once it is there.
    """

    arguments: list[str]
    check: Callable[[Path, bytes], None]
    last: str
    end: Callable[[Path], object]


def heads(photo: Path, folder: Path, count: int) -> None:
    """Pictures of one head, turned, moved and lit at random, with UTKFace's names."""
    rng = np.random.default_rng(0)
    pixels = load_image(photo)
    folder.mkdir()
    for index in range(count):
        matrix = cv2.getRotationMatrix2D(HEAD, rng.uniform(-25, 25), rng.uniform(1.4, 2.1))
        matrix[:, 2] += 100 - np.array(HEAD) + rng.uniform(-18, 18, 2)
        chip = cv2.warpAffine(pixels, matrix, (200, 200), borderMode=cv2.BORDER_REFLECT_101)
        noise = cv2.resize(rng.normal(0, 40, (6, 6, 3)).astype(np.float32), (200, 200))
        chip = np.clip(chip * rng.uniform(0.5, 1.4, 3) + noise, 0, 255).astype(np.uint8)
        name = f"{index % 12 * 8}_{index % 2}_{index % 5}_20170116{index:09d}.jpg.chip.jpg"
        cv2.imwrite(str(folder / name), chip[..., ::-1])


def predict(home: Path, photo: Path, size: int) -> Command:
    """Rows of pictures, in a file that goes on."""
    heads(photo, home / "in", size)
    names = sorted(f"{home / 'in' / path.name}" for path in (home / "in").iterdir())

    def check(folder: Path, _: bytes) -> None:
        journal = folder / "rows.csv.unfinished"
        if journal.exists():
            lines = journal.read_bytes().splitlines(keepends=True)
            paths = [json.loads(line)["path"] for line in lines[1:] if line.endswith(b"\n")]
            assert paths == names[: len(paths)], "a picture is lost or doubled"

    arguments = ["predict", str(home / "in"), "-o", "rows.csv", "--resume"]
    return Command(arguments, check, "rows.csv", lambda folder: (folder / "rows.csv").read_bytes())


def prepare(home: Path, photo: Path, size: int) -> Command:
    """A dataset of an archive."""
    heads(photo, home / "in", size)
    with tarfile.open(home / "in.tar", "w") as archive:
        archive.add(home / "in", ".")
    parts = ("dataset.json", "manifest.parquet")

    def check(folder: Path, _: bytes) -> None:
        for path in (folder / "out" / "images").glob("[!.]*"):
            assert path.read_bytes() == (home / "in" / path.name).read_bytes(), "a cut picture"
        journal = folder / "out" / "scan.jsonl"
        if journal.exists():
            lines = journal.read_bytes().splitlines(keepends=True)
            rows = [json.loads(line)["path"] for line in lines[1:] if line.endswith(b"\n")]
            assert len(rows) == len(set(rows)), "a row is doubled"

    def end(folder: Path) -> object:
        return [(folder / "out" / name).read_bytes() for name in parts]

    arguments = ["data", "prepare", str(home / "in.tar"), "-o", "out"]
    return Command(arguments, check, "out/dataset.json", end)


def train(home: Path, photo: Path, size: int) -> Command:
    """A tiny network."""
    import torch  # the other commands do without

    heads(photo, home / "in", size)
    run("data", "prepare", str(home / "in"), "-o", str(home / "data"), folder=home)
    (home / "tiny.toml").write_text(RECIPE)

    def weights(path: Path) -> dict[str, list[float]]:
        state = torch.load(path, weights_only=False)["state_dict"]
        return {name: tensor.tolist() for name, tensor in state.items()}

    def epochs(folder: Path) -> list[str]:
        with (folder / "run" / "logs" / "csv" / "metrics.csv").open() as file:
            return [row["epoch"] for row in csv.DictReader(file) if row["val_mae"]]

    def check(folder: Path, _: bytes) -> None:
        for path in (folder / "run").glob("*.ckpt"):
            assert weights(path)

    def end(folder: Path) -> object:
        last, best = (weights(folder / "run" / f"{name}.ckpt") for name in ("last", "best"))
        return last, best, epochs(folder)

    arguments = ["train", str(home / "tiny.toml"), "--data", str(home / "data"), "--run", "run"]
    return Command([*arguments, "--accelerator", "cpu"], check, "run/finished.json", end)


def video(home: Path, photo: Path, size: int) -> Command:
    """Rows through a pipe, and an annotated video."""
    from agelens.video.writers import VideoWriter

    pixels = load_image(photo)
    writer = VideoWriter(home / "in.mp4", 25)
    for index in range(size):
        writer.write(np.roll(pixels, 2 * index, axis=1), index / 25)
    writer.close()
    arguments = ["video", str(home / "in.mp4"), "-o", "out.mp4", "-f", "jsonl"]
    (home / "first").mkdir()
    rows = run(*arguments, folder=home / "first")

    def check(_: Path, piped: bytes) -> None:
        whole = piped[: piped.rfind(b"\n") + 1]
        assert piped == whole, "a row is cut"
        assert rows.startswith(whole), "a row is lost or doubled"

    return Command(arguments, check, "out.mp4", lambda folder: (folder / "out.mp4").read_bytes())


def run(*arguments: str, folder: Path) -> bytes:
    """A command that is left alone; what it prints."""
    command = [sys.executable, "-m", "agelens", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


def kill(command: Command, home: Path, times: int, seed: int) -> tuple[int, int]:
    """Kill a command so many times.

    Returns:
        How often it came to its end, and how often it was not the first start in its folder that
        was killed.
    """
    chance = random.Random(seed)
    (home / "whole").mkdir()
    start = time.monotonic()
    run(*command.arguments, folder=home / "whole")
    seconds = time.monotonic() - start
    expected = command.end(home / "whole")
    killed = ended = again = 0
    folder = home / "run"
    while killed < times or folder.exists():
        again += folder.exists()
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "agelens", *command.arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        moment = chance.uniform(0.2, 1.1) * seconds if killed < times else None
        try:
            _, said = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            piped, said = process.communicate()
            killed += 1
            if process.returncode:
                command.check(folder, piped)
                if (folder / command.last).exists():
                    assert command.end(folder) == expected, "what is there is not whole"
                continue
        assert process.returncode == 0, said.decode()
        assert command.end(folder) == expected, "the end differs"
        ended += 1
        shutil.rmtree(folder)
    return ended, again


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = {each.__name__: each for each in (predict, prepare, train, video)}
    parser.add_argument("command", choices=commands)
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--size", type=int, default=150, help="pictures, or frames of the video")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        command = commands[options.command](home, options.photo, options.size)
        ended, again = kill(command, home, options.times, options.seed)
    print(
        f"{options.command}: {options.times} kills, {again} restarts; all {ended} ends as without"
    )


if __name__ == "__main__":
    main()

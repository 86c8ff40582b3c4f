"""On a full disk every command that writes says so, and leaves nothing that is cut short."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import command, contents
from conftest import ASTRONAUT, ROOT

from agelens.page.files import STATIC
from agelens.pipeline.images import load_image
from agelens.pipeline.model import file_of

pytest.importorskip("torch")
from agelens.data.manifest import Dataset
from agelens.video.writers import VideoWriter

COMMANDS = {
    "predict": "predict face.jpg -o FULL/rows.csv",
    "predict --save": "predict face.jpg --save FULL/out",
    "decide": "decide face.jpg -o FULL/rows.parquet",
    "explain": "explain face.jpg -o FULL/out",
    "video": "video clip.mp4 -o FULL/out.mp4",
    "video --rows": "video clip.mp4 --rows FULL/rows.jsonl",
    "video, Parquet": "video clip.mp4 --rows FULL/rows.parquet",
    "webcam": "webcam clip.mp4 --no-window -o FULL/out.mp4 --rows FULL/rows.csv",
    "train": "train tiny.toml --data data --run FULL/run --accelerator cpu",
    "train, its crops": "train tiny.toml --data FULL/data --run run --accelerator cpu",
    "average": "average best.ckpt best.ckpt -o FULL/mean/best.ckpt",
    "export": "export best.ckpt --data data --int8 -o FULL/model.onnx",
    "calibrate": "calibrate FULL/model.onnx data --split train",
    "prepare": "data prepare faces -o FULL/new",
    "prepare an archive": "data prepare faces.zip -o FULL/new",
    "join": "data join data other -o FULL/joined",
    "explore": "data explore data -o FULL/report",
    "evaluate --json": "evaluate light data --split validation --json FULL/a.json",
    "evaluate --predictions": "evaluate light data --split validation --predictions FULL/a.csv",
    "evaluate --report": "evaluate light data --split validation --report FULL/report",
    "evaluate --corruptions":
        "evaluate light data --split validation --sample 1 --corruptions FULL/kept",
    "card": "card measured.json -o FULL/card.md",
    "benchmark": "benchmark face.jpg --repeat 1 --threads 1 --json FULL/a.json",
    "export-web": "export-web FULL/page",
}  # fmt: skip
ROOM = {"video": 16, "train": 16, "train ": 400, "prepare": 16}
"""KiB that are left, for those whose first bytes fit while the rest does not."""
TINY = """
name = "tiny"
workers = 0
model = {backbone = "test_efficientnet", pretrained = false, size = 32}
optimiser = {batch_size = 8, warmup_steps = 3, precision = "float32"}
stages = [{epochs = 1, size = 32}]
"""


@pytest.fixture(scope="module")
def home(dataset: Dataset, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands read, and a small disk in it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "FULL").mkdir()
    shutil.copy(ASTRONAUT, folder / "face.jpg")
    shutil.copy(run / "best.ckpt", folder / "best.ckpt")
    shutil.copy(ROOT / "benchmarks" / "results" / "light-test.json", folder / "measured.json")
    writer = VideoWriter(folder / "clip.mp4", 25)
    for index in range(10):
        writer.write(load_image(ASTRONAUT), index / 25)
    writer.close()
    for name in ("data", "other"):
        (folder / name).mkdir()
        for path in dataset.files()[:2]:
            shutil.copy(path, folder / name)
    about = json.loads((folder / "other" / "dataset.json").read_text())
    about["sources"][0]["name"], about["root"] = "Other", str(folder / "faces")
    (folder / "other" / "dataset.json").write_text(json.dumps(about))
    (folder / "tiny.toml").write_text(TINY)
    shutil.copytree(dataset.root, folder / "faces")
    shutil.make_archive(str(folder / "faces"), "zip", folder / "faces")
    return folder


@pytest.fixture
def full(home: Path) -> Iterator[Path]:
    disk = home / "FULL"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by Linux's root alone")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes on a disk."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
        os.truncate(disk / "filler", max(0, file.tell() - free))


@pytest.mark.parametrize(("case", "room"), [*((case, 0) for case in COMMANDS), *ROOM.items()])
def test_a_full_disk_is_a_sentence(
    case: str,
    room: int,
    home: Path,
    full: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if case == "export-web" and not STATIC.is_dir():
        pytest.skip("the page is not built: npm ci && npm run build")
    monkeypatch.chdir(home)
    if case == "train, its crops":
        shutil.copytree("other", full / "data")
    if case == "calibrate":
        shutil.copy(file_of("light"), full / "model.onnx")
        monkeypatch.setattr("agelens.evaluation.calibrate.MIN_FACES", 1)
    fill(full, 1024 * room)
    before = contents(full)
    code, said = command(capfd, monkeypatch, *COMMANDS[case.strip()].split())
    assert code == 1, said
    assert re.search(r"FULL\S*: .*No space left on device", said)
    after = contents(full)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith((".partial", ".tmp"))]

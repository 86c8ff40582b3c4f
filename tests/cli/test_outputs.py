"""Results never harm an input or each other, are whole or not there, and none is lost."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ASTRONAUT, agelens
from PIL import Image

DIGEST = hashlib.sha256(ASTRONAUT.read_bytes()).hexdigest()


def same(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ASTRONAUT, tmp_path / "face.jpg"))


def test_nothing_is_written_onto_an_input(photo_file: Path) -> None:
    folder = photo_file.parent
    (folder / "link").symlink_to(folder)
    (folder / "linked.jpg").symlink_to(photo_file)
    (folder / "rows.csv").symlink_to(photo_file)
    for arguments in (
        ["predict", "face.jpg", "--save", "."],
        ["predict", "face.jpg", "--save", "link"],
        ["predict", "linked.jpg", "--save", "."],
        ["predict", "face.jpg", "-o", "rows.csv"],
        ["explain", "face.jpg", "-o", "face.jpg"],
        ["explain", "face.jpg", "-o", "linked.jpg"],
    ):
        done = agelens(*arguments, cwd=folder)
        assert done.returncode == 1, arguments
        assert b"is an input, and is not written over" in done.stderr
        assert same(photo_file)
    assert not list(folder.glob(".*"))


def test_results_of_the_same_name_are_two_files(photo_file: Path) -> None:
    folder = photo_file.parent
    for name in ("a/1.jpg", "b/1.jpg", "b/1.JPG", "c/x.webp", "c/x.webp.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        with Image.open(photo_file) as image:
            image.save(folder / name, "WEBP" if name.endswith("webp") else "JPEG")
    done = agelens("predict", "a", "b", "c/x.webp", "c/x.webp.jpg", "--save", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "1-2.JPG", "1-3.jpg", "1.jpg", "x.webp-2.jpg", "x.webp.jpg",
    ]  # fmt: skip


def test_one_that_cannot_be_written_fails_by_name_and_the_others_go_on(photo_file: Path) -> None:
    folder = photo_file.parent
    (folder / "out" / "b.jpg").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "顔" * 80 + ".jpg"):
        shutil.copy(photo_file, folder / name)
    done = agelens("predict", "a.jpg", "b.jpg", "顔" * 80 + ".jpg", "--save", "out", "-f", "jsonl",
                   cwd=folder)  # fmt: skip
    assert done.returncode == 1
    assert [len(json.loads(line)["faces"]) for line in done.stdout.splitlines()] == [1, 1, 1]
    assert "out/b.jpg: cannot be written (Is a directory)" in done.stderr.decode()
    assert "1 of 3 failed" in done.stderr.decode()
    assert (folder / "out" / ("顔" * 80 + ".jpg")).is_file()
    assert not list((folder / "out").glob(".*"))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_rows_account_for_every_picture(photo_file: Path, ending: str) -> None:
    folder = photo_file.parent
    Image.new("RGB", (90, 70)).save(folder / "blank.png")
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    done = agelens("predict", ".", "-o", f"rows.{ending}", cwd=folder)
    assert done.returncode == 1
    assert not done.stdout
    file = folder / f"rows.{ending}"
    if ending == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert [len(row["faces"]) for row in rows] == [0, 0, 1]
    else:
        if ending == "csv":
            rows = list(csv.DictReader(file.open()))
        else:
            rows = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
        assert [int(row["faces"]) for row in rows] == [0, 0, 1]
        assert [row["face"] in ("", None) for row in rows] == [True, True, False]
        assert float(rows[2]["age"]) == round(float(rows[2]["age"]), 1)
    assert [row["path"] for row in rows] == ["blank.png", "broken.png", "face.jpg"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert sorted(path.name for path in folder.iterdir()) == [
        "blank.png", "broken.png", "face.jpg", f"rows.{ending}",
    ]  # fmt: skip


def test_a_run_that_was_killed_goes_on(photo_file: Path) -> None:
    folder = photo_file.parent
    (folder / "in").mkdir()
    for index in range(120):
        os.link(photo_file, folder / "in" / f"{index:03d}.jpg")
    command = [sys.executable, "-m", "agelens", "predict", "in", "-o", "rows.csv", "--resume"]
    journal = folder / "rows.csv.unfinished"
    for wanted in (5, 40):
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (
            journal.exists() and journal.read_bytes().count(b"\n") > wanted
        ):
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert not (folder / "rows.csv").exists()
        with journal.open("ab") as lines:
            lines.write(b'{"path": "in/cut')
    done = agelens(*command[3:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not journal.exists()
    whole = agelens("predict", "in", "-o", "whole.csv", cwd=folder)
    assert whole.returncode == 0
    assert (folder / "rows.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    assert len((folder / "rows.csv").read_text().splitlines()) == 121


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_is_130_and_says_how_to_go_on(photo_file: Path) -> None:
    folder = photo_file.parent
    (folder / "in").mkdir()
    for index in range(3000):
        os.link(photo_file, folder / "in" / f"{index:04d}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-m", "agelens", "predict", "in", "-o", "rows.jsonl"],
        cwd=folder, stderr=subprocess.PIPE, text=True,
        # A suite that runs in the background ignores Ctrl-C, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not (folder / "rows.jsonl.unfinished").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "--resume goes on from there" in said
    assert "Traceback" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full device")
def test_a_full_disk_and_a_closed_pipe_are_sentences() -> None:
    command = [sys.executable, "-m", "agelens", "predict", str(ASTRONAUT)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "agelens: the output: No space left on device\n"
    )  # fmt: skip
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == "agelens: the output was closed before all was written\n"


def test_libraries_print_nothing_of_their_own(tmp_path: Path) -> None:
    with Image.open(ASTRONAUT) as image:
        image.save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[3000:3004] = b"\xff\xff\xff\xff"
    (tmp_path / "a.tif").write_bytes(data)
    done = agelens("predict", "a.tif", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == b"agelens: a.tif: the image is broken (decoder error -2)\n"


def test_names_are_text_in_any_encoding(photo_file: Path) -> None:
    folder = photo_file.parent
    names = ["IMG_1 [edited].jpg", "k[b]x.jpg", "照片.jpg", "new\nline.jpg"]
    for name in names:
        shutil.copy(photo_file, folder / name)
    shown = agelens("predict", *names, cwd=folder).stdout.decode()
    assert "IMG_1 [edited].jpg" in shown
    assert "k[b]x.jpg" in shown
    assert r"new\nline.jpg" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    for form in ("table", "csv", "jsonl"):
        done = subprocess.run(
            [sys.executable, "-m", "agelens", "predict", "照片.jpg", "a" * 90 + ".jpg", "-f", form],
            cwd=folder, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        )  # fmt: skip
        assert done.returncode == 1
        assert rb"\u7167\u7247.jpg" in done.stdout
        assert b"Traceback" not in done.stderr


def test_a_folder_is_accounted_for(photo_file: Path) -> None:
    folder = photo_file.parent
    (folder / "in").mkdir()
    (folder / "elsewhere").mkdir()
    shutil.copy(photo_file, folder / "elsewhere" / "linked.jpg")
    (folder / "in" / "more").symlink_to(folder / "elsewhere")
    (folder / "in" / "loop").symlink_to(folder / "in")
    (folder / "in" / "__MACOSX").mkdir()
    for name in ("a.jpg", "._a.jpg", "__MACOSX/a.jpg"):
        shutil.copy(photo_file, folder / "in" / name)
    done = agelens("predict", "in", "-f", "jsonl", cwd=folder)
    assert done.returncode == 0
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths == ["in/a.jpg", "in/more/linked.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_what_never_ends_is_named_and_names_are_text_on_stderr(photo_file: Path) -> None:
    folder = photo_file.parent / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "new\nagelens: \x1b[31m.jpg").write_text("text")
    shutil.copy(photo_file, folder / "z.jpg")
    done = agelens("predict", folder, "-f", "jsonl")
    assert done.returncode == 1
    assert [len(json.loads(line)["faces"]) for line in done.stdout.splitlines()] == [0, 0, 1, 0]
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 4
    assert r"new\nagelens: \x1b[31m.jpg: not a picture" in lines[0]
    assert "pipe.jpg: a pipe, a socket or a device, not a regular file" in lines[1]
    # Where it is named itself, a pipe is read to its end, once.
    with Image.open(photo_file) as portrait:
        portrait.resize((160, 160)).save(photo_file)  # so small that it waits in the pipe
    reader, writer = os.pipe()
    os.write(writer, photo_file.read_bytes())
    os.close(writer)
    command = [sys.executable, "-m", "agelens", "predict", f"/dev/fd/{reader}", "--save", "out"]
    done_once = subprocess.run(command, cwd=folder, pass_fds=[reader], check=False)
    os.close(reader)
    assert done_once.returncode == 0


def test_addresses_and_videos_are_answered_by_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    done = agelens("predict", "https://example.org/face.jpg", "v.mp4", cwd=tmp_path)
    assert done.returncode == 1
    assert b"curl -s URL | agelens predict -" in done.stderr
    assert b"v.mp4: a video; use `agelens video`" in done.stderr


def test_models_and_doctor_say_what_is_there() -> None:
    models = agelens("models").stdout.decode()
    assert "light: 4 MB" in models
    assert "non-commercial" in models
    done = agelens("doctor")
    assert done.returncode == 0
    assert "light: a drawn picture with one face gives 1 face, on cpu" in done.stdout.decode()


def test_a_variable_names_the_model_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGELENS_MODEL", "nobody")
    for command in (["predict", ASTRONAUT], ["decide", ASTRONAUT]):
        done = agelens(*command)
        assert done.returncode == 1
        assert b"nobody: no such file" in done.stderr

"""`agelens batch` and `agelens.batch.run`: from pictures to parts that account for each of them."""

from __future__ import annotations

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

from agelens import AgeEstimator, DataError, MissingExtraError, ModelError
from agelens.batch import Counts, Status, run
from agelens.errors import OutputError
from batch.outputs import BROKEN, fill, rows


def test_every_picture_of_a_folder_is_accounted_for(
    tmp_path: Path, estimator: AgeEstimator
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(ASTRONAUT, folder / "a.jpg")
    (folder / "b.png").write_bytes(BROKEN)
    done = agelens("batch", "in", "-o", "out", "--at-least", "18", "--annotate", cwd=tmp_path)
    assert done.returncode == 1
    assert not done.stdout
    *lines, last = done.stderr.decode().splitlines()
    assert json.loads(lines[-1]) | {"seconds": 0, "per_second": 0} == {
        "pictures": 2, "listed": 2, "failed": 1, "per_second": 0, "seconds": 0, "seconds_left": 0,
    }  # fmt: skip
    assert last == "agelens: out: 1 faces in 2 pictures, 1 failed"
    (face,) = rows(tmp_path / "out", "faces")
    (expected,) = estimator.estimate(ASTRONAUT).to_rows([18])
    assert face == expected | {
        "path": "in/a.jpg", "model": estimator.model.digest, "version": face["version"],
        "age": pytest.approx(expected["age"], abs=0.01),
        "at_least_18": pytest.approx(expected["at_least_18"], abs=1e-3),
    }  # fmt: skip
    good, bad = rows(tmp_path / "out", "pictures")
    assert (tmp_path / "out" / good.pop("annotated")).stat().st_size > 1000
    assert good == {"path": "in/a.jpg", "faces": 1, "width": 512, "height": 512, "error": None}
    assert (bad["path"], bad["faces"]) == ("in/b.png", 0)
    assert "the image is broken" in bad["error"]
    record = json.loads((tmp_path / "out" / "_run.json").read_text())
    assert record["complete"]
    assert record["counts"] == {
        "shards": 1, "pictures": 2, "faces": 1, "failed": 1, "unfinished": 0
    }  # fmt: skip


def test_results_are_never_written_over(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", 1)
    reports: list[Status] = []
    first = run(folder, tmp_path / "out", jobs=1, report=reports.append)
    assert first == Counts(shards=1, pictures=1, faces=1)
    assert (reports[-1].pictures, reports[-1].listed, reports[-1].seconds_left) == (1, 1, 0)
    with pytest.raises(OutputError, match="has results already; go on with them by --resume"):
        run(folder, tmp_path / "out")
    with pytest.raises(OutputError, match=r"was begun with another inputs, coverage"):
        run(tmp_path, tmp_path / "out", coverage=0.8, resume=True)
    with pytest.raises(OutputError, match="lies in"):
        run(tmp_path, tmp_path / "new", annotate=True)
    with pytest.raises(ModelError, match="nobody"):
        run(folder, tmp_path / "new", model="nobody")
    parts = {part: part.stat().st_mtime_ns for part in (tmp_path / "out").glob("*/*.parquet")}
    assert run(folder, tmp_path / "out", resume=True) == first
    folder.rename(tmp_path / "away")
    with pytest.raises(OutputError, match="none of the inputs can be read now"):
        run(folder, tmp_path / "out", resume=True)
    assert {part: part.stat().st_mtime_ns for part in parts} == parts  # neither made again nor lost


def test_a_run_reads_no_results_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    for source in ("in", "link", f"file://{tmp_path}", "in/**/*", "**/*.jpg", folder / "x" / ".."):
        with pytest.raises(OutputError, match="lies in"):
            run(source, "link/out", annotate=True)
    again = ["link/*/*/*/*", "in/*.png", "link/*/*/*.parquet", f"file://{folder}/*/*/*/*.jpg", "-"]
    copies: list[str] = []
    for resume in (False, True):
        lines = ["in/000.png", *copies]
        counts = run(again, "in/out", annotate=True, resume=resume, lines=lines)
        assert (counts.pictures, counts.faces) == (6, 3)
        copies = [str(path) for path in (folder / "out" / "annotated").glob("*/*.jpg")]
        assert len(copies) == 3


def test_files_of_others_are_left_in_the_output(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", 1)
    theirs = tmp_path / "out" / "pictures" / "part-00000-6f3d-c000.snappy.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"Spark's")
    run(folder, tmp_path / "out", resume=True)
    assert theirs.read_bytes() == b"Spark's"


def test_copies_have_names_that_every_system_can_have(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", 1)
    (folder / "000.png").rename(folder / 'a:b?"c". .png')
    Image.new("1", (66_000, 64)).save(folder / "wide.png")  # more than a JPEG may have
    assert run(folder, tmp_path / "out", annotate=True).failed == 1
    face, wide = rows(tmp_path / "out", "pictures")
    assert face["annotated"].endswith("/000000-a_b__c_. .png.jpg")
    assert (tmp_path / "out" / face["annotated"]).is_file()
    assert (wide["width"], wide["annotated"]) == (66_000, None)
    assert "no copy of it can be written" in wide["error"]


def test_a_resumed_run_follows_what_is_there_now(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", 4)
    run(folder, tmp_path / "out", jobs=1, shard_size=2)
    shutil.copy(folder / "000.png", folder / "0000.png")
    counts = run(folder, tmp_path / "out", jobs=1, shard_size=2, resume=True)
    assert counts == Counts(shards=3, pictures=5, faces=5)
    for kind in ("pictures", "faces"):
        paths = [Path(row["path"]).name for row in rows(tmp_path / "out", kind)]
        assert paths == sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_driver_that_was_killed_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "in", 40)
    command = ["batch", "in", "-o", "out", "--jobs", "1", "--shard-size", "10"]
    pictures = tmp_path / "out" / "pictures"
    process = subprocess.Popen(
        [sys.executable, "-m", "agelens", *command], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(pictures.glob("part-*.parquet")):
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{child}").exists() for child in children):
        time.sleep(0.01)  # what it started ends with it
    assert len(list(pictures.glob("part-*.parquet"))) < 4
    assert agelens(*command, "--resume", cwd=tmp_path).returncode == 0
    assert agelens(*command[:3], "whole", *command[4:], cwd=tmp_path).returncode == 0
    for kind in ("faces", "pictures"):
        assert rows(tmp_path / "out", kind) == rows(tmp_path / "whole", kind)
    record = json.loads((tmp_path / "out" / "_run.json").read_text())
    assert record["counts"] == json.loads((tmp_path / "whole" / "_run.json").read_text())["counts"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_is_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    fill(tmp_path / "in", 20)
    os.mkfifo(tmp_path / "never.jpg")  # a picture that never comes
    process = subprocess.Popen(
        [sys.executable, "-m", "agelens", "batch", "in", "never.jpg", "-o", "out",
         "--report-every", "0.1"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    while not json.loads(process.stderr.readline())["pictures"]:
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "--resume goes on from there" in said
    assert "Traceback" not in said


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"which column has the pictures\? There are a, b"):
        run(tmp_path / "t.csv", tmp_path / "out")
    with pytest.raises(DataError, match="c is no column of pictures; there are a, b"):
        run(tmp_path / "t.csv", tmp_path / "out", column="c")
    with pytest.raises(MissingExtraError, match=r"gs://.*needs gcsfs"):
        run("gs://bucket/folder", tmp_path / "out")
    done = agelens("batch", "x", "-o", "out", "--at-least", "adult", cwd=tmp_path)
    assert done.returncode == 2

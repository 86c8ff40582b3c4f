"""`agelens predict` as a user runs it: real processes, real files, real exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, agelens
from PIL import Image

from agelens import AgeEstimator


def test_json_gives_the_age_that_python_gives(estimator: AgeEstimator) -> None:
    done = agelens("predict", ASTRONAUT, "--format", "json")
    assert done.returncode == 0, done.stderr
    ((picture),) = json.loads(done.stdout)
    assert picture["path"] == str(ASTRONAUT)
    (face,) = picture["faces"]
    assert face["age"] == pytest.approx(estimator.estimate(ASTRONAUT)[0].age, abs=0.01)


def test_the_default_is_a_table_with_the_age(estimator: AgeEstimator) -> None:
    done = agelens("predict", ASTRONAUT)
    assert done.returncode == 0
    assert f"{estimator.estimate(ASTRONAUT)[0].age:.1f}" in done.stdout.decode()


def test_stdin_and_csv() -> None:
    done = agelens("predict", "-", "-f", "csv", stdin=ASTRONAUT.read_bytes())
    (row,) = csv.DictReader(io.StringIO(done.stdout.decode()))
    assert row["path"] == "<stdin>"
    assert 10 < float(row["age"]) < 60
    assert float(row["x2"]) > float(row["x1"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures, one broken, one file that is none, in folders with difficult names."""
    inside = tmp_path / "фото" / "été 2024"
    inside.mkdir(parents=True)
    shutil.copy(ASTRONAUT, tmp_path / "a.jpg")
    shutil.copy(ASTRONAUT, inside / "顔 [1].JPG")
    (inside / "broken.jpg").write_bytes(b"text")
    (inside / "notes.txt").write_text("not looked at")
    return tmp_path


def test_a_folder_goes_on_past_a_broken_file(folder: Path) -> None:
    done = agelens("predict", folder, "--format", "jsonl", "--save", folder / "out")
    assert done.returncode == 1
    pictures = [json.loads(line) for line in done.stdout.splitlines()]
    names = ["a.jpg", "broken.jpg", "顔 [1].JPG"]
    assert [Path(picture["path"]).name for picture in pictures] == names
    assert [len(picture["faces"]) for picture in pictures] == [1, 0, 1]
    assert [bool(picture["error"]) for picture in pictures] == [False, True, False]
    messages = done.stderr.decode()
    assert "broken.jpg: not a picture" in messages
    assert "1 of 3 failed" in messages
    saved = sorted(path.relative_to(folder / "out") for path in (folder / "out").rglob("*.*"))
    assert saved == [Path("a.jpg"), Path("фото/été 2024/顔 [1].JPG")]
    with Image.open(folder / "out" / "a.jpg") as drawn, Image.open(ASTRONAUT) as original:
        changed = np.abs(np.array(drawn, int) - np.array(original, int)).max(axis=2) > 100
        assert drawn.size == original.size
        assert 300 < changed.sum() < 30_000


def test_globs_are_expanded_where_no_shell_does(folder: Path) -> None:
    done = agelens("predict", "**/*.[jJ][pP][gG]", "-f", "jsonl", cwd=folder)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3


def test_largest_keeps_one_face(tmp_path: Path) -> None:
    with Image.open(ASTRONAUT) as portrait:
        pair = Image.new("RGB", (1024, 512))
        pair.paste(portrait, (0, 0))
        pair.paste(portrait.resize((400, 400)), (600, 50))
    pair.save(tmp_path / "pair.png")
    both = json.loads(agelens("predict", tmp_path / "pair.png", "-f", "json").stdout)[0]["faces"]
    one = agelens("predict", tmp_path / "pair.png", "-f", "json", "--largest")
    assert len(both) == 2
    assert json.loads(one.stdout)[0]["faces"] == both[:1]
    none = agelens("predict", tmp_path / "pair.png", "-f", "json", "--min-score", "1")
    assert none.returncode == 0
    assert json.loads(none.stdout)[0]["faces"] == []


def test_missing_paths_and_empty_folders_fail_with_a_reason(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "nowhere.jpg", "No such file"),
        (tmp_path, "holds no pictures"),
    ):
        done = agelens("predict", path)
        assert done.returncode == 1
        assert reason in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


def test_a_raw_photo_is_named_unless_its_picture_lies_beside_it(tmp_path: Path) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "both.JPG")
    (tmp_path / "both.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    done = agelens("predict", tmp_path, "-f", "jsonl")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    (tmp_path / "alone.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    done = agelens("predict", tmp_path, "-f", "jsonl")
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 2)
    assert b"alone.CR2: a raw photo, which is not read" in done.stderr.replace(b"\n", b" ")


@pytest.mark.parametrize(
    "arguments",
    [["predict"], ["predict", "x", "--format", "xml"], ["predict", "x", "--min-score", "2"]],
)
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    assert agelens(*arguments).returncode == 2


def test_an_unknown_model_is_a_sentence() -> None:
    done = agelens("predict", ASTRONAUT, "--model", "nobody")
    assert done.returncode == 1
    assert b"nobody" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    powerless: list[str] = []
    if os.geteuid() == 0:  # root may read everything, unless it gives that right away
        if shutil.which("setpriv") is None:
            pytest.skip("run as root, and setpriv is not here to become less")
        powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    locked = tmp_path / "locked"
    locked.mkdir()
    shutil.copy(ASTRONAUT, tmp_path / "a.jpg")
    locked.chmod(0)
    try:
        done = agelens("predict", tmp_path, "-f", "jsonl", through=powerless)
    finally:
        locked.chmod(0o700)
    assert done.returncode == 1
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == [
        None,
        "Permission denied",
    ]
    assert "locked: Permission denied" in done.stderr.decode()


def test_two_thousand_pictures_with_three_broken_ones(tmp_path: Path) -> None:
    with Image.open(ASTRONAUT) as portrait:
        portrait.resize((128, 128)).save(tmp_path / "0000.png")
    Image.new("RGB", (96, 96), "grey").save(tmp_path / "0001.png")
    for index in range(2, 2000):
        os.link(tmp_path / f"{index % 8 and 1:04d}.png", tmp_path / f"{index:04d}.png")
    for index in (7, 999, 1999):
        (tmp_path / f"{index:04d}.png").unlink()
        (tmp_path / f"{index:04d}.png").write_bytes(b"\x89PNG broken")
    done = agelens("predict", tmp_path, "--format", "jsonl")
    assert done.returncode == 1
    pictures = [json.loads(line) for line in done.stdout.splitlines()]
    names = [Path(picture["path"]).name for picture in pictures]
    assert names == [f"{index:04d}.png" for index in range(2000)]
    ages = {face["age"] for picture in pictures for face in picture["faces"]}
    assert sum(len(picture["faces"]) for picture in pictures) == 250
    assert max(ages) - min(ages) < 0.01
    assert done.stderr.decode().count("the image is broken") == 3
    assert "3 of 2000 failed" in done.stderr.decode()

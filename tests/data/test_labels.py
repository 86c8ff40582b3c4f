"""Any pictures with a table of labels: what is read, what becomes of it, what is said of faults."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ASTRONAUT, make_chip
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from agelens import AgeEstimator, DataError
from agelens.cli.evaluation_output import print_evaluation
from agelens.data.labels import parse_columns
from agelens.data.manifest import Dataset, Source, usable
from agelens.data.prepare import prepare, summary
from agelens.evaluation.evaluate import evaluate
from agelens.evaluation.predictions import predict_split
from agelens.evaluation.results import Subject
from agelens.pipeline.model import AgeModel

SUBJECT = Subject(model="light", model_sha256="0", dataset="0", split="train")
COLUMNS = {"path": "file", "age": "AgeColumn", "gender": "Sex", "ethnicity": "Origin"}


@pytest.fixture(scope="module")
def album(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen wide pictures and sixteen tall ones, the face in a corner, in two folders."""
    folder = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(1)
    for index in range(32):
        chip = make_chip(photo, rng)
        canvas = np.full((200, 560, 3), 90, np.uint8)
        canvas[:, -200:] = chip
        if index % 2:
            canvas = np.full((560, 200, 3), 90, np.uint8)
            canvas[:200] = chip
        path = folder / ("tall" if index % 2 else "wide") / f"p{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(canvas).save(path)
    Image.fromarray(make_chip(photo, rng)).save(folder / "unlabelled.png")
    (folder / "notes.txt").write_text("no picture, no row")
    return folder


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    """The album's labels, with names of their own for the columns, and every kind of fault."""
    side = ["wide", "tall"] * 16
    frame = pd.DataFrame(
        {
            "file": [f"{side[index]}/p{index}.png" for index in range(32)],
            "AgeColumn": [str(20 + index % 4) for index in range(32)],
            "Sex": ["F", "not said"] * 16,
            "Origin": ["", "NA"] * 16,
        }
    )
    frame.loc[2, "AgeColumn"] = "23.9"
    frame.loc[[3, 4, 5], "AgeColumn"] = ["", "unknown", "NA"]
    frame.loc[6, "file"] = "p6.png"
    frame.loc[7, "file"] = ".\\tall\\p7.png"
    return pd.concat([frame, frame.iloc[[8]], frame.iloc[[9]].assign(file="gone.png")])


@pytest.fixture(scope="module")
def table(album: Path, labels: pd.DataFrame) -> Path:
    """Beside the pictures, where it must not become a row."""
    labels.to_csv(album / "labels.csv", index=False)
    return album / "labels.csv"


@pytest.fixture(scope="module")
def prepared(album: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("prepared")
    return prepare(album, folder, jobs=1, labels=table, columns=COLUMNS)


def test_labels_come_from_the_table(prepared: Dataset) -> None:
    manifest = prepared.manifest.set_index("path")
    assert len(manifest) == 33  # neither the table nor the notes
    assert manifest.loc["wide/p0.png", ["age", "gender"]].tolist() == [20, "F"]
    assert manifest["ethnicity"].isna()["wide/p0.png"]
    assert manifest.loc["tall/p1.png", ["gender", "ethnicity"]].tolist() == ["not said", "NA"]
    assert manifest["age"]["wide/p2.png"] == 23
    assert manifest["age"][["wide/p6.png", "tall/p7.png"]].tolist() == [22, 23]
    unknown = {"tall/p3.png", "wide/p4.png", "tall/p5.png", "unlabelled.png"}
    assert set(manifest.index[manifest["bad_name"]]) == unknown
    assert set(manifest.index[manifest["age"].isna()]) == unknown
    assert manifest["gender"]["wide/p4.png"] == "F"
    assert prepared.unmatched == 1
    assert summary(prepared.manifest, prepared.unmatched)["files"]["labels without a file"] == 1


def test_pictures_may_have_any_form(prepared: Dataset) -> None:
    manifest = prepared.manifest
    assert not manifest["wrong_size"].any()
    np.testing.assert_array_equal(prepared.template, AgeModel().template)
    found = ~manifest["no_face"]
    assert found.sum() >= 26
    assert not manifest["implausible_landmarks"][found].any()
    assert usable(manifest).sum() >= 22


def test_pictures_that_were_cut_out_alike_say_where_a_crop_has_its_landmarks(
    photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    names = [f"{index}.png" for index in range(24)]
    (tmp_path / "in").mkdir()
    for name in names:
        chip = np.asarray(Image.fromarray(make_chip(photo, rng)).resize((180, 180)))
        Image.fromarray(np.pad(chip, ((20, 40), (30, 30), (0, 0)))).save(tmp_path / "in" / name)
    table = tmp_path / "labels.csv"
    pd.DataFrame({"path": names, "age": 30}).to_csv(table, index=False)
    aligned = prepare(tmp_path / "in", tmp_path / "out", jobs=1, labels=table, aligned=True)
    train = aligned.part("train")
    points = np.stack(train["landmarks"].tolist()).reshape(len(train), -1, 2)[:, :4] / 240
    np.testing.assert_allclose(aligned.template, points.mean(axis=0), atol=1e-6)
    assert aligned.template[1, 0] - aligned.template[0, 0] < 0.31  # of the eyes; here 0.39
    assert not aligned.manifest["wrong_size"].any()
    with pytest.raises(DataError, match="--aligned is for pictures with --labels"):
        prepare(tmp_path / "in", tmp_path / "other", jobs=1, aligned=True)


def test_landmarks_are_judged_by_their_shape_not_by_the_picture_s(
    faces_folder: Path, tmp_path: Path
) -> None:
    """UTKFace names too: a picture that is wider than high keeps its faces plausible."""
    folder = tmp_path / "faces"
    shutil.copytree(faces_folder, folder)
    name = "16_0_2_20170116000000002.jpg.chip.jpg"
    chip = np.array(Image.open(folder / name))
    wide = np.concatenate([chip, np.zeros((200, 300, 3), np.uint8)], axis=1)
    Image.fromarray(wide).save(folder / name, "JPEG", quality=92)
    manifest = prepare(folder, tmp_path / "out", jobs=1).manifest.set_index("path")
    assert not manifest["no_face"][name]
    assert manifest["wrong_size"][name]
    assert not manifest["implausible_landmarks"][name]


def test_parquet_gives_what_csv_gives(
    album: Path, labels: pd.DataFrame, prepared: Dataset, tmp_path: Path
) -> None:
    for frame in (
        labels,
        labels.assign(AgeColumn=pd.to_numeric(labels["AgeColumn"], errors="coerce")),
        labels.assign(
            Sex=labels["Sex"].astype("category"), Origin=labels["Origin"].replace("", None)
        ),
    ):
        table = tmp_path / "labels.table"
        frame.to_parquet(table)
        shutil.copy(prepared.folder / "scan.jsonl", tmp_path)
        again = prepare(album, tmp_path, jobs=1, labels=table, columns=COLUMNS)
        assert again.digest == prepared.digest


BANDS = "path,age_low,age_high,split\n"


def test_bands_and_given_splits_in_the_manifest(
    album: Path, prepared: Dataset, tmp_path: Path
) -> None:
    table = tmp_path / "bands.csv"
    paths = sorted(path for path in prepared.manifest["path"] if "/" in path)
    parts = ["train"] * 24 + ["validation"] * 6 + ["test", ""]
    lines = [f"{path},20,29,{part}\n" for path, part in zip(paths, parts, strict=True)]
    table.write_text(BANDS + "".join(lines))
    shutil.copy(prepared.folder / "scan.jsonl", tmp_path)
    dataset = prepare(album, tmp_path, jobs=1, labels=table, about=Source("Album", "CC0"))
    manifest = dataset.manifest.set_index("path")
    assert manifest["age"].isna().all()
    assert set(manifest.loc[paths, ["age_low", "age_high"]].itertuples(index=False)) == {(20, 29)}
    assert set(manifest["source"]) == {"Album"}
    assert not manifest.loc[paths, "bad_name"].any()
    split = manifest.loc[paths, "split"].tolist()
    assert set(split[:24]) == {"train", "calibration"}
    assert split[:24].count("calibration") == 2
    assert split[24:31] == ["validation"] * 6 + ["test"]
    assert len(dataset.part("train")) == 0
    assert len(dataset.part("train", bands=True)) >= 15
    lines[0] = lines[0].replace("20,29", "30,39")
    table.write_text(BANDS + "".join(lines))
    assert prepare(album, tmp_path, jobs=1, labels=table).digest != dataset.digest


def test_a_manifest_of_an_older_version_is_refused(prepared: Dataset, tmp_path: Path) -> None:
    shutil.copy(prepared.folder / "manifest.parquet", tmp_path)
    (tmp_path / "dataset.json").write_text('{"root": ".", "template": [], "digest": "0"}')
    with pytest.raises(DataError, match="prepare` again"):
        Dataset.load(tmp_path)


def test_another_table_over_the_same_scan(faces_folder: Path, tmp_path: Path) -> None:
    """The scan keeps the labels of UTKFace names; a table's must win, and leave no trace."""
    by_name = prepare(faces_folder, tmp_path / "out", jobs=1)
    paths = by_name.manifest["path"]
    table, done = tmp_path / "labels.csv", []
    for age in (30, 40):
        pd.DataFrame({"path": paths, "age": age}).to_csv(table, index=False)
        dataset = prepare(
            faces_folder,
            tmp_path / "out",
            jobs=1,
            labels=table,
            progress=lambda count, total: done.append(total - count),
        )
        assert set(dataset.manifest["age"]) == {age}
        assert dataset.manifest["gender"].isna().all()
        assert not dataset.manifest["bad_name"].any()
        assert not dataset.manifest["label_conflict"].any()
        assert dataset.digest != by_name.digest
    assert done == [0, 0]  # nothing was scanned again
    again = prepare(faces_folder, tmp_path / "out", jobs=1)
    assert (again.digest, again.unmatched) == (by_name.digest, None)
    assert again.manifest.equals(by_name.manifest)


@pytest.mark.usefixtures("table")
def test_an_archive_with_a_table(
    album: Path, labels: pd.DataFrame, prepared: Dataset, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "album.tar", "w") as packed:
        packed.add(album, "album")
    inside = labels.assign(file="album/" + labels["file"].str.replace("p6.png", "wide/p6.png"))
    inside.loc[7, "file"] = "p7.png"
    inside.to_csv(tmp_path / "inside.csv", index=False)
    dataset = prepare(
        tmp_path / "album.tar", tmp_path, jobs=1, labels=tmp_path / "inside.csv", columns=COLUMNS
    )
    assert dataset.digest == prepared.digest


def test_everything_downstream_without_gender_and_ethnicity(
    album: Path, labels: pd.DataFrame, prepared: Dataset, tmp_path: Path
) -> None:
    from agelens.training.crops import aligned_crops

    table = tmp_path / "labels.csv"
    labels[["file", "AgeColumn"]].to_csv(table, index=False)
    shutil.copy(prepared.folder / "scan.jsonl", tmp_path)
    columns = {"path": "file", "age": "AgeColumn"}
    dataset = Dataset.load(prepare(album, tmp_path, jobs=1, labels=table, columns=columns).folder)
    assert dataset.manifest[["gender", "ethnicity"]].isna().all(axis=None)
    crops, rows = aligned_crops(dataset, "train", 32, margin=0)
    assert crops.shape == (len(rows), 32, 32, 3)
    assert crops.std(axis=(1, 2, 3)).min() > 20  # the face, not the empty canvas
    result = evaluate(predict_split(AgeEstimator(), dataset, "train", jobs=1), SUBJECT)
    assert set(result.groups) == {"age"}
    print_evaluation(result, details=True, console=Console(record=True, quiet=True))


def test_parts_that_cannot_be_measured_are_named(prepared: Dataset) -> None:
    train = prepared.manifest[prepared.manifest["split"] == "train"]
    dataset = dataclasses.replace(prepared, manifest=train)
    with pytest.raises(DataError, match="test part"):
        predict_split(AgeEstimator(), dataset, "test", jobs=1)
    rows = dataset.part("train").assign(predicted=np.nan)
    with pytest.raises(DataError, match="no face"):
        evaluate(rows, SUBJECT)


def test_columns_are_pairs() -> None:
    assert parse_columns("") == {}
    assert parse_columns("age=Age in years, path=a=b") == {"age": "Age in years", "path": "a=b"}
    for text, named in (
        ("sex=S", "sex"),
        ("age", "age"),
        ("age=", "age"),
        ("age=A,age=B", "twice"),
    ):
        with pytest.raises(DataError, match=named):
            parse_columns(text)


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (None, {}, "no such file"),
        (b"", {}, "cannot be read"),
        (b"PAR1 and no more", {}, "cannot be read"),
        (b"file,Age\na,1\n", {}, "'path'.*'file', 'Age'.*--columns path="),
        (b"path,age\nwide/p0.png,1\n", {"gender": "Sex"}, "'Sex' for the gender"),
        (b"path,age_low\na,1\n", {}, "'age_high' for the age_high"),
        (b"path,age,split\nwide/p0.png,1,exam\n", {}, "'exam' is none of: train, "),
        (b"path,age\n", {}, "no row names a file"),
        (b"path,age\n/elsewhere/x.png,1\n", {}, "the first is '/elsewhere/x.png'"),
        (b"path,age\nwide/p0.png,1\np0.png,2\n", {}, "label wide/p0.png differently"),
        (b"path,age\nwide/p0.png,old\n", {}, "row 2: 'old' is no age from 0 to 116"),
        (b"path,age\nwide/p0.png,\n", {}, "are the labels of these pictures"),
    ],
)
def test_faults_of_the_table_are_named(
    album: Path,
    prepared: Dataset,
    tmp_path: Path,
    content: bytes | None,
    columns: dict[str, str],
    said: str,
) -> None:
    table = tmp_path / "labels.csv"
    if content is not None:
        table.write_bytes(content)
    shutil.copy(prepared.folder / "scan.jsonl", tmp_path)
    with pytest.raises(DataError, match=said):
        prepare(album, tmp_path, jobs=1, labels=table, columns=columns)
    assert not (tmp_path / "manifest.parquet").exists()


def test_faults_of_the_folder_are_named(tmp_path: Path) -> None:
    folder, table = tmp_path / "pictures", tmp_path / "labels.csv"
    for name in ("one/a.jpg", "two/a.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"not a picture")
    table.write_text("path,age\na.jpg,1\n")
    with pytest.raises(DataError, match=r"one/a\.jpg or two/a\.jpg"):
        prepare(folder, tmp_path / "out", jobs=1, labels=table)
    table.write_text("path,age\none/a.jpg,1\n")
    with pytest.raises(DataError, match="no picture that can be read"):
        prepare(folder, tmp_path / "out", jobs=1, labels=table)
    with pytest.raises(DataError, match="--labels"):
        prepare(folder, tmp_path / "out", jobs=1, columns=COLUMNS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_odd_files_have_a_row_and_linked_folders_are_read(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(ASTRONAUT, folder / "a.jpg")
    with Image.open(ASTRONAUT) as portrait:
        portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(elsewhere / "b.jpg")
    (folder / "link").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(b"")
    table = tmp_path / "labels.csv"
    table.write_text("path,age,split\na.jpg,30,train\nin/link/b.jpg,31,test\n")
    rows = prepare(folder, tmp_path / "out", jobs=1, labels=table).manifest
    paths = ["a.jpg", "link/b.jpg", "nowhere.jpg", "pipe.jpg", "\\udcff.jpg"]
    assert sorted(rows["path"]) == sorted(paths)
    assert set(rows["path"][rows["unreadable"]]) == set(paths[2:])
    assert rows.set_index("path")["age"]["link/b.jpg"] == 31


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agelens", "data", "prepare", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120"},
    )


def test_the_command(album: Path, table: Path, prepared: Dataset, tmp_path: Path) -> None:
    options = ["-o", tmp_path, "--labels", table, "--jobs", "1"]
    pairs = ",".join(f"{name}={column}" for name, column in COLUMNS.items())
    nameless = command(album, *options, "--columns", pairs, "--name", "Album")
    assert nameless.returncode == 1
    assert "--licence" in nameless.stderr
    options += ["--name", "Album", "--licence", "CC0"]
    done = command(album, *options, "--columns", pairs)
    assert done.returncode == 0, done.stderr
    assert Dataset.load(tmp_path).sources == (Source("Album", "CC0"),)
    assert "labels without a file" in done.stdout
    assert prepared.digest[:12] in done.stdout
    refused = command(album, *options, "--columns", "sex=Sex")
    assert refused.returncode == 1
    assert "agelens: --columns: 'sex=Sex' is not NAME=COLUMN" in refused.stderr
    assert "Traceback" not in refused.stderr
    other = tmp_path / "other"
    other.mkdir()
    before = (tmp_path / "dataset.json").read_bytes()
    kept = command(other, "-o", tmp_path)
    assert kept.returncode == 1
    assert f"holds the dataset of {album.name}; choose another folder" in kept.stderr
    assert (tmp_path / "dataset.json").read_bytes() == before

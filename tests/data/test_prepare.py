"""From files to a manifest: names, sources, duplicates, flags, splits."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agelens import DataError
from agelens.data.duplicates import connected, near_pairs
from agelens.data.manifest import FLAGS, Dataset, usable
from agelens.data.prepare import prepare, summary
from agelens.data.scan import perceptual_hash, scan
from agelens.data.sources import Labels, list_files, parse_name, unpack
from agelens.data.split import PARTS, assign_splits
from agelens.parallel import silent
from agelens.pipeline.images import load_image


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("26_1_2_20170116154716047.jpg.chip.jpg", Labels(26, "female", "Asian")),
        ("116_0_0_20170112213500903.jpg.chip.jpg", Labels(116, "male", "White")),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", Labels(24, "male", "Black")),
        ("55_0_0_20170116232725357jpg.chip.jpg", Labels(55, "male", "White")),
        ("39_1_20170116174525125.jpg.chip.jpg", Labels(39, "female", None)),
        ("readme.txt", Labels(None, None, None)),
        ("117_0_0_20170116232725357.jpg", Labels(None, None, None)),
        ("1_2_0_20170116232725357.jpg", Labels(None, None, None)),
    ],
)
def test_names(name: str, labels: Labels) -> None:
    assert parse_name(name) == labels


@pytest.fixture(scope="module")
def prepared(faces_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(faces_folder, tmp_path_factory.mktemp("prepared"), jobs=2)


def flagged(dataset: Dataset, flag: str) -> set[str]:
    manifest = dataset.manifest
    return {path[:6] for path in manifest["path"][manifest[flag].astype(bool)]}


def test_every_file_has_a_row_and_nothing_is_deleted(prepared: Dataset, faces_folder: Path) -> None:
    assert prepared.manifest["path"].tolist() == sorted(list_files(faces_folder))
    assert len(prepared.manifest) == 69


def test_flags(prepared: Dataset) -> None:
    assert flagged(prepared, "bad_name") == {"39_1_2", "readme"}
    assert flagged(prepared, "unreadable") == {"58_0_0"}
    assert flagged(prepared, "wrong_size") == {"56_0_0"}
    assert flagged(prepared, "grey") == {"55_0_0", "57_0_0"}
    assert flagged(prepared, "no_face") == {"55_0_0"}
    assert flagged(prepared, "label_conflict") == {"8_1_1_", "33_0_1"}
    exact = prepared.manifest[prepared.manifest["exact_copy"]]
    assert len(exact) == 2


def test_duplicate_groups(prepared: Dataset) -> None:
    manifest = prepared.manifest.set_index("path")
    copies = manifest[manifest["duplicate_kind"] == "near"]
    assert {path[:6] for path in copies.index} == {"24_1_3"}
    assert copies["duplicate_group"].nunique() == 1
    assert (manifest["duplicate_kind"] == "exact").sum() == 4
    assert manifest.groupby("duplicate_group")["split"].nunique().max() == 1


def test_the_rule_of_what_is_read(prepared: Dataset) -> None:
    manifest = prepared.manifest
    read = manifest[usable(manifest)]
    assert not read[["unreadable", "no_face", "label_conflict", "exact_copy"]].any().any()
    assert read["age"].notna().all()
    assert "39_1_2" in {path[:6] for path in read["path"]}  # its age is known
    with_missed = manifest[usable(manifest, missed=True)]
    assert set(with_missed["path"]) - set(read["path"]) >= {
        path for path in manifest["path"] if path.startswith("55_0_0_2017011700")
    }
    assert summary(manifest)["files"]["usable"] == len(read)


def test_landmarks_lie_on_the_template(prepared: Dataset) -> None:
    right_eye, left_eye, nose, mouth = prepared.template
    assert right_eye[0] < nose[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
def test_an_archive_gives_the_folder_s_manifest(
    prepared: Dataset, faces_folder: Path, tmp_path: Path, kind: str
) -> None:
    archive = tmp_path / f"UTKFace.{kind}"
    names = list(list_files(faces_folder))
    random.Random(0).shuffle(names)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in names:
                packed.write(faces_folder / name, f"UTKFace/{name}")
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as packed:
            for name in names:
                packed.add(faces_folder / name, f"UTKFace/{name}")
    dataset = prepare(archive, tmp_path / "out", jobs=1)
    assert dataset.digest == prepared.digest
    assert dataset.manifest["split"].tolist() == prepared.manifest["split"].tolist()
    assert (dataset.root / dataset.manifest["path"][0]).is_file()
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert (Dataset.load(moved).root / dataset.manifest["path"][0]).is_file()


def test_a_killed_scan_goes_on(faces_folder: Path, tmp_path: Path, prepared: Dataset) -> None:
    journal = tmp_path / "scan.jsonl"
    whole = scan(faces_folder, journal, jobs=2, progress=silent)
    text = journal.read_text("utf-8").splitlines(keepends=True)
    journal.write_text("".join(text[:40]) + text[40][:25], "utf-8")  # cut short in a line
    done: list[int] = []
    again = scan(faces_folder, journal, jobs=2, progress=lambda n, _total: done.append(n))
    assert done[0] == 39  # the first line says what the rows depend on
    assert again == whole
    assert len(prepared.manifest) == len(again)


def test_a_changed_file_is_looked_at_again(faces_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(faces_folder, folder)
    before = prepare(folder, tmp_path / "out", jobs=2)
    victim = folder / before.manifest["path"][5]
    victim.write_bytes(b"gone")
    after = prepare(folder, tmp_path / "out", jobs=2)
    changed = after.manifest["sha256"] != before.manifest["sha256"]
    assert after.manifest["path"][changed].tolist() == [victim.name]
    assert after.manifest["unreadable"].sum() == before.manifest["unreadable"].sum() + 1


def test_unusable_sources_are_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no archive")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(b"\x1f\x8b\x08\x00broken")
    for source in (tmp_path / "nowhere", text, cut):
        with pytest.raises(DataError, match=source.name):
            unpack(source, tmp_path / "out")
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as packed:
        packed.writestr("../outside.txt", "x")
    with pytest.raises(DataError, match="outside"):
        unpack(evil, tmp_path / "out")
    assert not (tmp_path / "outside.txt").exists()
    with pytest.raises(DataError, match="data prepare"):
        Dataset.load(tmp_path)


@pytest.mark.parametrize("name", ["dataset.json", "manifest.parquet"])
def test_a_broken_dataset_is_refused(dataset: Dataset, tmp_path: Path, name: str) -> None:
    for file in ("dataset.json", "manifest.parquet"):
        shutil.copy(dataset.folder / file, tmp_path)
    whole, other = (tmp_path / name).read_bytes(), tmp_path / "other.parquet"
    pd.DataFrame({"age": [1]}).to_parquet(other)
    another = {
        "dataset.json": b'{"sources": [{"name": "x"}]}',
        "manifest.parquet": other.read_bytes(),
    }
    for broken in (whole[: len(whole) // 2], b"", b"[]", another[name]):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(DataError, match="cannot be read, is cut off, or is none"):
            Dataset.load(tmp_path)
    with pytest.raises(DataError, match="no manifest"):
        Dataset.load(tmp_path / name)  # a file where a folder belongs


def test_the_command_prints_a_summary(faces_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agelens", "data", "prepare", str(faces_folder)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "label conflict" in done.stdout
    manifest = pd.read_parquet(tmp_path / "out" / "manifest.parquet")
    assert set(FLAGS) <= set(manifest.columns)


def test_perceptual_hash_survives_compression_not_another_picture(faces_folder: Path) -> None:
    paths = sorted(faces_folder.glob("24_1_3_*"))
    assert len(paths) == 2
    first, second = (int(perceptual_hash(load_image(path)), 16) for path in paths)
    other = int(perceptual_hash(load_image(next(faces_folder.glob("16_0_2_*")))), 16)
    assert (first ^ second).bit_count() <= 40 < (first ^ other).bit_count()


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_near_pairs_are_all_of_them(seed: int, count: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 4, (count, 4), np.uint64)
    pairs = near_pairs(hashes, 2, block)
    expected = [
        (i, j, distance)
        for i in range(count)
        for j in range(i + 1, count)
        if (distance := sum(int(a ^ b).bit_count() for a, b in zip(*hashes[[i, j]], strict=True)))
        <= 2
    ]
    assert [tuple(pair) for pair in pairs] == expected


def test_connected_components() -> None:
    pairs = np.array([[4, 5], [1, 4], [2, 3]])
    assert connected(7, pairs).tolist() == [0, 1, 2, 2, 1, 1, 6]


def made_up(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sha = pd.Series([hashlib.sha256(f"{seed}:{i}".encode()).hexdigest() for i in range(count)])
    group = sha.where(rng.random(count) > 0.1).ffill().fillna(sha[0])
    ages = pd.Series(rng.gamma(3, 11, count).astype(int).clip(0, 116), dtype="Int64")
    return pd.DataFrame({"group": group, "age": ages, "sha256": sha})


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_splits_ignore_order_and_keep_groups(seed: int) -> None:
    frame = made_up(900, seed)
    split = assign_splits(frame["group"], frame["age"], frame["sha256"])
    shuffled = frame.sample(frac=1, random_state=seed)
    again = assign_splits(shuffled["group"], shuffled["age"], shuffled["sha256"])
    assert again.sort_index().tolist() == split.tolist()
    assert split.groupby(frame["group"]).nunique().max() == 1


def test_given_splits_are_kept_and_copies_follow_the_one_held_back_most() -> None:
    frame = made_up(4_000, 3)
    given = pd.Series(["train", "validation", "test", None] * 1_000, dtype="string")
    split = assign_splits(frame["group"], frame["age"], frame["sha256"], given)
    alone = ~frame["group"].duplicated(keep=False)
    for part in ("validation", "test"):
        assert set(split[alone & (given == part)]) == {part}
    learnt = split[alone & (given == "train")]
    assert set(learnt) == {"train", "calibration"}
    assert (learnt == "calibration").mean() == pytest.approx(0.08, abs=0.01)
    assert set(split[alone & given.isna()]) == {name for name, _ in PARTS}
    tested = (given == "test").groupby(frame["group"]).transform("any")
    assert set(split[tested]) == {"test"}
    assert (tested & ~alone & (given == "train")).any()


def test_splits_have_their_sizes_in_every_age_band() -> None:
    frame = made_up(20_000, 7)
    split = assign_splits(frame["group"], frame["age"], frame["sha256"])
    for name, size in PARTS:
        assert (split == name).mean() == pytest.approx(size, abs=0.004)
        for low in range(0, 70, 10):
            band = frame["age"].between(low, low + 9)
            assert (split[band] == name).mean() == pytest.approx(size, abs=0.02)

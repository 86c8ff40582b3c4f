"""Several prepared datasets as one: labels and splits stay, copies are not learnt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import make_chip
from numpy.typing import NDArray
from PIL import Image

from agelens import DataError
from agelens.data.join import join
from agelens.data.manifest import Dataset, Source, usable
from agelens.data.prepare import prepare, summary

FRAMES = {"whole": (slice(0, 300), slice(80, 380)), "near": (slice(30, 230), slice(120, 330))}
"""Of NASA's portrait: one photo, framed in two ways."""


@pytest.fixture(scope="module")
def sets(
    photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Dataset, Dataset]:
    """Ages to learn, and bands that are held back; two pictures of either show one photo."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    chips = [make_chip(photo, rng) for _ in range(24)]
    ages = {f"{index}.png": chip for index, chip in enumerate(chips[:12])}
    bands = {f"{index}.png": chip for index, chip in enumerate(chips[12:])}
    ages["framed.png"], bands["framed.png"] = photo[FRAMES["whole"]], photo[FRAMES["near"]]
    sleeve = photo[300:, :200]
    ages["same.png"], bands["another name.png"] = sleeve, cv2.resize(sleeve, (150, 159))
    prepared = []
    for name, pictures, row in (
        ("ages", ages, "{},30,,,train\n"),
        ("bands", bands, "{},,20,29,test\n"),
    ):
        (folder / name).mkdir()
        for path, picture in pictures.items():
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / name / path)
        lines = "".join(map(row.format, pictures)).replace(
            "0.png,,20,29,test", "0.png,,20,29,train"
        )
        table = folder / f"{name}.csv"
        table.write_text("path,age,age_low,age_high,split\n" + lines)
        about = Source(name, f"licence of {name}")
        out = folder / "prepared" / name
        prepared.append(prepare(folder / name, out, jobs=1, labels=table, about=about))
    return prepared[0], prepared[1]


@pytest.fixture(scope="module")
def joined(sets: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return join(sets, tmp_path_factory.mktemp("joined"), jobs=1)


def test_rows_keep_labels_and_splits_and_are_found(
    sets: tuple[Dataset, Dataset], joined: Dataset
) -> None:
    assert joined.sources == (
        Source("ages", "licence of ages"),
        Source("bands", "licence of bands"),
    )
    assert len(joined.manifest) == 28
    for dataset in sets:
        rows = joined.manifest[joined.manifest["source"] == dataset.sources[0].name]
        for name in ("sha256", "age", "age_low", "age_high", "split", "label_conflict"):
            assert rows[name].tolist() == dataset.manifest[name].tolist(), name
        for row in rows.itertuples():
            assert (joined.root / row.path).is_file()
    np.testing.assert_array_equal(joined.template, sets[0].template)
    assert joined.digest not in {dataset.digest for dataset in sets}


def test_what_resembles_a_picture_held_back_is_not_learnt(joined: Dataset) -> None:
    rows = joined.manifest
    copies = rows[rows["held_out_copy"]]
    assert set(copies["source"]) == {"ages"}
    names = set(copies["path"].str.rpartition("/")[2])
    assert {"same.png", "framed.png"} <= names  # without a face, and with one in another frame
    assert len(names) < 14  # all chips are of one face, but not all alike
    assert not usable(rows, missed=True)[rows["held_out_copy"]].any()
    sources = rows.groupby("duplicate_group")["source"].nunique()
    assert set(sources[copies["duplicate_group"]]) == {2}
    assert set(copies["duplicate_kind"]) == {"near"}
    counts = summary(rows)["left out, as another holds back a copy"]
    assert counts == {"ages": len(copies), "bands": 0}


def test_joined_again_it_is_the_same(
    sets: tuple[Dataset, Dataset], joined: Dataset, tmp_path: Path
) -> None:
    again = join([sets[1], sets[0]], tmp_path, jobs=2)
    assert again.digest == joined.digest
    pd.testing.assert_frame_equal(again.manifest, joined.manifest)


def test_what_cannot_be_joined_is_named(sets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    one, _ = sets
    renamed = dataclasses.replace(one, sources=(Source("again", "none"),))
    for datasets, said in (
        ([one], "two prepared datasets"),
        ([one, one], "named 'ages'"),
        ([one, renamed], "the same pictures"),
    ):
        with pytest.raises(DataError, match=said):
            join(datasets, tmp_path, jobs=1)
    assert not (tmp_path / "manifest.parquet").exists()

"""What is computed once and kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agelens.data.cache import cached_table, keyed_path


def test_a_table_is_made_once_for_the_same_facts(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> pd.DataFrame:
        made.append(1)
        return pd.DataFrame({"age": [len(made)]}, index=[7])

    first = keyed_path(tmp_path / "cache", "ages", ".parquet", model="a", size=3)
    assert first == keyed_path(tmp_path / "cache", "ages", ".parquet", size=3, model="a")
    for _ in range(2):
        table = cached_table(first, make)
        pd.testing.assert_frame_equal(table, pd.DataFrame({"age": [1]}, index=[7]))
    other = keyed_path(tmp_path / "cache", "ages", ".parquet", model="b", size=3)
    assert cached_table(other, make)["age"].tolist() == [2]
    assert len(list((tmp_path / "cache").iterdir())) == 2

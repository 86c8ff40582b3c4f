"""What a user names becomes the same shards every time."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from agelens.batch.plan import Plan
from agelens.batch.shards import Shard, list_shards
from agelens.batch.storage import Storage


def listed(*inputs: str, **options: object) -> list[Shard]:
    return list(list_shards(inputs, Storage(), **{"size": 1000, **options}))  # type: ignore[arg-type]


def names(shards: list[Shard]) -> list[str]:
    return [name for shard in shards for name in shard.names]


def test_first_shards_are_small_and_later_ones_have_a_part_of_what_was_before() -> None:
    lines = [f"{index}.jpg\n" for index in range(40_000)]
    shards = listed("-", lines=lines, size=150)
    sizes = [len(shard.names) for shard in shards]
    assert sizes[:3] == [64, 64, 64]
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]
    assert max(sizes) == 150
    assert names(shards) == [line.strip() for line in lines]
    assert len({shard.name for shard in shards}) == len(shards)
    assert [shard.name for shard in listed("-", lines=lines, size=150)] == [
        shard.name for shard in shards
    ]
    assert listed("-", lines=[*lines[:15], "x.jpg"])[0].name != shards[0].name


def test_an_address_of_a_folder_is_its_pictures_at_any_depth() -> None:
    store = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/2.PNG", "a/1.jpg", "a/._1.jpg", "a/c/x.webp", "notes.txt"):
        store.pipe_file(f"/shop/{name}", b"x")
    try:
        below = ["memory://shop/b.jpg", "memory://shop/a/1.jpg", "memory://shop/a/2.PNG",
                 "memory://shop/a/c/x.webp"]  # fmt: skip
        found = [name.replace("memory:///", "memory://") for name in names(listed("memory://shop"))]
        assert found == below
        assert len(names(listed("memory://shop/a/*.jpg"))) == 1
        (empty,) = listed("memory://shop/a/c/nothing*")
        assert empty.problems == ((0, "fits no file"),)
    finally:
        store.rm("/shop", recursive=True)
    (missing,) = listed("memory://shop")
    assert missing.problems


def test_tables_and_tars_are_known_by_their_endings(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,url\n1,a.jpg\n2,"s3://b/c,d.jpg"\n3,\n4,/abs.png\n')
    (tmp_path / "x.tar.gz").write_bytes(b"")
    rows, tar = listed(str(tmp_path / "t.csv"), str(tmp_path / "x.tar.gz"), column="url")
    table = str(tmp_path / "t.csv")
    assert rows.names == (f"{tmp_path}/a.jpg", "s3://b/c,d.jpg", table, "/abs.png")
    assert rows.problems == ((2, "a row has no address"),)
    assert (tar.kind, tar.address, tar.number) == ("tar", str(tmp_path / "x.tar.gz"), 1)
    (broken,) = listed("nowhere.parquet")
    assert "No such file" in broken.problems[0][1]


def test_a_plan_is_read_while_it_is_made_and_keeps_any_name() -> None:
    name = b"\xff [1].jpg".decode("utf-8", "surrogateescape")
    plan = Plan(
        [Shard(names=(name, "顔.jpg"), problems=((1, "no"),)), Shard(1, "tar", address="t")]
    )
    try:
        assert list(plan) == [
            Shard(names=(name, "顔.jpg"), problems=((1, "no"),)), Shard(1, "tar", address="t")
        ]  # fmt: skip
        assert (plan.pictures, plan.shards, plan.complete, plan.only_lists) == (2, 2, True, False)
    finally:
        plan.close()

    def failing() -> object:
        yield Shard()
        raise OSError("gone")

    plan = Plan(failing())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        list(plan)
    plan.close()

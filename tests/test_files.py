"""Files are written whole or not at all, onto what a link leads to, and into devices."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agelens.errors import OutputError
from agelens.files import (
    MOST_BYTES,
    Inputs,
    atomic_path,
    on_one_line,
    portable_name,
    read_whole,
    short_name,
)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), atomic_path(path) as partial:
        fail(partial)
    assert not list(path.parent.iterdir())
    with atomic_path(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == ["rows.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("before")
    link.symlink_to(real)
    with atomic_path(link) as partial:
        partial.write_text("after")
    assert link.is_symlink()
    assert real.read_text() == "after"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_gets_the_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with atomic_path(pipe) as partial:
        partial.write_bytes(b"all of it")
    reader.join(10)
    assert read == [b"all of it"]
    assert pipe.is_fifo()


def test_what_has_no_end_or_is_too_large_for_a_picture_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(OSError, match="larger than 2 GB"):
        read_whole(tmp_path / "large")
    if os.name == "posix":
        with pytest.raises(OSError, match="a device"):
            read_whole("/dev/zero")


def test_names_for_every_system_and_for_a_line_of_a_terminal() -> None:
    assert portable_name('0-a:b?"<c>|d*\\e\x1f.jpg. ') == "0-a_b___c__d__e_.jpg"
    assert portable_name("0-été \udcff.jpg") == "0-été _udcff.jpg"
    assert (
        on_one_line("a\n\x1b[31m\u202eb.jpg 照片\u3000é") == "a\\n\\x1b[31m\\u202eb.jpg 照片\u3000é"
    )


def test_inputs_are_known_however_they_are_spelt(tmp_path: Path) -> None:
    path, other = tmp_path / "a.jpg", tmp_path / "hard.jpg"
    path.write_bytes(b"picture")
    os.link(path, other)
    inputs = Inputs([path, tmp_path / "gone.jpg"])
    (tmp_path / "x").mkdir()
    yet_to_be_made = tmp_path / "y" / ".." / "a.jpg"
    for spelling in (path, tmp_path / "x" / ".." / "a.jpg", yet_to_be_made, other):
        with pytest.raises(OutputError, match="is an input"), atomic_path(spelling, inputs=inputs):
            pass
    assert path.read_bytes() == b"picture"


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot be written .*file is no folder"):
        Inputs().refuse(tmp_path / "file" / "new" / "a.json")
    Inputs().refuse(tmp_path / "new" / "newer" / "a.json")
    assert not (tmp_path / "new").exists()
    closed = Path("/proc/self")  # to root as well, on most systems
    if closed.exists() and not os.access(closed, os.W_OK):
        with pytest.raises(OutputError, match=r"/proc/.* may not be written to"):
            Inputs().refuse(closed / "new" / "a.json")


def test_long_names_keep_their_beginning_and_ending() -> None:
    long = "顔" * 200 + ".jpg"
    short = short_name(long)
    assert len(os.fsencode(short)) <= 255
    assert short.startswith("顔顔")
    assert short.endswith(".jpg")
    assert short_name("a.jpg") == "a.jpg"
    assert short_name(long) != short_name("顔" * 201 + ".jpg")

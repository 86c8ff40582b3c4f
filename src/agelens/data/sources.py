"""Where a dataset's files come from: the official tar.gz, a zip of it, or the unpacked folder."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from agelens.ages import MAX_AGE
from agelens.errors import DataError
from agelens.files import Inputs, atomic_path, walk_files

GENDERS = ("male", "female")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "Others")

_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?:(?P<ethnicity>[0-4])_)?(?=\d{14})")

BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    KeyError,  # a link to what is not in the archive
    RuntimeError,  # a password is needed, or a compression is not known
)  # fmt: skip
"""What reading an archive may raise."""


class Labels(NamedTuple):
    """What a UTKFace file name or a table says of a picture. None where it does not say it.

    An age is known in years, or as a band from `age_low` to `age_high` years, both included.
    `split` is the part that a table puts the picture in.
    """

    age: int | None
    gender: str | None
    ethnicity: str | None
    age_low: int | None = None
    age_high: int | None = None
    split: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that a UTKFace name can say is known."""
        return None not in (self.age, self.gender, self.ethnicity)

    @property
    def aged(self) -> bool:
        """Whether an age is known, in years or as a band."""
        return self.age is not None or self.age_low is not None


UNKNOWN = Labels(None, None, None)


def parse_name(name: str) -> Labels:
    """Read ``[age]_[gender]_[race]_[date&time].jpg.chip.jpg``; three files lack the race.

    Args:
        name: the file's name without its folder.

    Returns:
        The labels; all None when the name is of another form.
    """
    match = _NAME.match(name)
    if match is None or int(match["age"]) > MAX_AGE:
        return UNKNOWN
    race = match["ethnicity"]
    return Labels(
        int(match["age"]),
        GENDERS[int(match["gender"])],
        None if race is None else ETHNICITIES[int(race)],
    )


def unpack(
    source: Path, target: Path, *, inputs: Inputs | None = None, replace: bool = False
) -> Path:
    """Make the files of `source` readable as a folder, without changing any that is there.

    Args:
        source: a tar (any compression), a zip, or a folder; a folder is used where it is.
        target: folder that an archive is unpacked into; files that are there already are kept,
            so an interrupted call goes on where it stopped.
        inputs: files that must not be written over.
        replace: write over files that are there and have another content.

    Returns:
        The folder that holds the files.

    Raises:
        DataError: when the source is missing, broken, or neither archive nor folder; or when it
            holds other files than those of their names in `target`.
        OutputError: a file cannot be written, or is one of `inputs`.
    """
    if source.is_dir():
        return source
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder")
    try:
        for path, content in _members(source, target):
            if path.is_file():
                if path.read_bytes() == content:
                    continue
                if not replace:
                    raise DataError(
                        f"{path}: is there already, and not the one of {source}; choose another "
                        "folder, or write over it with --replace"
                    )
            with atomic_path(path, inputs=inputs) as partial:
                partial.write_bytes(content)
    except BROKEN as error:
        raise DataError(f"{source}: cannot be unpacked into {target} ({error})") from error
    return target


def _members(source: Path, target: Path) -> Iterator[tuple[Path, bytes]]:
    """Where each file of an archive goes, and what is in it; of two of one name, the last."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            for path, info in {_inside(target, info.filename): info for info in infos}.items():
                yield path, archive.read(info)
    elif tarfile.is_tarfile(source):
        with tarfile.open(source) as tar:
            # A second hard link to a file is in a tar as a link to the first.
            files = [member for member in tar if member.isfile() or member.islnk()]
            for path, member in {_inside(target, member.name): member for member in files}.items():
                stream = tar.extractfile(member)
                assert stream is not None, "of a file it is none only for folders"
                yield path, stream.read()
    else:
        raise DataError(f"{source}: neither a folder, nor a tar, nor a zip archive")


def list_files(folder: Path) -> Iterator[str]:
    """Paths of all files below `folder`, relative, with forward slashes, without hidden ones.

    Raises:
        DataError: a folder below it cannot be listed.
    """
    problems: list[OSError] = []
    for file in walk_files(str(folder), _hidden, problems):
        yield file.relative_to(folder).as_posix()
    for error in problems:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _inside(target: Path, name: str) -> Path:
    """The path of an archive's member below `target`; a name that leads out of it is refused."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise DataError(f"the archive holds a file outside its folder: {name}")
    return target / parts

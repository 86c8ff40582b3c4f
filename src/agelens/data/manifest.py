"""The manifest: a row for every file, and the one rule of what training and evaluation read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data.duplicates import NEAR_BITS, connected, near_pairs, parse_hashes
from agelens.data.landmarks import alignment_points, template_residuals
from agelens.data.split import PARTS, assign_splits
from agelens.errors import DataError, UnreadableImageError
from agelens.files import atomic_path, printable, read_whole
from agelens.pipeline.align import ALIGNMENT_POINTS

MANIFEST, ABOUT = "manifest.parquet", "dataset.json"
"""The files of a prepared dataset, beside its pictures."""
LABEL_FLAGS = ("unreadable", "label_conflict", "exact_copy")
"""Flags that keep a row out of training and evaluation: no sure label, or counted already."""
COPY_FLAG = "held_out_copy"
"""Keeps a row of a joined dataset out of both: another set holds back a picture that it is like."""
FACE_FLAGS = ("no_face", "implausible_landmarks")
"""Flags that also keep a row out of training; evaluation reads it, and counts what it misses."""
NOTE_FLAGS = ("bad_name", "wrong_size", "grey")
"""Flags that inform only. `bad_name`: a bad name, or no usable label in the table; a name without
the race still gives the age."""
FLAGS = (*LABEL_FLAGS, *FACE_FLAGS, *NOTE_FLAGS)
EXPECTED_SIZE = (200, 200)
"""Of UTKFace's pictures."""
MAX_RESIDUAL = 0.08
"""Largest distance, as a fraction of the face box, between landmarks and the template fitted to
them, in UTKFace. 99.7 % of it is below; above are profiles, and patterns that are no face."""
MAX_RESIDUAL_ANYWHERE = 0.15
"""The same for pictures with the face anywhere, of which many are profiles (11 % of FairFace are
above the limit of UTKFace, 1 % above this): whoever is served has such pictures, too."""


class Source(NamedTuple):
    """A set of pictures: what it is called, and on which terms it may be used."""

    name: str
    licence: str


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset: its folder, manifest, and alignment template ``[4, 2]``.

    `sources` are the sets that it was made from, which the manifest's column of that name speaks
    of. `unmatched` counts the rows of its table of labels that name no file; None without a table.
    """

    folder: Path
    root: Path
    manifest: pd.DataFrame
    template: NDArray[np.float64]
    digest: str
    sources: tuple[Source, ...]
    unmatched: int | None = None

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read what `agelens data prepare` wrote into `folder`.

        Raises:
            DataError: it holds no dataset, one of an older agelens, or a broken one.
        """
        try:
            about = json.loads((folder / ABOUT).read_text("utf-8"))
            manifest = pd.read_parquet(folder / MANIFEST)
            if "digest" in about and "sources" not in about:
                raise DataError(
                    f"{folder}: prepared by an older agelens; run `agelens data prepare` again, "
                    "which looks only at files that changed"
                )
            root = folder / about["root"]  # an absolute root replaces the folder
            template = np.array(about["template"], float).reshape(ALIGNMENT_POINTS, 2)
            sources = tuple(Source(**source) for source in about["sources"])
            if not {"path", "sha256", "split", "age_low", "age_high", *FLAGS} <= set(manifest):
                raise ValueError("another table")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                f"{folder}: no manifest; run `agelens data prepare SOURCE -o {folder}` first"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:  # what PyArrow raises, too
            raise DataError(
                f"{folder}: {ABOUT} or {MANIFEST} cannot be read, is cut off, or is none of "
                "agelens's; run `agelens data prepare` again"
            ) from error
        return cls(
            folder, root, manifest, template, about["digest"], sources, about.get("unmatched")
        )

    def files(self) -> list[Path]:
        """All files that are read of it."""
        pictures = [self.root / path for path in self.manifest["path"]]
        return [self.folder / MANIFEST, self.folder / ABOUT, *pictures]

    def picture(self, row: Any) -> Path:
        """The file of a row (a named tuple), which is still what was prepared.

        Raises:
            UnreadableImageError: it cannot be read, or its content is another one now.
        """
        path = self.root / str(row.path)
        try:
            found = hashlib.sha256(read_whole(path)).hexdigest()
        except OSError as error:
            raise UnreadableImageError(str(path), error.strerror or str(error)) from error
        if found != row.sha256:
            raise UnreadableImageError(str(path), "not the file that `agelens data prepare` read")
        return path

    def part(self, split: str, *, missed: bool = False, bands: bool = False) -> pd.DataFrame:
        """The rows of a split that its users may read; see `usable`.

        Args:
            split: its name.
            missed: keep the rows in which no plausible face was found.
            bands: keep the rows whose age is a band, so that they have no ``age``.
        """
        if split not in dict(PARTS):
            raise DataError(f"no split is named {split!r}; there are: {', '.join(dict(PARTS))}")
        rows = self.manifest[usable(self.manifest, missed=missed)]
        rows = rows[rows["split"] == split]
        return rows[rows["age"].notna() | bands].reset_index(drop=True)


def usable(manifest: pd.DataFrame, *, missed: bool = False) -> pd.Series:
    """The one rule: which rows training and evaluation read.

    A row counts when it is readable, its age is known, in years or as a band, no copy of it carries
    another label, and it is the first of its exact copies. In a joined dataset, no picture like it
    is held back by another set. Training also needs its face.

    Args:
        manifest: as `build` returns it.
        missed: keep the rows in which no plausible face was found (evaluation counts them).
    """
    flags = [*LABEL_FLAGS, COPY_FLAG, *(() if missed else FACE_FLAGS)]
    return manifest["age_low"].notna() & ~manifest[flags].any(axis=1)


def build(
    rows: list[dict[str, Any]],
    source: str,
    template: NDArray[np.float64] | None = None,
    *,
    utkface: bool = False,
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Turn scanned rows into the manifest: groups, flags, splits, and the template.

    Args:
        rows: from `agelens.data.scan.scan`, any order, with the labels of a table, if there is one.
        source: name of the set.
        template: ``[4, 2]``, for pictures with the face anywhere. None: it is at one place in all,
            and the template is learnt.
        utkface: the pictures are UTKFace's: of one size, and few of them profiles.

    Returns:
        The manifest, sorted by path, and the alignment template ``[4, 2]``: the given one, or
        that learnt from the training rows, as fractions of the picture's side.

    Raises:
        DataError: no picture could be trained on.
    """
    if all(row["phash"] is None for row in rows):
        raise DataError("the source holds no picture that can be read")
    rows = [row | {"path": printable(row["path"])} for row in rows]
    frame = pd.DataFrame(rows).drop(columns=["stamp"], errors="ignore")
    frame = frame.sort_values("path", ignore_index=True)
    frame = frame.reindex(columns=list(dict.fromkeys([*frame, "age_low", "age_high", "split"])))
    for column in ("age", "age_low", "age_high", "width", "height"):
        frame[column] = frame[column].astype("Int64")
    for end in ("age_low", "age_high"):
        frame[end] = frame[end].fillna(frame["age"])
    frame["source"] = pd.Series(source, index=frame.index, dtype="string")
    frame[COPY_FLAG] = False
    frame["wrong_size"] = (
        utkface
        & frame["width"].notna()
        & ((frame["width"] != EXPECTED_SIZE[0]) | (frame["height"] != EXPECTED_SIZE[1]))
    )
    frame["exact_copy"] = frame["sha256"].notna() & frame.duplicated("sha256")
    frame["duplicate_group"], frame["duplicate_kind"] = duplicate_groups(frame)
    groups = frame.groupby("duplicate_group")
    conflicting = (groups[["gender", "ethnicity"]].nunique() > 1).any(axis=1)
    conflicting |= (groups["age_low"].max() > groups["age_high"].min()).fillna(False)
    frame["label_conflict"] = frame["duplicate_group"].map(conflicting).astype(bool)
    middle = (frame["age_low"] + frame["age_high"]) / 2
    split = assign_splits(frame["duplicate_group"], middle, frame["sha256"], frame["split"])
    frame["calibration"] = (split == "calibration").fillna(False)
    frame["split"] = split
    points = alignment_points(frame)
    rough = np.nanmedian(points, axis=0) if template is None else template
    limit = MAX_RESIDUAL if utkface else MAX_RESIDUAL_ANYWHERE
    frame["implausible_landmarks"] = template_residuals(points, rough) > limit
    learnt = usable(frame) & (frame["split"] == "train")
    if not learnt.any():
        hint = "are the labels of these pictures?"
        if utkface:
            hint = "is this UTKFace? Other pictures need --labels"
        raise DataError(f"no usable face with an age is in the training part: {hint}")
    if template is None:
        template = points[learnt.to_numpy()].mean(axis=0).round(6)
    return frame, template


def digest(manifest: pd.DataFrame) -> str:
    """Identity of what a model was trained on: contents, labels, flags and splits, no paths."""
    columns = ["sha256", "age", "gender", "ethnicity", "split", *FLAGS]
    rows = manifest[~manifest[COPY_FLAG]].sort_values(["sha256", "path"])
    low, high = (rows[end].astype("string") for end in ("age_low", "age_high"))
    rows["age"] = low.where(low == high, low + "-" + high)
    text = rows[columns].to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def save(
    folder: Path,
    root: Path,
    manifest: pd.DataFrame,
    template: NDArray[np.float64],
    sources: Sequence[Source],
    unmatched: int | None = None,
    *,
    made_from: str,
) -> Dataset:
    """Write manifest.parquet and dataset.json into `folder`, each whole or not at all.

    `made_from` names the archive or folder, so that another does not replace it unasked.
    """
    inside = root.resolve().is_relative_to(folder.resolve())
    about: dict[str, Any] = {
        "root": str(root.resolve().relative_to(folder.resolve()) if inside else root.resolve()),
        "template": template.tolist(),
        "digest": digest(manifest),
        "sources": [source._asdict() for source in sources],
        "made_from": made_from,
    }
    if unmatched is not None:
        about["unmatched"] = unmatched
    # Both are written before either is put in place, so that they are of one dataset.
    with atomic_path(folder / ABOUT) as facts, atomic_path(folder / MANIFEST) as rows:
        facts.write_text(json.dumps(about, indent=2) + "\n", "utf-8")
        manifest.to_parquet(rows, index=False)
    return Dataset.load(folder)


def refuse_another(folder: Path, made_from: str) -> None:
    """Let pass a folder that holds no dataset, or the one that is made from this again.

    Raises:
        DataError: it holds a dataset that was made from something else, or files of these names
            that are none of agelens's.
    """
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        known = "digest" in about and "template" in about
        before = about.get("made_from") if known else None
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, TypeError, AttributeError):
        known, before = False, None
    if not known:
        raise DataError(
            f"{folder / ABOUT}: is there already, and not of agelens; choose another folder, or "
            "replace that file with --replace"
        )
    if before not in (None, made_from):
        raise DataError(
            f"{folder}: holds the dataset of {before}; choose another folder, or replace that "
            "dataset with --replace"
        )


def duplicate_groups(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """A group for every row, named by its smallest sha256, and its kind: "", exact or near."""
    first_of = frame.reset_index().groupby("sha256")["index"].transform("min")
    exact = np.column_stack([frame.index, first_of.fillna(pd.Series(frame.index)).astype(int)])
    hashed = np.flatnonzero(frame["phash"].notna() & ~frame["exact_copy"])
    pairs = near_pairs(parse_hashes(frame["phash"].iloc[hashed].tolist()), NEAR_BITS)
    near = hashed[pairs[:, :2]]
    label = connected(len(frame), np.concatenate([exact, near]))
    name = frame["sha256"].fillna("unreadable:" + frame["path"])
    group = name.groupby(label).transform("min").astype("string")
    several = group.duplicated(keep=False)
    contents = frame["sha256"].groupby(group).transform("nunique")
    kind = pd.Series(np.where(~several, "", np.where(contents > 1, "near", "exact")))
    return group, kind.astype("string")

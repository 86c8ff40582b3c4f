"""Several prepared datasets as one, with their near copies found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data import manifest
from agelens.data.duplicates import FACE_BITS, connected, near_pairs, parse_hashes
from agelens.data.landmarks import landmarks_of
from agelens.data.scan import perceptual_hash
from agelens.data.split import PARTS
from agelens.errors import DataError
from agelens.files import Inputs
from agelens.parallel import Progress, silent
from agelens.pipeline.align import align_face
from agelens.pipeline.images import load_image

HASHED_SIDE = 64
"""Side in pixels of the aligned faces that are hashed."""


def join(
    datasets: Sequence[manifest.Dataset],
    folder: Path,
    *,
    jobs: int,
    progress: Progress = silent,
) -> manifest.Dataset:
    """Write one manifest of all rows. No picture is copied, moved or changed.

    Every row keeps its label, flags and split, so that a set is evaluated here as by itself. Only
    copies across the sets are looked for: as `agelens data prepare` does within one, and by their
    aligned faces, because sets frame one photo differently. Of the rows of a group of copies, those
    in the part that is held back most (test, then calibration, then validation) stay in use; the
    others get the flag ``held_out_copy``, and nothing reads them.

    Args:
        datasets: prepared, each from other pictures; crops are aligned by the first one's template.
        folder: where the manifest goes.
        jobs: threads.
        progress: called with the number of faces looked at and their total.

    Raises:
        DataError: fewer than two, two of one name, no folder holds the pictures of all, or `folder`
            holds another dataset.
    """
    sources = [source for dataset in datasets for source in dataset.sources]
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if len(datasets) < 2:
        raise DataError("name two prepared datasets or more to join")
    if twice:
        raise DataError(f"two datasets are named {twice[0]!r}; prepare one with another --name")
    made_from = " and ".join(sorted(names))
    manifest.refuse_another(folder, made_from)
    inputs = Inputs(path for dataset in datasets for path in dataset.files())
    inputs.refuse(folder / manifest.MANIFEST, folder / manifest.ABOUT)
    roots = [dataset.root.resolve() for dataset in datasets]
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:
        raise DataError("the datasets' pictures are on different drives") from error
    frame = pd.concat(
        [
            dataset.manifest.assign(path=_prefixed(dataset.manifest["path"], own, root))
            for dataset, own in zip(datasets, roots, strict=True)
        ],
        ignore_index=True,
    ).sort_values("path", ignore_index=True)
    if frame["path"].duplicated().any():
        raise DataError("two of the datasets hold the same pictures")
    _group_copies(frame, root, datasets[0].template, jobs, progress)
    held = frame["split"].map({name: order for order, (name, _) in enumerate(PARTS)}).astype(float)
    frame[manifest.COPY_FLAG] = held < held.groupby(frame["duplicate_group"]).transform("max")
    return manifest.save(folder, root, frame, datasets[0].template, sources, made_from=made_from)


def _group_copies(
    frame: pd.DataFrame,
    root: Path,
    template: NDArray[np.float64],
    jobs: int,
    progress: Progress,
) -> None:
    """Put the rows of one photo into one group, whichever sets they are of."""
    group, kind = manifest.duplicate_groups(frame)
    faces = np.flatnonzero(frame["landmarks"].notna())

    def face_hash(row: object) -> str:
        image = load_image(root / row.path)  # type: ignore[attr-defined]
        return perceptual_hash(align_face(image, landmarks_of(row), template, HASHED_SIDE))

    hashes = []
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(face_hash, frame.iloc[faces].itertuples()):
            hashes.append(found)
            progress(len(hashes), len(faces))
    pairs = faces[near_pairs(parse_hashes(hashes), FACE_BITS)[:, :2]]
    sources = frame["source"].to_numpy()
    across = pairs[sources[pairs[:, 0]] != sources[pairs[:, 1]]]
    first = pd.Series(frame.index).groupby(group).transform("min")
    label = connected(len(frame), np.concatenate([np.column_stack([frame.index, first]), across]))
    frame["duplicate_group"] = group.groupby(label).transform("min").astype("string")
    linked = np.isin(label, label[across[:, 0]])
    frame["duplicate_kind"] = kind.mask(linked, "near")


def _prefixed(paths: pd.Series, own: Path, root: Path) -> pd.Series:
    prefix = own.relative_to(root).as_posix()
    return paths if prefix == "." else prefix + "/" + paths

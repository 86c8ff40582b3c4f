"""`agelens data prepare`: from a raw source to a manifest, in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from agelens.data import manifest
from agelens.data.labels import LabelTable
from agelens.data.scan import Row, scan
from agelens.data.sources import UNKNOWN, Labels, list_files, unpack
from agelens.errors import DataError
from agelens.files import Inputs
from agelens.parallel import Progress, silent
from agelens.pipeline.images import SUFFIXES
from agelens.pipeline.model import AgeModel

UTKFACE = manifest.Source("UTKFace", "non-commercial research use only")
UNNAMED = manifest.Source("unnamed", "not stated")


def prepare(
    source: Path,
    folder: Path,
    *,
    jobs: int,
    about: manifest.Source | None = None,
    labels: Path | None = None,
    columns: Mapping[str, str] | None = None,
    aligned: bool = False,
    replace: bool = False,
    progress: Progress = silent,
) -> manifest.Dataset:
    """Scan a dataset and write its manifest. Nothing of the source is changed or deleted.

    Interrupted, it goes on where it stopped; called again, it looks only at files that changed.

    Args:
        source: a tar, a zip or a folder, of UTKFace or, with `labels`, of any pictures.
        folder: where the manifest goes, and the pictures of an archive (``images/``).
        jobs: threads.
        about: the set's name and licence, which the manifest keeps, and the models learnt from it;
            by default UTKFace's, and with `labels` that nothing is known.
        labels: a table of the pictures' labels, in place of what their names say. Pictures that
            it does not name have none, and other files that it does not name are left out.
        columns: the table's own names of its columns; see `LabelTable.read`.
        aligned: the face is at one place in all pictures, as it is in UTKFace: learn from them
            where a crop has its landmarks, in place of what the model `light` learnt of UTKFace.
        replace: write over the dataset of another source in `folder`.
        progress: called with the number of files done and their total.

    Raises:
        DataError: the source or the table cannot be used, or `folder` holds other data.
        OutputError: a file cannot be written, or is read.
    """
    if columns and labels is None:
        raise DataError("--columns names the columns of a table: give the table with --labels")
    if aligned and labels is None:
        raise DataError("--aligned is for pictures with --labels: UTKFace's are aligned already")
    about = about or (UTKFACE if labels is None else UNNAMED)
    table = None if labels is None else LabelTable.read(labels, columns or {})
    made_from = source.resolve().name
    if not replace:
        manifest.refuse_another(folder, made_from)
    journal = folder / "scan.jsonl"
    inputs = Inputs([source, *([] if labels is None else [labels])])
    inputs.refuse(folder / manifest.MANIFEST, folder / manifest.ABOUT, journal)
    root = unpack(source, folder / "images", inputs=inputs, replace=replace)
    if table is None:
        rows = scan(root, journal, jobs=jobs, progress=progress)
        frame, template = manifest.build(rows, about.name, utkface=True)
        return manifest.save(folder, root, frame, template, [about], made_from=made_from)
    files = list(list_files(root))
    found, unmatched = table.match(root, files)
    pictures = [path for path in files if path in found or Path(path).suffix.lower() in SUFFIXES]
    rows = scan(root, journal, jobs=jobs, progress=progress, files=pictures)
    # After the scan, whose journal outlives this table.
    rows = [_label(row, found.get(row["path"], UNKNOWN)) for row in rows]
    # Where a landmark lies in a picture means nothing, unless the pictures were cut out alike.
    known = None if aligned else AgeModel("light").template
    frame, template = manifest.build(rows, about.name, known)
    return manifest.save(folder, root, frame, template, [about], unmatched, made_from=made_from)


def summary(frame: pd.DataFrame, unmatched: int | None = None) -> dict[str, dict[str, int]]:
    """What a manifest holds, as counts by topic, for the table at the end.

    Args:
        frame: the manifest.
        unmatched: rows of the table of labels that name no file; None without a table.
    """
    kinds = frame["duplicate_kind"]
    used = frame[manifest.usable(frame)]
    sources = frame["source"].unique()
    joined = {
        "files of": {name: int((frame["source"] == name).sum()) for name in sources},
        "left out, as another holds back a copy": {
            name: int(frame[manifest.COPY_FLAG][frame["source"] == name].sum()) for name in sources
        },
    }
    validation = used["split"].isin(["validation", "calibration"])
    return {
        **(joined if len(sources) > 1 else {}),
        "files": {
            "found": len(frame),
            "usable": len(used),
            "near-duplicate groups": int(frame["duplicate_group"][kinds == "near"].nunique()),
            "exact-duplicate groups": int(frame["sha256"][frame.duplicated("sha256")].nunique()),
            **({} if unmatched is None else {"labels without a file": unmatched}),
        },
        "flags": {name.replace("_", " "): int(frame[name].sum()) for name in manifest.FLAGS},
        "usable rows": {
            "train": int((used["split"] == "train").sum()),
            "validation": int(validation.sum()),
            "… of it for calibration": int(used["calibration"].sum()),
            "test": int((used["split"] == "test").sum()),
        },
    }


def _label(row: Row, labels: Labels) -> Row:
    return row | labels._asdict() | {"bad_name": not labels.aged}

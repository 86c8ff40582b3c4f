"""`agelens data prepare`: from a raw source to a manifest, in order."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agelens.data import manifest
from agelens.data.scan import scan
from agelens.data.sources import unpack
from agelens.progress import Progress, silent


def prepare(
    source: Path,
    folder: Path,
    *,
    jobs: int,
    progress: Progress = silent,
) -> manifest.Dataset:
    """Scan a dataset and write its manifest. Nothing of the source is changed or deleted.

    Interrupted, it goes on where it stopped; called again, it looks only at files that changed.

    Args:
        source: UTKFace as a tar, a zip or a folder.
        folder: where the manifest goes, and the pictures of an archive (``images/``).
        jobs: threads.
        progress: called with the number of files done and their total.

    Raises:
        DataError: the source cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = unpack(source, folder / "images")
    rows = scan(root, folder / "scan.jsonl", jobs=jobs, progress=progress)
    frame, template = manifest.build(rows)
    return manifest.save(folder, root, frame, template)


def summary(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """What a manifest holds, as counts by topic, for the table at the end."""
    kinds = frame["duplicate_kind"]
    used = frame[manifest.usable(frame)]
    validation = used["split"].isin(["validation", "calibration"])
    return {
        "files": {
            "found": len(frame),
            "usable": len(used),
            "near-duplicate groups": int(frame["duplicate_group"][kinds == "near"].nunique()),
            "exact-duplicate groups": int(frame["sha256"][frame.duplicated("sha256")].nunique()),
        },
        "flags": {name.replace("_", " "): int(frame[name].sum()) for name in manifest.FLAGS},
        "usable rows": {
            "train": int((used["split"] == "train").sum()),
            "validation": int(validation.sum()),
            "… of it for calibration": int(used["calibration"].sum()),
            "test": int((used["split"] == "test").sum()),
        },
    }

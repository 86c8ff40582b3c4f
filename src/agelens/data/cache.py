"""What was computed once and is kept, under names that depend on all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from agelens.files import atomic_path


def keyed_path(folder: Path, name: str, ending: str, **facts: Any) -> Path:
    """Where a result is kept: a result of other facts has another name, so none is mixed up.

    Args:
        folder: of the cache.
        name: what it is, for people who look into the folder.
        ending: of the file, as in ".parquet".
        facts: all that the result depends on, ready for JSON.
    """
    text = json.dumps(facts, sort_keys=True)
    return folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}{ending}"


def cached_table(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table at `path`; it is made and written first where it is not there yet.

    Args:
        path: from `keyed_path`, a Parquet file.
        make: computes the table.
    """
    if not path.exists():
        table = make()
        with atomic_path(path) as partial:
            table.to_parquet(partial)
    return pd.read_parquet(path)

"""What a run writes: for each shard a Parquet part of its faces and one of its pictures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from agelens.batch.settings import Counts
from agelens.batch.storage import Storage, inside, place_of
from agelens.errors import MissingExtraError
from agelens.files import portable_name, printable, short_name

FACES, PICTURES = "faces", "pictures"
"""Folders of the parts. A shard is done when its part of pictures is there: it is written last."""
_COUNTS = b"agelens.counts"
_ROWS = 8192
"""Rows in a row group."""
_SHARD = r"\d{7,}-[0-9a-f]{12}"
_PART = re.compile(rf"part-({_SHARD})\.parquet")


def schema_of_faces(at_least: Sequence[int]) -> Any:
    """The columns of `Faces.to_rows`, then ``model`` (the file's digest) and ``version``."""
    import pyarrow as pa

    numbers = ("age", "low", "high", "score", "x1", "y1", "x2", "y2")
    words = ("quality", *(f"at_least_{age}" for age in at_least))
    return pa.schema(
        [("path", pa.string()), ("face", pa.int32())]
        + [(name, pa.float64()) for name in numbers]
        + [(name, pa.string() if name == "quality" else pa.float64()) for name in words]
        + [("model", pa.string()), ("version", pa.string())]
    )


def schema_of_pictures() -> Any:
    """``path``, ``faces``, ``width``, ``height``, ``seconds``, ``error`` and ``annotated``."""
    import pyarrow as pa

    return pa.schema(
        [
            ("path", pa.string()),
            ("faces", pa.int32()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("seconds", pa.float64()),
            ("error", pa.string()),
            ("annotated", pa.string()),
        ]
    )


def path_of(output: str, kind: str, shard: str) -> str:
    """Where a part is; `kind` is `FACES` or `PICTURES`, `shard` its shard's name."""
    return f"{output.rstrip('/')}/{kind}/part-{shard}.parquet"


def copy_of(shard: str, number: int, file: str) -> str:
    """Where the annotated copy of a picture is, below the output.

    Args:
        shard: its shard's name.
        number: of the picture in its shard, from 0.
        file: its own name, without folders.
    """
    file = file if file.lower().endswith((".jpg", ".jpeg")) else f"{file}.jpg"
    return f"annotated/{shard}/{short_name(portable_name(f'{number:06d}-{file}'))}"


def is_result_of(output: str) -> Callable[[str], bool]:
    """What tells whether a path or address, however it is spelt, is a result in an output."""
    results = re.compile(
        re.escape(inside(output))
        + rf"(annotated/{_SHARD}/\d{{6,}}-[^/]*|({FACES}|{PICTURES})/{_PART.pattern})"
    )
    return lambda name: results.fullmatch(place_of(name)) is not None


def write_parts(
    storage: Storage,
    output: str,
    shard: str,
    faces: list[dict[str, Any]],
    pictures: list[dict[str, Any]],
    at_least: Sequence[int],
) -> Counts:
    """Write the rows of a finished shard.

    Raises:
        OutputError: they cannot be written.
        StorageError: the store did not answer.
    """
    failed = sum(row["error"] is not None for row in pictures)
    counts = Counts(1, len(pictures), len(faces), failed)
    for kind, rows, schema in (
        (FACES, faces, schema_of_faces(at_least)),
        (PICTURES, pictures, schema_of_pictures()),
    ):
        storage.write(path_of(output, kind, shard), _parquet(rows, schema, counts))
    return counts


def read_counts(storage: Storage, output: str, shard: str) -> Counts:
    """What an earlier run counted in a shard that is done.

    Raises:
        OSError: the part is gone.
    """
    from pyarrow import parquet

    with storage.open(path_of(output, PICTURES, shard)) as stream:
        metadata = parquet.read_metadata(stream).metadata
    return Counts(**json.loads(metadata[_COUNTS]))


def shards_in(storage: Storage, output: str, kind: str) -> set[str]:
    """Names of the shards whose parts of a kind are there; done are those in `PICTURES`."""
    names = storage.names(f"{output.rstrip('/')}/{kind}")
    return {part[1] for name in names if (part := _PART.fullmatch(name))}


def require_packages() -> None:
    """Say at once what to install.

    Raises:
        MissingExtraError: without pyarrow nothing can be written.
    """
    try:
        import pyarrow  # noqa: F401
        import tenacity  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"batch needs {error.name}: pip install 'agelens[batch]'"
        ) from error


def _parquet(rows: list[dict[str, Any]], schema: Any, counts: Counts) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: [_value(row.get(name)) for row in rows] for name in schema.names}
    table = pa.table(columns, schema=schema)
    table = table.replace_schema_metadata({_COUNTS: json.dumps(asdict(counts))})
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=_ROWS)
    return stream.getvalue()


def _value(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value

"""A whole run: lists, does what is not done yet, and says what was done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from agelens import __version__
from agelens.batch import local, parts
from agelens.batch.plan import Plan
from agelens.batch.progress import Status, Tally, reporting
from agelens.batch.settings import PICTURE_SECONDS, Counts, Settings
from agelens.batch.shards import Shard, list_shards
from agelens.batch.storage import inside
from agelens.errors import OutputError
from agelens.parallel import default_jobs
from agelens.pipeline.model import file_of

SHARD_SIZE = 1000
RUN_FILE = "_run.json"
Engine = Literal["local", "ray"]


def run(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    engine: Engine = "local",
    address: str | None = None,
    jobs: int | None = None,
    gpus: float = 0,
    column: str | None = None,
    lines: Iterable[str] = (),
    shard_size: int = SHARD_SIZE,
    model: str = "light",
    device: str = "auto",
    coverage: float = 0.9,
    min_score: float = 0.5,
    at_least: Sequence[int] = (),
    annotate: bool = False,
    anonymous: bool = False,
    patience: float = 180.0,
    report: Callable[[Status], None] | None = None,
    report_every: float = 60.0,
) -> Counts:
    """Estimate the ages in many pictures, wherever they are, and write Parquet files.

    Args:
        inputs: folders, files, globs and addresses such as ``s3://bucket/folder``; tars, Parquet
            and CSV files by their endings; "-" for `lines`.
        output: a folder or an address. It gets ``faces/*.parquet`` with a row for each face,
            ``pictures/*.parquet`` with a row for each picture, and ``_run.json``.
        resume: go on with a run that was cut off; what is done is not done again.
        engine: "local", or "ray": a local Ray, or the cluster at `address`.
        address: of a Ray cluster, such as "auto" or "ray://head:10001". Its machines must have
            agelens, and reach `inputs` and `output`.
        jobs: processes that estimate; one for each processor by default. On a cluster at most so
            many; by default as many as Ray has, or can get, processors for.
        gpus: of each process on Ray; it may be a part of one.
        column: of Parquet and CSV files: with addresses, paths or the bytes of pictures.
        lines: paths and addresses, if "-" is among the inputs.
        shard_size: pictures whose rows are written together, at most.
        model: a shipped model's name or a model file.
        device: as for `agelens.AgeEstimator`.
        coverage: of the intervals.
        min_score: least score of a face.
        at_least: ages; each adds a column ``at_least_AGE``.
        annotate: write copies of the pictures with boxes and ages, too.
        anonymous: read public buckets without credentials.
        patience: seconds for which a store that does not answer is asked again.
        report: is told how far the run is.
        report_every: seconds between two reports.

    Returns:
        What all parts hold, those of the runs that this one went on with among them.

    Raises:
        OutputError: the output cannot be written, or has results of another run.
        ModelError: the model file cannot be used.
        DataError: a table has no such column.
        MissingExtraError: a package of ``agelens[batch]`` is missing.
        AgelensError: a process that estimates cannot be started, or a store does not answer.
    """
    parts.require_packages()
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    sources = [os.fspath(one) for one in inputs]
    settings = Settings(
        output=os.fspath(output),
        model=model,
        device=device,
        coverage=coverage,
        min_score=min_score,
        at_least=tuple(at_least),
        annotate=annotate,
        anonymous=anonymous,
        patience=patience,
        picture_seconds=max(PICTURE_SECONDS, 3 * patience),  # reading may be tried for twice that
    )
    facts = {
        "agelens": __version__,
        "inputs": sources,
        "column": column,
        "shard_size": shard_size,
        "model": hashlib.sha256(file_of(model).read_bytes()).hexdigest(),
        "coverage": coverage,
        "min_score": min_score,
        "at_least": list(at_least),
        "annotate": annotate,
    }
    if annotate:
        _refuse_inside(sources, output=settings.output)
    done = _done_before(settings, facts, resume=resume)
    record: dict[str, Any] = {
        **facts,
        "engine": engine,
        "model_name": model,
        "begun": _now(),
        "complete": False,
    }
    _write_record(settings, record)
    listed = list_shards(
        sources,
        settings.source,
        size=shard_size,
        column=column,
        lines=lines,
        is_result=parts.is_result_of(settings.output),
    )
    with closing(Plan(listed)) as plan:
        tally = Tally(plan)
        seen: set[str] = set()
        known: list[str] = []

        def todo() -> Iterator[Shard]:
            for shard in plan:
                seen.add(shard.name)
                if shard.name not in done:
                    yield shard
                else:
                    known.append(shard.name)
                    tally.skip(len(shard.names))

        with reporting(tally, report, report_every):
            counts = Counts()
            if engine == "ray":
                from agelens.batch import on_ray

                results = on_ray.do_shards(todo(), settings, jobs=jobs, gpus=gpus, address=address)
            else:
                results = local.do_shards(
                    todo(), settings, jobs=jobs or default_jobs(), on_picture=tally.add
                )
            with closing(results):
                for result in results:
                    counts += result
                    tally.finish(result, counted=engine == "local")
    counts += _counts_of(known, settings)
    if done - seen and counts.failed == counts.pictures:
        raise OutputError(
            f"{settings.output}: none of the inputs can be read now; the results of the earlier "
            "run are left as they are"
        )
    _remove_stale(seen, settings)
    record |= {"complete": not counts.unfinished, "ended": _now(), "counts": asdict(counts)}
    _write_record(settings, record)
    return counts


def _refuse_inside(sources: list[str], output: str) -> None:
    """Annotated copies in a folder that is read at any depth would be pictures of the next run."""
    for source in sources:
        folder = source if os.path.lexists(source) else source.partition("**")[0]
        if inside(output).startswith(inside(folder)):
            raise OutputError(f"{output}: lies in {source}, which is read; choose another")


def _done_before(settings: Settings, facts: dict[str, Any], *, resume: bool) -> set[str]:
    """The shards that an earlier run has done.

    Raises:
        OutputError: there are results, and they are not to be gone on with, or cannot be.
    """
    output = settings.output.rstrip("/")
    done = parts.shards_in(settings.target, output, parts.PICTURES)
    if done and not resume:
        raise OutputError(
            f"{output}: has results already; go on with them by --resume, or choose another"
        )
    if done and RUN_FILE in settings.target.names(output):
        earlier = json.loads(settings.target.read(f"{output}/{RUN_FILE}"))
        other = [name for name, value in facts.items() if earlier.get(name) != value]
        if other:
            raise OutputError(
                f"{output}: was begun with another {', '.join(other)}; "
                f"see its {RUN_FILE}, or choose another folder"
            )
    return done


def _counts_of(shards: list[str], settings: Settings) -> Counts:
    """What the parts of an earlier run hold."""
    with ThreadPoolExecutor(16) as pool:
        read = pool.map(
            lambda name: parts.read_counts(settings.target, settings.output, name), shards
        )
        return sum(read, start=Counts())


def _remove_stale(seen: set[str], settings: Settings) -> None:
    """Delete the parts of shards that are no more: pictures have come or gone since they were made.

    What they held is in the parts of this run, or is no longer among its inputs.
    """
    for kind in (parts.PICTURES, parts.FACES):
        for name in parts.shards_in(settings.target, settings.output, kind) - seen:
            settings.target.remove(parts.path_of(settings.output, kind, name))


def _write_record(settings: Settings, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2) + "\n"
    settings.target.write(f"{settings.output.rstrip('/')}/{RUN_FILE}", text.encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

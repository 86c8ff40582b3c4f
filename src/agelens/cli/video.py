"""`agelens video` and `agelens webcam`."""

from __future__ import annotations

import enum
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Coverage, Crowd, Device, Model, app

if TYPE_CHECKING:
    from agelens.video.frames import Camera, VideoFile
    from agelens.video.run import Report


class RowForm(enum.StrEnum):
    """How the rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the annotated video here (MP4)."),
]
Form = Annotated[
    RowForm | None,
    typer.Option(
        "--format", "-f", help="How the rows are written. [default: as --rows ends, or jsonl]"
    ),
]
Rows = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the rows here. [default: stdout]")
]
DetectEvery = Annotated[
    int, typer.Option(min=1, help="Search the whole frame each so many; follow faces between.")
]
MinScore = Annotated[float, typer.Option(min=0, max=1, help="Leave out faces less sure.")]
INTERRUPTED = 130
"""Exit code of a video that Ctrl-C cut short, as shells give it."""
MOST_PEOPLE = 20
"""People in the table at the end; of more, those who were seen longest."""


@app.command()
def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video file.")],
    output: Output = None,
    form: Form = None,
    rows: Rows = None,
    detect_every: DetectEvery = 5,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    crowd: Crowd = False,
    model: Model = "light",
    device: Device = "auto",
) -> None:
    """Follow every face of a video: a row for each frame and face, with an age that settles.

    Ctrl-C ends it early with complete rows and a video that plays; the exit code is 130.
    """
    from agelens.video.frames import VideoFile

    with _interruptible() as interrupted:
        _follow(
            VideoFile(source),
            interrupted,
            output=output,
            form=form,
            rows=rows,
            detect_every=detect_every,
            min_score=min_score,
            coverage=coverage,
            crowd=crowd,
            model=model,
            device=device,
        )
    if interrupted.is_set():
        raise typer.Exit(INTERRUPTED)


@app.command()
def webcam(
    camera: Annotated[
        str, typer.Argument(help="Number of a camera, or a path or URL that OpenCV opens.")
    ] = "0",
    output: Output = None,
    form: Form = None,
    rows: Rows = None,
    window: Annotated[
        bool | None,
        typer.Option("--window/--no-window", help="Show the picture. [default: with a screen]"),
    ] = None,
    detect_every: DetectEvery = 5,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    crowd: Crowd = False,
    model: Model = "light",
    device: Device = "auto",
) -> None:
    """Follow every face before a camera, live; frames that come too fast are dropped.

    Ctrl-C, or q in the window, is its usual end: all files are complete then, the exit code is 0.
    """
    from agelens.video.frames import Camera
    from agelens.video.run import has_screen

    shown = has_screen() if window is not False else False
    if not shown and (window or output is None):
        typer.echo("agelens: no window can be shown; -o FILE keeps the annotated video", err=True)
    with _interruptible() as interrupted:
        _follow(
            Camera(camera),
            interrupted,
            output=output,
            form=form,
            rows=rows,
            detect_every=detect_every,
            min_score=min_score,
            coverage=coverage,
            crowd=crowd,
            model=model,
            device=device,
            window=shown,
        )


def _follow(
    source: VideoFile | Camera,
    interrupted: threading.Event,
    *,
    output: Path | None,
    form: RowForm | None,
    rows: Path | None,
    detect_every: int,
    min_score: float,
    coverage: float,
    crowd: bool,
    model: str,
    device: str,
    window: bool = False,
) -> None:
    from agelens.estimator import AgeEstimator
    from agelens.video.run import run
    from agelens.video.writers import RowFormat

    endings = [kind for kind in RowForm if rows is not None and rows.suffix == f".{kind}"]
    run(
        source,
        AgeEstimator(model, device=device, min_score=min_score, coverage=coverage, crowd=crowd),
        output=output,
        form=RowFormat(form or (endings or [RowForm.JSONL])[0]),
        rows=sys.stdout if rows is None else rows,
        detect_every=detect_every,
        window=window,
        stopped=interrupted.is_set,
        progress=_tell,
    )


def _tell(report: Report) -> None:
    """A line that is written over on a terminal; at the end, how it went and who was seen."""
    terminal = sys.stderr.isatty()
    if report.ended:
        if terminal:
            sys.stderr.write("\r\033[K")
        frames = f"{report.frames} frames"
        if report.total and report.frames < report.total:
            frames += f" of about {report.total}"
        sys.stderr.write(f"agelens: {frames} in {report.seconds:.1f} s, {_speed(report)}\n")
        _print_people(report)
    elif terminal:
        of = f" of about {report.total}" if report.total else ""
        left = (report.total - report.frames) / max(report.fps, 1e-9)
        rest = f", {left:.0f} s left" if left > 0 else ""
        sys.stderr.write(f"\r{report.frames} frames{of}, {_speed(report)}{rest}\033[K")
        sys.stderr.flush()


def _speed(report: Report) -> str:
    speed = f"{report.fps:.1f} fps"
    if not report.total:  # a camera
        speed += f", {report.dropped} dropped, latency {1000 * report.latency:.0f} ms"
    return speed


def _print_people(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    people = sorted(report.people.values(), key=lambda person: -person.frames)[:MOST_PEOPLE]
    if not people:
        sys.stderr.write("agelens: nobody was seen\n")
        return
    table = Table(box=None, header_style="bold")
    for column in ("person", "age", "interval", "from s", "to s", "frames"):
        table.add_column(column, justify="right", no_wrap=True)
    for person in sorted(people, key=lambda person: person.track):
        ends = person.interval
        table.add_row(
            str(person.track),
            f"{person.age:.1f}",
            f"{ends.low:.0f}-{ends.high:.0f}",
            f"{person.first:.1f}",
            f"{person.last:.1f}",
            str(person.frames),
        )
    Console(stderr=True).print(table)
    if len(report.people) > len(people):
        sys.stderr.write(f"agelens: and {len(report.people) - len(people)} more\n")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C (or SIGTERM); a second one ends the process in the usual way."""
    event = threading.Event()

    def note(number: int, _frame: object) -> None:
        event.set()
        signal.signal(number, previous[signal.Signals(number)])

    kinds = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in kinds}
    for number in kinds:
        signal.signal(number, note)
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

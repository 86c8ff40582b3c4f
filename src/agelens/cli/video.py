"""`agelens video` and `agelens webcam`."""

from __future__ import annotations

import enum
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agelens.cli.common import Coverage, Model, app

if TYPE_CHECKING:
    from agelens.video.frames import Camera, VideoFile


class RowForm(enum.StrEnum):
    """How the rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the annotated video here (MP4)."),
]
Form = Annotated[RowForm, typer.Option("--format", "-f", help="How the rows are written.")]
Rows = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the rows here. [default: stdout]")
]
DetectEvery = Annotated[
    int, typer.Option(min=1, help="Search the whole frame each so many; follow faces between.")
]
MinScore = Annotated[float, typer.Option(min=0, max=1, help="Leave out faces less sure.")]
INTERRUPTED = 130
"""Exit code of a video that Ctrl-C cut short, as shells give it."""


@app.command()
def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A video file.")],
    output: Output = None,
    form: Form = RowForm.JSONL,
    rows: Rows = None,
    detect_every: DetectEvery = 5,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    model: Model = "light",
) -> None:
    """Follow every face of a video: a row for each frame and face, with an age that settles.

    Ctrl-C ends it early with complete rows and a video that plays.
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
            model=model,
        )
    if interrupted.is_set():
        raise typer.Exit(INTERRUPTED)


@app.command()
def webcam(
    device: Annotated[
        str, typer.Argument(help="Number of a camera, or a path or URL that OpenCV opens.")
    ] = "0",
    output: Output = None,
    form: Form = RowForm.JSONL,
    rows: Rows = None,
    window: Annotated[
        bool | None,
        typer.Option("--window/--no-window", help="Show the picture. [default: with a screen]"),
    ] = None,
    detect_every: DetectEvery = 5,
    min_score: MinScore = 0.5,
    coverage: Coverage = 0.9,
    model: Model = "light",
) -> None:
    """Follow every face before a camera, live; frames that come too fast are dropped.

    Ctrl-C, or q in the window, stops; all files are complete then.
    """
    from agelens.video.frames import Camera
    from agelens.video.run import has_screen

    shown = has_screen() if window is not False else False
    if not shown and (window or output is None):
        typer.echo("agelens: no window can be shown; -o FILE keeps the annotated video", err=True)
    with _interruptible() as interrupted:
        _follow(
            Camera(device),
            interrupted,
            output=output,
            form=form,
            rows=rows,
            detect_every=detect_every,
            min_score=min_score,
            coverage=coverage,
            model=model,
            window=shown,
        )


def _follow(
    source: VideoFile | Camera,
    interrupted: threading.Event,
    *,
    output: Path | None,
    form: RowForm,
    rows: Path | None,
    detect_every: int,
    min_score: float,
    coverage: float,
    model: str,
    window: bool = False,
) -> None:
    from agelens.estimator import AgeEstimator
    from agelens.video.run import run
    from agelens.video.writers import RowFormat

    run(
        source,
        AgeEstimator(model, min_score=min_score, coverage=coverage),
        output=output,
        form=RowFormat(form),
        rows=rows,
        detect_every=detect_every,
        window=window,
        stopped=interrupted.is_set,
    )


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

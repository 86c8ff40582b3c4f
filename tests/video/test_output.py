"""What `video` writes: never onto an input, with its sound, under any name."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import FACE, agelens
from numpy.typing import NDArray
from test_containers import FPS, STEADY, make, read

from agelens import AgeEstimator, AgelensError, VideoError
from agelens.errors import OutputError
from agelens.video.frames import VideoFile
from agelens.video.run import Report, run
from agelens.video.writers import RowFormat, VideoWriter

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of nobody, with two seconds of a tone."""
    return make(tmp_path_factory.mktemp("clips") / "in.mp4", STEADY, sound="aac")


@pytest.fixture(scope="module")
def portrait(photo: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait for a second, in the middle of which it is dark."""
    path = tmp_path_factory.mktemp("clips") / "portrait.mp4"
    x1, y1, x2, y2 = FACE
    head = photo[y1 - 60 : y2 + 60, x1 - 60 : x2 + 61]
    writer = VideoWriter(path, FPS)
    for index in range(20):
        writer.write(head if not 8 <= index < 12 else np.zeros_like(head), index / FPS)
    writer.close()
    return path


def loudness(path: Path, piece: float = 0.1) -> list[float]:
    """How loud each tenth of a second of the sound is, from the file's beginning."""
    with av.open(f"file:{path}") as container:
        begin = (container.start_time or 0) / av.time_base
        values: dict[int, list[float]] = {}
        for frame in container.decode(container.streams.audio[0]):
            samples = frame.to_ndarray().astype(float).ravel()
            scale = 32768 if frame.format.name.startswith("s16") else 1
            key = int((frame.time - begin) / piece + 1e-6)
            values.setdefault(key, []).append(float(np.abs(samples / scale).mean()))
    return [float(np.mean(values.get(key, [0]))) for key in range(max(values) + 1)]


def length(path: Path, kind: str) -> float:
    with av.open(f"file:{path}") as container:
        stream = container.streams.get(**{kind: 0})[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize(
    ("ending", "sound"), [("mp4", "aac"), ("mkv", "flac"), ("mov", "pcm_s16le")]
)
def test_the_sound_is_kept(
    tmp_path: Path, ending: str, sound: str, estimator: AgeEstimator
) -> None:
    source = make(tmp_path / f"in.{ending}", STEADY, sound=sound, seconds=1.5, sound_from=0.4)
    output = tmp_path / "out.mp4"
    run(VideoFile(source), estimator, output=output)
    before, after = loudness(source), loudness(output)
    loud = [level > 0.05 for level in after]
    assert 0.3 <= loud.index(True) / 10 <= 0.5
    assert len(after) == pytest.approx(len(before), abs=1)
    assert length(output, "video") == pytest.approx(2.0, abs=0.06)
    assert len(read(output)) == 50


def test_sound_and_pictures_stay_together_in_a_late_start(
    tmp_path: Path, estimator: AgeEstimator
) -> None:
    source = make(tmp_path / "in.mkv", [t + 1 for t in STEADY], sound="aac", seconds=3)
    output = tmp_path / "out.mp4"
    run(VideoFile(source), estimator, output=output)
    made = VideoFile(output)
    assert [frame.time for frame in made] == pytest.approx(STEADY, abs=0.002)
    assert made.start == pytest.approx(1, abs=0.05)
    assert len(loudness(output)) == pytest.approx(30, abs=1)


def test_every_sound_is_kept_and_one_ends_with_a_video_that_is_stopped(
    clip: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    output = tmp_path / "out.mp4"
    seen: list[int] = []

    def stopped() -> bool:
        seen.append(1)
        return len(seen) == 10

    report = run(VideoFile(clip), estimator, output=output, stopped=stopped)
    assert report.frames == 10
    assert length(output, "audio") == pytest.approx(10 / FPS, abs=0.1)


def test_when_a_video_was_taken_is_kept(tmp_path: Path, estimator: AgeEstimator) -> None:
    source = make(
        tmp_path / "in.mp4", STEADY[:3], metadata={"creation_time": "2020-02-02T02:02:02.000000Z"}
    )
    run(VideoFile(source), estimator, output=tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["creation_time"].startswith("2020-02-02T02:02:02")


def test_nothing_is_written_onto_the_input(
    clip: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    source = tmp_path / "v.mp4"
    source.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    for name in ("v.mp4", "./v.mp4", "link.mp4", "hard.mp4"):
        for options in ({"output": tmp_path / name}, {"rows": tmp_path / name}):
            with pytest.raises(OutputError, match="is an input"):
                run(VideoFile(source), estimator, **options)  # type: ignore[arg-type]
    assert source.read_bytes() == clip.read_bytes()


def test_the_video_and_the_rows_are_two_files(
    clip: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for output, rows in (("a", "a"), ("there/a", "link/a"), ("a", "there/../a")):
        with pytest.raises(OutputError, match="a file each"):
            run(VideoFile(clip), estimator, output=tmp_path / output, rows=tmp_path / rows)
    assert {path.name for path in tmp_path.iterdir()} == {"link", "there"}


def test_paths_are_strings_with_any_character(
    portrait: Path, tmp_path: Path, estimator: AgeEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("12:31", "50%d", "-x"):
        run(VideoFile(str(portrait)), estimator, output=f"{name}.mp4", rows=f"{name}.jsonl")
        assert len(read(f"{name}.mp4")) == 20
        assert len(Path(f"{name}.jsonl").read_text().splitlines()) >= 10
    assert len(list(tmp_path.iterdir())) == 6


def test_rows_go_to_an_open_stream_and_the_report_says_who_was_seen(
    portrait: Path, estimator: AgeEstimator
) -> None:
    stream = io.StringIO()
    reports: list[Report] = []
    last = run(VideoFile(portrait), estimator, rows=stream, progress=reports.append)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert last.ended
    assert reports[-1] == last
    assert (last.frames, last.total) == (20, 20)
    (person,) = last.people.values()
    assert person.track == 1
    assert person.frames == len(rows)
    assert (person.first, person.last) == (rows[0]["time"], rows[-1]["time"])
    assert person.age == rows[-1]["age"]


def test_a_place_that_cannot_be_written_is_a_sentence(
    clip: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a file, no folder")
    place = tmp_path / "a.mp4" / "b.mp4"
    for options in ({"output": place}, {"rows": place}):
        with pytest.raises(AgelensError, match="cannot be written"):
            run(VideoFile(clip), estimator, **options)  # type: ignore[arg-type]


def test_a_device_is_written_to_and_never_replaced(
    portrait: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        run(VideoFile(portrait), estimator, rows=pipe)
        assert reader.stdout is not None
        assert len(reader.stdout.read().splitlines()) >= 10
    with pytest.raises(OutputError, match="no file"):
        run(VideoFile(portrait), estimator, output=pipe)
    assert pipe.is_fifo()


@pytest.mark.parametrize("form", list(RowFormat))
def test_a_full_disk_is_a_sentence_and_leaves_no_part(
    portrait: Path, tmp_path: Path, estimator: AgeEstimator, form: RowFormat
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900, limit[1]))  # as a disk of so many bytes
        with pytest.raises(OutputError, match="cannot be written"):
            run(VideoFile(portrait), estimator, form=form, rows=tmp_path / "rows")
        with pytest.raises(OutputError, match="cannot be written"):
            run(VideoFile(portrait), estimator, output=tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


def test_the_command_names_the_people_and_takes_the_form_from_the_ending(
    portrait: Path, tmp_path: Path
) -> None:
    done = agelens("video", portrait, "--rows", tmp_path / "a.csv", "-o", tmp_path / "12:31.mp4")
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert done.stdout == b""
    assert "20 frames in" in said
    assert (tmp_path / "a.csv").read_text().startswith("frame,time,track,age")
    header, person = said.splitlines()[-2:]
    assert header.split()[:3] == ["person", "age", "interval"]
    assert person.split()[0] == "1"
    assert len(read(tmp_path / "12:31.mp4")) == 20


def test_the_command_refuses_its_input(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "12:30.mp4"
    source.write_bytes(clip.read_bytes())
    done = agelens("video", "12:30.mp4", "-o", "12:30.mp4", cwd=tmp_path)
    assert done.returncode == 1
    assert b"is an input" in done.stderr
    assert source.read_bytes() == clip.read_bytes()


def test_the_files_are_whole_when_nobody_reads_the_rows(
    portrait: Path, tmp_path: Path, estimator: AgeEstimator
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            if self.tell() > 500:
                raise BrokenPipeError
            return super().write(text)

    output = tmp_path / "out.mp4"
    with pytest.raises(BrokenPipeError):
        run(VideoFile(portrait), estimator, output=output, rows=Closed())
    assert 0 < len(read(output)) < 20


def test_damage_inside_is_said_and_the_rest_is_there(
    tmp_path: Path, estimator: AgeEstimator
) -> None:
    path = make(tmp_path / "a.mp4", STEADY)
    with av.open(str(path)) as container:
        place, size = [(each.pos, each.size) for each in container.demux() if each.size][25]
    assert place is not None
    content = bytearray(path.read_bytes())
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    stream = io.StringIO()
    reports: list[Report] = []
    with pytest.raises(VideoError, match="damaged in 1 place;"):
        run(VideoFile(path), estimator, rows=stream, form=RowFormat.CSV, progress=reports.append)
    assert 40 < reports[-1].frames < 50

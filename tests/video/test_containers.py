"""Whole videos are whole, whatever container they are in; those that are not say so."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from agelens import VideoError
from agelens.video.frames import Frame, VideoFile

Pixels = NDArray[np.uint8]
FPS = 25
TICKS = Fraction(1, 1000)


def picture(index: int, width: int = 64, height: int = 48) -> Pixels:
    """Its brightness says which frame it is, and its top left corner is white."""
    image = np.full((height, width, 3), 40 + 2 * index, np.uint8)
    image[: height // 4, : width // 4] = 255
    return image


def make(
    path: Path,
    times: Sequence[float],
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    sound: str | None = None,
    sound_from: float = 0.0,
    seconds: float = 2.0,
    videos: int = 1,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A video whose frames are shown at these times, with a second of a tone's sound."""
    with av.open(f"file:{path}", "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        streams = []
        for _ in range(videos):
            stream = container.add_stream(codec, rate=FPS)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
            stream.codec_context.time_base = Fraction(1, FPS) if codec == "mjpeg" else TICKS
            stream.options = {"tune": "zerolatency", "g": "10"} if codec == "libx264" else {}
            streams.append(stream)
        heard = container.add_stream(sound, rate=44100, layout="mono") if sound else None
        if heard is not None:
            assert isinstance(heard, av.AudioStream)
            wave = np.sin(np.arange(round(44100 * seconds)) / 15)
            block = 1024
            for start in range(0, len(wave) - block, block):
                samples = (wave[None, start : start + block] * 9000).astype(np.int16)
                piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                piece.sample_rate, piece.time_base = 44100, Fraction(1, 44100)
                piece.pts = start + round(44100 * sound_from)
                container.mux(heard.encode(piece))
            container.mux(heard.encode(None))
        for index, moment in enumerate(times):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
                base = stream.codec_context.time_base
                frame.time_base, frame.pts = base, round(moment / base)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def read(path: Path | str) -> list[Frame]:
    source = VideoFile(path)
    try:
        return list(source)
    finally:
        source.close()


def numbers(frames: list[Frame]) -> list[int]:
    return [round((float(frame.image[-8:, -8:].mean()) - 40) / 2) for frame in frames]


STEADY = [index / FPS for index in range(50)]


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm", "ts", "avi"])
def test_every_frame_with_its_time(tmp_path: Path, ending: str) -> None:
    codec = {"webm": "libvpx", "avi": "mjpeg"}.get(ending, "libx264")
    frames = read(make(tmp_path / f"a.{ending}", STEADY, codec=codec))
    assert [frame.time for frame in frames] == pytest.approx(STEADY, abs=0.002)
    assert [frame.index for frame in frames] == list(range(50))
    assert np.abs(np.array(numbers(frames)) - np.arange(50)).max() <= 1


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_dropped_frames_and_a_rate_that_changes(tmp_path: Path, ending: str) -> None:
    dropped = [moment for index, moment in enumerate(STEADY) if index % 5 not in (1, 2)]
    changing = [0, 0.01, 0.02, 0.5, 0.52, 1.7, 1.71, 3.0]
    for times in (dropped, changing):
        frames = read(make(tmp_path / f"a.{ending}", times))
        assert [frame.time for frame in frames] == pytest.approx(times, abs=0.002)


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    times = [moment - 1 for moment in STEADY]  # those before 0 are in the file, and not shown
    path = make(tmp_path / "a.mp4", times, options={"avoid_negative_ts": "disabled"})
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 50
    frames = read(path)
    assert numbers(frames)[0] == pytest.approx(25, abs=1)
    assert len(frames) == 25
    assert frames[0].time == 0


def test_a_late_start_and_sound_that_lasts_longer(tmp_path: Path) -> None:
    late = [moment + 1 for moment in STEADY[:10]]
    for ending in ("mkv", "mp4"):
        path = make(tmp_path / f"a.{ending}", late, sound="aac", seconds=4)
        source = VideoFile(path)
        frames = list(source)
        assert [frame.time for frame in frames] == pytest.approx(STEADY[:10], abs=0.002)
        assert source.start == pytest.approx(1, abs=0.05)
        source.close()


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (34, 130)])
def test_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make(tmp_path / "a.mp4", STEADY[:3], size=size)
    assert {frame.image.shape for frame in read(path)} == {(size[1], size[0], 3)}


def test_several_streams(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", STEADY[:20], videos=2, sound="aac")
    assert len(read(path)) == 20


def test_a_song_is_no_video_and_its_cover_neither(tmp_path: Path) -> None:
    song = make(tmp_path / "song.m4a", [], videos=0, sound="aac")
    covered = tmp_path / "covered.mp4"
    with av.open(str(covered), "w") as container, av.open(str(song)) as heard:
        sound = container.add_stream_from_template(heard.streams.audio[0])
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        for packet in heard.demux(audio=0):
            if packet.size:
                packet.stream = sound
                container.mux(packet)
        frame = av.VideoFrame.from_ndarray(picture(0))
        frame.pts = 0
        container.mux(cover.encode(frame))
        container.mux(cover.encode(None))
    for path in (song, covered):
        with pytest.raises(VideoError, match="no video in it"):
            VideoFile(path)


def test_a_turned_video_is_upright(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", STEADY[:3], options={"movflags": "+faststart"})
    data = path.read_bytes()
    track = data.index(b"tkhd")
    one, plain = 0x10000, struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    place = data.index(plain, track)
    for matrix, corner in (
        ((0, one, 0, -one, 0, 0, 48 * one, 0, 0x40000000), (0, -1)),  # a quarter clockwise
        ((0, -one, 0, one, 0, 0, 0, 64 * one, 0x40000000), (-1, 0)),
        ((-one, 0, 0, 0, -one, 0, 64 * one, 48 * one, 0x40000000), (-1, -1)),
    ):
        path.write_bytes(data[:place] + struct.pack(">9i", *matrix) + data[place + 36 :])
        frame = read(path)[0]
        expected = cv2.VideoCapture(str(path)).read()[1]
        assert frame.image.shape == expected.shape
        assert frame.image[corner].mean() > 200
        assert np.abs(frame.image.astype(int) - expected[..., ::-1]).mean() < 3


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "100%.mp4", "%03d.mp4", "a b#?.mp4", "-.mp4", "顔.mp4"]
)
def test_any_name_and_a_path_as_a_string(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "in.mp4", STEADY[:5]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(name)) == 5
    assert len(read(os.fspath(tmp_path / name))) == 5


@pytest.mark.parametrize("ending", ["mkv", "mp4", "avi"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_cut_tail_is_said(tmp_path: Path, ending: str, share: float) -> None:
    codec, options = ("mjpeg", {}) if ending == "avi" else ("libx264", {})
    if ending == "mp4":
        options = {"movflags": "+faststart"}
    path = tmp_path / f"a.{ending}"
    make(path, [index / FPS for index in range(100)], codec=codec, options=options)
    content = path.read_bytes()
    head = content.index(b"mdat") if ending == "mp4" else 0
    path.write_bytes(content[: head + round((len(content) - head) * share)])
    source = VideoFile(path)
    frames: list[Frame] = []
    with pytest.raises(VideoError, match=r"broken after \d+ frames .* ends before"):
        frames.extend(source)  # those before the error stay
    assert 0 < len(frames) < 100
    assert numbers(frames)[:5] == pytest.approx([0, 1, 2, 3, 4], abs=1)


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", STEADY)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(VideoError, match="cut off before its index"):
        VideoFile(path)


def test_a_recording_without_a_length_is_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", STEADY, options={"live": "1"})
    with av.open(str(path)) as container:
        assert container.duration is None
    assert len(read(path)) == 50


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    make(tmp_path / "other.mp4", STEADY[:5])
    path = tmp_path / "list.mp4"
    for other in ("http://127.0.0.1:9/other.mp4", "other.mp4"):
        path.write_text(f"ffconcat version 1.0\nfile {other}\n")
        with pytest.raises(VideoError):
            read(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_picture_is_sent_to_its_command(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(picture(0)).save(path)
    with pytest.raises(VideoError, match="a picture; use `agelens predict`"):
        VideoFile(path)


def test_a_video_too_small_for_a_face_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "small.mp4", STEADY[:3], size=(64, 6))
    with pytest.raises(VideoError, match=r"small\.mp4: 64 x 6 pixels are too few"):
        VideoFile(path)

"""The sound of a video, taken over into another file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from agelens.video.media import open_media

COPIED = frozenset(["aac", "ac3", "alac", "eac3", "mp2", "mp3", "opus"])
"""Codecs that MP4 holds and players play; others are encoded again, as AAC."""
KEPT = ("creation_time", "title", "location", "com.apple.quicktime.creationdate")
"""What is kept of what the file says about itself."""


class Sound:
    """The sound of a file, every stream of it, which is written in step with the pictures.

    Args:
        path: of the video that is heard.
        output: the file that gets the sound, before anything is written to it.
    """

    def __init__(self, path: Path, output: OutputContainer) -> None:
        self._input, self._output = open_media(path), output
        self._begin = (self._input.start_time or 0) / av.time_base
        output.metadata.update(
            {key: value for key, value in self._input.metadata.items() if key in KEPT}
        )
        self._streams: dict[int, AudioStream] = {}
        for stream in self._input.streams.audio:
            if stream.codec_context is None or not stream.rate:
                continue  # of a kind that FFmpeg does not know
            if stream.codec_context.name in COPIED:
                made = output.add_stream_from_template(stream)
            else:
                made = output.add_stream("aac", rate=stream.rate, layout=stream.layout)
            self._streams[stream.index] = made
        self._packets = self._read()
        self._next = next(self._packets, None)

    def copy_until(self, time: float) -> None:
        """Write what is heard before `time`, in seconds from the file's beginning."""
        while self._next is not None and _time(self._next) - self._begin < time:
            self._write(self._next)
            self._next = next(self._packets, None)
        if self._next is None and self._streams:
            for stream in self._streams.values():
                if stream.codec_context.is_encoder and stream.codec_context.is_open:
                    self._output.mux(stream.encode(None))
            self._streams = {}

    def close(self) -> None:
        """Let go of the file that is heard."""
        self._input.close()

    def _read(self) -> Iterator[Packet[Any]]:
        heard = [self._input.streams[index] for index in self._streams]
        if not heard:
            return
        try:
            for packet in self._input.demux(heard):
                end = _time(packet) + float((packet.duration or 0) * (packet.time_base or 0))
                if packet.size and packet.pts is not None and end > self._begin:
                    yield packet
        except FFmpegError:
            return  # the file breaks off, which the reader of its pictures says

    def _write(self, packet: Packet[Any]) -> None:
        stream = self._streams[packet.stream.index]
        base = packet.time_base
        shift = round(self._begin / base)
        if stream.codec_context.is_encoder:
            try:
                frames = packet.stream.codec_context.decode(packet)
            except FFmpegError:
                return  # a damaged place is silent
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= shift
                self._output.mux(stream.encode(frame))
        else:
            packet.pts = packet.dts = (packet.pts or 0) - shift
            packet.stream = stream
            self._output.mux(packet)


def _time(packet: Packet[Any]) -> float:
    return float((packet.pts or 0) * (packet.time_base or 0))

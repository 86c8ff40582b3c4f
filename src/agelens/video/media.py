"""Files of sound and pictures, as FFmpeg opens them."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream


def open_media(path: Path) -> InputContainer:
    """Open a file of sound and pictures for reading: this file, whatever its name looks like.

    Args:
        path: of the file; nothing else is opened, even if it asks for it.

    Raises:
        ValueError: it names other files.
        FFmpegError: it is no such file.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if any(word in head for word in (b"ffconcat version", b"#EXTM3U", b"<MPD", b"# VobSub")):
        raise ValueError("a list of other files")
    options = {"protocol_whitelist": "file"}
    return av.open(f"file:{path}", options=options, metadata_errors="ignore")


def is_picture(container: InputContainer) -> bool:
    """Whether a file is a picture and no video; an animated GIF is a video."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def is_cut_riff(path: Path) -> bool:
    """Whether an AVI is shorter than it claims; FFmpeg believes that its end was meant to be so."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return head.startswith(b"RIFF") and 0 < size < 0xFFFFFFFF and 8 + size > path.stat().st_size


def is_cover(stream: VideoStream) -> bool:
    """Whether a stream is the still picture of a song."""
    return bool(stream.disposition & Disposition.attached_pic)

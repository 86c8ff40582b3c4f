"""What a figure of speed was measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import PIL

from agelens import __version__
from agelens.parallel import default_jobs

_FLAGS = ("avx2", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Abilities of a Linux processor that decide how fast it is in 8 bits; the last two are ARM's."""


def machine() -> dict[str, Any]:
    """The processor, how busy it is, and the versions of what computes."""
    name, flags = platform.processor() or platform.machine(), ""
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
        name = facts.get("model name", name)
        flags = facts.get("flags") or facts.get("Features", "")
    return {
        "platform": platform.platform(),
        "processor": name,
        "abilities": [flag for flag in _FLAGS if flag in flags.split()],
        "processors": default_jobs(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "device": onnxruntime.get_device(),
        "versions": {
            "agelens": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
        },
    }

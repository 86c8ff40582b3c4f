"""What Prometheus reads. Counts only: nothing of a picture, a face or a client."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which several workers put their counts together."""


class Metrics:
    """The service's counts, of this worker or, with `SHARED`, of all."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "agelens_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "agelens_request_seconds",
            "From the first byte of a request to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.pictures = Counter("agelens_pictures", "Pictures answered.", registry=registry)
        self.faces = Counter("agelens_faces", "Faces estimated.", registry=registry)
        self.pending = Gauge(
            "agelens_pending_pictures",
            "Pictures in work or waiting.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.batch = Histogram(
            "agelens_batch_faces",
            "Faces in one call of the network.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.restarts = Counter(
            "agelens_reader_restarts", "Reader processes that were replaced.", registry=registry
        )

    def render(self) -> bytes:
        """Prometheus' text format."""
        folder = os.environ.get(SHARED)
        if not folder:
            return generate_latest(self._registry)
        for file in Path(folder).glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not _alive(pid):  # it was killed: its pictures are no longer pending
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

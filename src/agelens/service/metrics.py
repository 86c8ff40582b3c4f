"""What Prometheus reads. Counts only: nothing of a picture, a face or a client."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

from agelens import __version__

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which several workers put their counts together."""


class Metrics:
    """The service's counts, of this worker or, with `SHARED`, of all.

    Args:
        models: names of the models in the service.
    """

    def __init__(self, models: tuple[str, ...] = ()) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "agelens_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.seconds = Histogram(
            "agelens_request_duration_seconds",
            "From a request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_wait = Histogram(
            "agelens_queue_wait_seconds",
            "From a picture's arrival to its decoder.",
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
        self.streams = Gauge(
            "agelens_streams",
            "Streams that are open.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.restarts = Counter(
            "agelens_decoder_restarts", "Decoder processes that were replaced.", registry=registry
        )
        build = Gauge(
            "agelens_build_info",
            "Version of agelens and name of a model; always 1.",
            ["version", "model"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        for model in models:
            build.labels(__version__, model).set(1)
        if not os.environ.get(SHARED):
            ProcessCollector(registry=registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = self._known.get((route, status))
        if known is None:  # finding them by their labels takes longer than counting
            counter = self.requests.labels(route, str(status))
            known = self._known[route, status] = counter, self.seconds.labels(route)
        known[0].inc()
        known[1].observe(seconds)

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

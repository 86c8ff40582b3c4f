"""The pool of decoder processes: deaths, costly pictures, overload, and who is next."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from fastapi.testclient import TestClient
from serving import PHOTO, estimate, noise, picture

from agelens.service.app import create_app
from agelens.service.body import Upload
from agelens.service.decoder import PictureRequest, PictureResult
from agelens.service.errors import BusyError, DeadlineError, DecoderDiedError
from agelens.service.fair import FairQueue
from agelens.service.service import Service
from agelens.service.settings import Settings

ASKED = PictureRequest("light")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(jobs=1, deadline=30))) as client:
        yield client


def test_random_bodies_leave_it_well(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    heads = [b"", PHOTO[:200], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0"]
    for index in range(200):
        body = heads[index % len(heads)] + rng.bytes(int(rng.integers(1, 3000)))
        assert estimate(client, body).status_code in (413, 422)
    assert estimate(client, PHOTO).status_code == 200
    assert client.get("/readyz").json() == {"status": "ok"}


def test_decoders_that_are_killed_cost_no_answer(client: TestClient) -> None:
    decoders = client.app.state.service.decoders  # type: ignore[attr-defined]

    def kill_all() -> None:
        killed = decoders.processes
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        while not set(killed).isdisjoint(decoders.processes):
            time.sleep(0.01)

    def wait_for_both() -> None:
        deadline = time.monotonic() + 60
        while len(decoders.processes) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    kill_all()
    assert estimate(client, PHOTO).status_code == 200
    wait_for_both()
    kill_all()
    wait_for_both()  # without a request
    assert estimate(client, PHOTO).status_code == 200


@pytest.mark.skipif(sys.platform == "win32", reason="no timers of processor time")
def test_a_picture_that_takes_too_long_ends_and_is_refused_at_once() -> None:
    slow = picture(1900, 1000, "PNG")

    async def run() -> None:
        service = Service(Settings(jobs=1, megapixel_seconds=1e-9))
        decoder = service.decoders
        await decoder.start()
        try:
            costly = noise(4990, 4990, "JPEG", progressive=True)
            with pytest.raises(DecoderDiedError, match="too long"):  # than half a second
                await decoder.estimate(costly, ASKED, "a")
            begun = time.monotonic()
            with pytest.raises(DecoderDiedError, match="before"):
                await decoder.estimate(costly, ASKED, "b")
            assert time.monotonic() - begun < 0.2
            assert (await decoder.estimate(slow, ASKED, "b")).values["width"] == 1900
        finally:
            await decoder.stop()

    asyncio.run(run())


def test_an_overload_is_refused_at_once_and_ends_no_decoder() -> None:
    upload = Upload("large.jpg", noise(2000, 2000, "JPEG"))

    async def run() -> None:
        service = Service(Settings(jobs=1, max_wait=1, deadline=120))
        await service.decoders.start()
        refused: list[float] = []

        async def one() -> PictureResult | None:
            begun = time.monotonic()
            try:
                with service.admitted("a", len(upload.data)):
                    await asyncio.sleep(0.01)  # as its body arrives
            except BusyError:
                refused.append(time.monotonic() - begun)
                return None
            (result,) = await service.estimate([upload], ASKED, "a")
            assert isinstance(result, PictureResult)
            return result

        try:
            before = service.decoders.processes
            answers = await asyncio.gather(*(one() for _ in range(120)))
            good = [answer for answer in answers if answer is not None]
            assert good
            assert all(answer.values["width"] == 2000 for answer in good)
            assert len(refused) > 60
            assert max(refused) < 0.5
            assert service.decoders.processes == before
            assert await one() is not None
        finally:
            await service.decoders.stop()

    asyncio.run(run())


def test_an_honest_client_keeps_its_pace_beside_costly_ones() -> None:
    async def run() -> None:
        service = Service(Settings(jobs=1, deadline=30))
        decoders = service.decoders
        await decoders.start()
        costly = noise(4000, 3000, "WEBP", quality=90)

        async def paces(count: int) -> list[float]:
            times = []
            for _ in range(count):
                begun = time.monotonic()
                await decoders.estimate(PHOTO, ASKED, "honest")
                times.append(time.monotonic() - begun)
            return times

        async def hostile(name: str) -> None:
            while True:
                await decoders.estimate(costly, ASKED, name)

        try:
            await paces(3)
            alone = statistics.median(await paces(15))
            others = [asyncio.create_task(hostile(name)) for name in ("b", "c")]
            await asyncio.sleep(0.2)
            together = statistics.median(await paces(15))
            for one in others:
                one.cancel()
            # The processor is shared by two processes then, and the machine may be busy too.
            assert together < 5 * alone
        finally:
            await decoders.stop()

    asyncio.run(run())


def test_no_answer_in_time() -> None:
    with TestClient(create_app(Settings(jobs=1, deadline=0.001))) as client:
        assert estimate(client, PHOTO).status_code == 504


def test_a_deadline_ends_what_waits() -> None:
    async def run() -> None:
        service = Service(Settings(jobs=1, deadline=0.001))
        await service.decoders.start()
        try:
            with pytest.raises(DeadlineError):
                await service.estimate([Upload("a", PHOTO), Upload("b", PHOTO)], ASKED, "a")
        finally:
            await service.decoders.stop()

    asyncio.run(run())


@dataclass(eq=False)
class _Job:
    client: str
    costly: bool = False
    abandoned: bool = False
    size: int = 100_000
    came: float = field(default_factory=itertools.count().__next__)


def test_the_queue_by_hand() -> None:
    queue: FairQueue[_Job] = FairQueue()
    greedy = [_Job("greedy", costly=True) for _ in range(3)]
    for job in greedy:
        queue.push(job)
    assert queue.pop(costly=False) is None
    assert queue.pop(costly=True) is greedy[0]
    queue.charge(greedy[0], 10.0)
    honest = [_Job("honest") for _ in range(2)]
    for job in honest:
        queue.push(job)
    assert len(queue) == 4
    assert queue.work_ahead("new") > 0
    assert queue.pop(costly=True) is honest[0]
    assert queue.work_begun() > 0
    queue.charge(honest[0], 0.01)
    assert queue.work_begun() == pytest.approx(0)
    assert queue.pop(costly=True) is honest[1]  # it has used much less
    queue.charge(honest[1], 0.01)
    greedy[1].abandoned = True
    assert queue.pop(costly=True) is greedy[2]
    queue.charge(greedy[2], None)
    later = _Job("greedy")
    for job in (later, greedy[2]):
        queue.push(job)
    assert queue.pop(costly=True) is greedy[2]  # it came first
    assert queue.pop(costly=True) is later
    assert queue.pop(costly=True) is None


def test_pictures_that_turn_out_to_be_costly_keep_their_order() -> None:
    queue: FairQueue[_Job] = FairQueue()
    jobs = [_Job("one") for _ in range(4)]
    for job in jobs:
        queue.push(job)
    for job in jobs:  # a quick decoder looks at each, and gives it back
        assert queue.pop(costly=False) is job
        queue.charge(job, None)
        job.costly = True
        queue.push(job)
    assert queue.pop(costly=False) is None
    assert [queue.pop(costly=True) for _ in jobs] == jobs


def test_what_nobody_has_sent_before_is_thought_to_be_costly() -> None:
    queue: FairQueue[_Job] = FairQueue()

    def work(size: int, seconds: float, client: str) -> None:
        job = _Job(client, size=size)
        queue.push(job)
        assert queue.pop(costly=True) is job
        queue.charge(job, seconds)

    work(100_000, 0.1, "")
    for name in ("a", "b"):
        queue.announce(name, 90_000)
    assert queue.work_ahead("a") == pytest.approx(2 * 0.094, abs=0.001)  # by their bytes
    queue.announce("c", 5_000_000)
    assert queue.work_ahead("c") > 30
    work(4_000_000, 1.0, "a")
    assert queue.work_ahead("c") < 2  # known from another client
    work(4_500_000, 10.0, "c")
    assert queue.work_ahead("c") > 10  # and now from its own
    assert queue.work_ahead("d") < 1


def test_what_another_client_sends_makes_nobody_wait_for_long() -> None:
    queue: FairQueue[_Job] = FairQueue()
    for _ in range(1000):
        queue.push(_Job("greedy"))
    before = queue.work_ahead("greedy")
    assert before > 10  # seconds: a thousand pictures as they are thought of at first
    queue.announce("greedy", 1_000_000)
    assert queue.work_ahead("greedy") > before + 0.1
    assert queue.work_ahead("honest") < 0.1
    queue.arrived("greedy", 1_000_000)
    assert queue.work_ahead("greedy") == pytest.approx(before)

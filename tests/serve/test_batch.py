from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillwatch.errors import TableError
from stillwatch.serve.batch import Batcher, Judged
from stillwatch.serve.limits import Limits, RefusedError
from stillwatch.serve.models import Model, open_models
from stillwatch.serve.wire.asked import Answer, Asked, Reply
from stillwatch.table.rows import Rows


@pytest.fixture
def one_model(numbers: Path) -> Model:
    model = open_models([numbers]).only()
    assert model is not None
    return model


class Watched:
    """Remembers how many rows each call of the model had."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, judged: Judged) -> None:
        self.batches.append(len(judged.verdict.score))


def rows_of(model: Model, values: list[float]) -> Rows:
    return model.packer.array(np.array(values)[:, None] * np.ones(5))


def asked(model: Model, *values: float, seconds: float = 0) -> Any:
    def read() -> Asked:
        time.sleep(seconds)
        return Asked(rows_of(model, list(values)), 0, 0.1, ("score",), _reply)

    return read


def _reply(answer: Answer) -> Reply:
    return Reply(answer.score.tobytes(), "")


def test_requests_that_come_together_are_scored_together_and_each_gets_its_own(one_model: Model) -> None:
    watched = Watched()
    batcher = Batcher(Limits(), watched)

    async def run() -> list[Reply]:
        return await asyncio.gather(
            *(batcher.reply(one_model, asked(one_model, *[float(i)] * (i % 3 + 1)), 10) for i in range(20))
        )

    replies = asyncio.run(run())
    assert sum(watched.batches) == sum(i % 3 + 1 for i in range(20))
    assert len(watched.batches) < 10
    for i, reply in enumerate(replies):
        expected = one_model.scorer.score_packed(rows_of(one_model, [float(i)] * (i % 3 + 1)))
        np.testing.assert_allclose(np.frombuffer(reply.content, np.float32), expected, rtol=1e-5, atol=1e-5)


def test_a_bad_request_among_others_is_told_alone(one_model: Model) -> None:
    batcher = Batcher(Limits(), Watched())

    def bad() -> Asked:
        raise TableError("bad")

    async def run() -> list[Any]:
        return await asyncio.gather(
            batcher.reply(one_model, asked(one_model, 1.0), 10),
            batcher.reply(one_model, bad, 10),
            batcher.reply(one_model, asked(one_model, 2.0), 10),
            return_exceptions=True,
        )

    first, second, third = asyncio.run(run())
    assert isinstance(second, TableError)
    assert isinstance(first, Reply)
    assert isinstance(third, Reply)


def test_the_queue_is_bounded(one_model: Model) -> None:
    batcher = Batcher(Limits(waiting=4), Watched())

    async def run() -> list[Any]:
        tasks = (batcher.reply(one_model, asked(one_model, 1.0), 10) for _ in range(10))
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(run())
    refused = [reply for reply in found if isinstance(reply, RefusedError)]
    assert len(refused) == 6
    assert {(exc.status, exc.retry_after) for exc in refused} == {(503, 1)}


def test_a_request_whose_deadline_passed_is_not_scored(one_model: Model) -> None:
    watched = Watched()
    batcher = Batcher(Limits(answer_seconds=0.05), watched)

    async def run() -> list[Any]:
        slow = batcher.reply(one_model, asked(one_model, 1.0, seconds=0.1), 10)
        return await asyncio.gather(
            slow, batcher.reply(one_model, asked(one_model, 2.0), 10), return_exceptions=True
        )

    _, late = asyncio.run(run())
    assert isinstance(late, RefusedError)
    assert (late.status, late.reason) == (503, "late")
    assert watched.batches == [1]


def test_large_requests_leave_the_loop_free_and_are_bounded(one_model: Model) -> None:
    batcher = Batcher(Limits(waiting_large=2), Watched())
    large = 1 << 20

    async def run() -> tuple[list[Any], float]:
        tasks = [
            asyncio.create_task(batcher.reply(one_model, asked(one_model, 1.0, seconds=0.3), large))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        await batcher.reply(one_model, asked(one_model, 1.0), 10)
        took = time.monotonic() - began
        return await asyncio.gather(*tasks, return_exceptions=True), took

    found, took = asyncio.run(run())
    assert took < 0.25
    assert [type(reply) for reply in found].count(RefusedError) == 1
    assert batcher.depth == 0


def test_a_large_request_that_is_late_is_given_up(one_model: Model) -> None:
    batcher = Batcher(Limits(answer_seconds=0.05), Watched())

    async def run() -> None:
        with pytest.raises(RefusedError, match="deadline"):
            await batcher.reply(one_model, asked(one_model, 1.0, seconds=0.2), 1 << 20)
        await asyncio.sleep(0.3)

    asyncio.run(run())
    assert batcher.depth == 0


def test_many_rows_in_a_small_body_go_beside(one_model: Model) -> None:
    watched = Watched()
    batcher = Batcher(Limits(), watched)
    reply = asyncio.run(batcher.reply(one_model, asked(one_model, *[1.0] * 5_000), 10))
    assert len(reply.content) == 20_000
    assert watched.batches == [5_000]

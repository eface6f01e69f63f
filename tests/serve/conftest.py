from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.serve.access import Token
from stillwatch.serve.app import Service, application
from stillwatch.serve.limits import Limits
from stillwatch.serve.log import Log
from stillwatch.serve.models import open_models
from stillwatch.serve.watch.feedback import FeedbackFolder
from tests.serve.process import Process
from tests.tables import mixed_table

TOKEN = "a token of more than sixteen signs".replace(" ", "-")

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of numbers alone, which takes the packed input."""
    rng = np.random.default_rng(3)
    table = pa.table({f"x{i}": rng.normal(size=600) for i in range(5)})
    folder = tmp_path_factory.mktemp("models") / "numbers"
    sw.distill(table, teacher="knn", assume_normal=True, student=sw.MLP(hidden=(16,), steps=60)).save(folder)
    return folder


@pytest.fixture(scope="session")
def scorer(model: Path) -> sw.Scorer:
    return sw.load(model)


@pytest.fixture(scope="session")
def rows() -> pa.Table:
    """Rows that the model has not seen, with gaps."""
    return mixed_table(300, seed=12).drop_columns(["fraud"])


@pytest.fixture
def make_ask(model: Path, numbers: Path) -> Callable[..., Ask]:
    """Make a way to ask the application, without a network."""

    def make(
        *,
        limits: Limits | None = None,
        token: str | None = None,
        folders: list[Path] | None = None,
        feedback: FeedbackFolder | None = None,
    ) -> Ask:
        log = Log(io.BytesIO(), requests=True)
        service = Service(open_models(folders or [model, numbers]), limits or Limits(), log, feedback)
        app = application(service, None if token is None else Token(token))

        def ask(method: str, path: str, **options: Any) -> httpx.Response:
            async def run() -> httpx.Response:
                transport = httpx.ASGITransport(app=app)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    return await client.request(method, path, **options)

            return asyncio.run(run())

        ask.service = service  # type: ignore[attr-defined]
        return ask

    return make


@pytest.fixture
def ask(make_ask: Callable[..., Ask]) -> Ask:
    return make_ask()


@pytest.fixture(scope="session")
def served(model: Path, numbers: Path) -> Iterator[Process]:
    """The service as a process of its own, with both models."""
    with Process([model, numbers]) as process:
        yield process

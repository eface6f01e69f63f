"""The live page in a browser. The pictures that it leaves in `tmp_path` were looked at, wide and narrow, light and dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

import stillwatch as sw
from tests.browser import Browser, Page, needs_chromium
from tests.serve.conftest import TOKEN
from tests.serve.process import Process
from tests.serve.watch.conftest import shifted

HOSTILE = '<img src=x onerror="document.title=1">\u202e\x1b[31m'
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def served(payments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    folder = tmp_path_factory.mktemp("page") / "feedback"
    with Process(
        [payments], "--watch", str(folder), "--quiet", environment={"STILLWATCH_TOKEN": TOKEN}
    ) as process:
        yield process, folder


def send(process: Process, rows: list[dict[str, Any]]) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=process.url, headers=headers) as client:
        for row in rows:
            assert client.post("/invocations", json={"dataframe_records": [row]}).status_code == 200


def enter(browser: Browser, process: Process, token: str = TOKEN, *, dark: bool = False) -> Page:
    page = browser.page()
    page.look(width=1280, dark=dark)
    page.open(f"{process.url}/watch")
    page.until("!document.getElementById('door').hidden")
    page.ask(
        f"document.getElementById('token').value = {json.dumps(token)};"
        "document.querySelector('#door button').click()"
    )
    return page


def test_alerts_drift_and_a_confirmation(
    served: tuple[Process, Path], events: list[dict[str, Any]], tmp_path: Path
) -> None:
    process, folder = served
    send(process, shifted(events[1:260], 40))
    send(process, [events[0] | {"city": HOSTILE, "payment_id": HOSTILE}])
    with Browser() as browser:
        page = enter(browser, process)
        page.until("document.querySelectorAll('#alerts > li').length > 5")
        newest = page.ask("document.querySelector('#alerts > li').textContent")
        assert "amount is" in newest
        assert "<img src=x onerror=" in newest
        assert "\u202e" not in newest
        assert page.ask("document.querySelectorAll('img').length") == 0
        assert page.ask("document.querySelectorAll('#drift [data-column=amount] .bar').length") > 3
        assert "drifted" in page.ask("document.getElementById('tiles').textContent")
        assert page.ask("document.querySelectorAll('#rates polyline').length") == 1
        assert page.ask("document.querySelectorAll('#scores polyline').length") == 2
        page.ask("document.querySelector('#alerts > li .does button').click()")
        page.until(
            "document.querySelector('#alerts > li .does button').getAttribute('aria-pressed') === 'true'"
        )
        (line,) = [json.loads(text) for text in (folder / "payments.ndjson").read_text().splitlines()]
        assert (line["payment_id"], line["known"]) == (HOSTILE, 1)
        joined = sw.join_feedback(
            pa.table({"payment_id": [HOSTILE, "other"]}), folder / "payments.ndjson", key="payment_id"
        )
        np.testing.assert_array_equal(joined.known, [1, np.nan])
        assert page.complaints == []  # no error, and nothing against the content security policy
        assert {url.removeprefix(process.url) for url in page.requests if not url.startswith("data:")} == {
            "/watch", "/watch/page.css", "/watch/page.js", "/watch/data", "/watch/feedback",
        }  # fmt: skip
        (tmp_path / "wide-light.png").write_bytes(page.picture())


def test_it_fits_a_phone_and_the_dark(
    served: tuple[Process, Path], events: list[dict[str, Any]], tmp_path: Path
) -> None:
    process, _ = served
    send(process, [events[0]])
    papers = set()
    for dark in (False, True):
        with Browser() as browser:
            page = enter(browser, process, dark=dark)
            page.until("document.querySelectorAll('#alerts > li').length > 0")
            for width in (1280, 390, 320):
                page.look(width=width, dark=dark)
                assert page.ask("document.documentElement.scrollWidth") <= width
                (tmp_path / f"{width}-{'dark' if dark else 'light'}.png").write_bytes(page.picture())
            papers.add(page.ask("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2


def test_a_wrong_token_leads_back_to_the_door(served: tuple[Process, Path]) -> None:
    process, _ = served
    with Browser() as browser:
        page = enter(browser, process, "wrong-and-long-enough")
        page.until("document.getElementById('state').textContent.includes('wrong')")
        assert page.ask("document.getElementById('live').hidden")
        assert page.ask("sessionStorage.length") == 0

"""Who may see the live page, and who may say something there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stillwatch.serve.watch.feedback import FeedbackFolder
from tests.serve.conftest import TOKEN, Ask
from tests.serve.process import PROGRAM

PAGE = ("/watch", "/watch/page.js", "/watch/page.css")
VALUES = (("GET", "/watch/data"), ("POST", "/watch/feedback"))


@pytest.fixture
def guarded(make_ask: Any, payments: Path, feedback: Path) -> Ask:
    ask: Ask = make_ask(folders=[payments], feedback=FeedbackFolder(feedback), token=TOKEN)
    return ask


def test_it_is_off_unless_asked_for(ask: Ask) -> None:
    for path in (*PAGE, "/watch/data"):
        assert ask("GET", path).status_code == 404
    assert ask("POST", "/watch/feedback").status_code == 404


def test_it_needs_a_token_to_be_turned_on(payments: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "STILLWATCH_TOKEN"}
    done = subprocess.run(
        [PROGRAM, "serve", payments, "--watch", tmp_path, "--port", "0", "--insecure"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--watch shows values of rows, and no token is set" in " ".join(done.stderr.split())


def test_values_need_the_token_and_the_empty_page_does_not(guarded: Ask, events: Any) -> None:
    for method, path in VALUES:
        assert guarded(method, path).status_code == 401
        assert guarded(method, f"{path}?token={TOKEN}").status_code == 401
        assert guarded(method, path, headers={"cookie": f"token={TOKEN}"}).status_code == 401
    for path in PAGE:
        answer = guarded("GET", path)
        assert answer.status_code == 200
        assert TOKEN not in answer.text
        assert "payments" not in answer.text
    assert guarded("GET", "/watch/data", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://elsewhere.example"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://test"}, True),
        ({"origin": "https://test"}, True),
        ({"origin": "http://test.evil.example"}, False),
        ({"origin": "http://test:81"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_other_sites_cannot_make_a_browser_send_anything(
    guarded: Ask, headers: dict[str, str], taken: bool, feedback: Path
) -> None:
    authorised = headers | {"authorization": f"Bearer {TOKEN}"}
    answer = guarded("POST", "/watch/feedback", json={"alert": "x", "known": 1}, headers=authorised)
    assert answer.status_code == (404 if taken else 403)
    scored = guarded("POST", "/invocations", json={"dataframe_records": []}, headers=authorised)
    assert scored.status_code == (200 if taken else 403)
    assert list(feedback.iterdir()) == []


def test_no_other_site_may_read_and_nothing_foreign_runs(guarded: Ask) -> None:
    headers = {"origin": "https://elsewhere.example", "authorization": f"Bearer {TOKEN}"}
    for path in (*PAGE, "/watch/data"):
        answer = guarded("GET", path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    preflight = guarded("OPTIONS", "/watch/feedback", headers=headers)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control-")]

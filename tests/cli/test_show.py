from __future__ import annotations

import json
import re
import time

import pytest

from stillwatch.cli.show import progress


def test_a_terminal_is_shown_a_bar_and_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with progress() as tell:
        for done in (0, 10, 20):
            tell("score", done, 1_000_000)
            time.sleep(0.05)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"score .*━ +20 0:00:00 +[0-9]+:[0-5][0-9]:[0-5][0-9]", text), text


def test_a_pipe_gets_a_line_when_a_step_begins_and_one_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as tell:
        for done in (0, 10, 20, 30):
            tell("score", done, 30)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["step"], line["done"], line["total"]) for line in lines] == [
        ("score", 0, 30),
        ("score", 30, 30),
    ]

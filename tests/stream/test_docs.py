"""What docs/stream.md shows runs as it stands; Kafka's client is played."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import stillwatch as sw
from stillwatch.stream import EventScorer

DOCUMENT = (Path(__file__).parents[2] / "docs" / "stream.md").read_text()
CONSUME, MAKE, FROM_PYTHON = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@dataclass
class Message:
    body: bytes | None
    name: bytes = b""
    wrong: str | None = None

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes:
        return self.name

    def error(self) -> str | None:
        return self.wrong


@dataclass
class Broker:
    """A consumer and a producer that remember what they were asked, in order."""

    messages: list[Message]
    left: int = 0  # messages that a flush does not get rid of
    done: list[Any] = field(default_factory=list)
    at: int = 0

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        found = self.messages[self.at : self.at + min(num_messages, 40)]
        self.at += len(found)
        return found

    def produce(self, topic: str, *, key: bytes, value: bytes) -> None:
        self.done.append((topic, key, value))

    def flush(self, timeout: float) -> int:
        self.done.append("flush")
        return self.left

    def commit(self, *, asynchronous: bool) -> None:
        assert not asynchronous
        self.done.append(("commit", self.at))


def consume(broker: Broker, scorer: sw.Scorer) -> None:
    scope: dict[str, Any] = {}
    exec(CONSUME, scope)  # noqa: S102 - our own document
    scope["consume"](broker, broker, EventScorer(scorer), lambda: broker.at < len(broker.messages))


def test_a_consumer_answers_before_it_commits(scorer: sw.Scorer, lines: list[bytes]) -> None:
    messages = [Message(line, b"k%d" % i) for i, line in enumerate(lines[:100])]
    messages[7:7] = [Message(b"bad", b"wrong"), Message(None, b"tombstone"), Message(b"x", wrong="lost")]
    broker = Broker(messages)
    consume(broker, scorer)
    scores = [call for call in broker.done if call[0] == "scores"]
    assert [key for _, key, _ in scores] == [b"k%d" % i for i in range(100)]
    assert [value for _, _, value in scores] == EventScorer(scorer).score(lines[:100]).lines
    assert [call[1] for call in broker.done if call[0] == "dead-letters"] == [b"wrong"]
    assert [call for call in broker.done if call[0] == "commit"] == [
        ("commit", 40),
        ("commit", 80),
        ("commit", 103),
    ]
    assert all(broker.done[i - 1] == "flush" for i, call in enumerate(broker.done) if call[0] == "commit")


def test_a_consumer_whose_answers_do_not_arrive_commits_nothing(
    scorer: sw.Scorer, lines: list[bytes]
) -> None:
    broker = Broker([Message(line) for line in lines[:10]], left=1)
    with pytest.raises(RuntimeError, match="the batch comes again"):
        consume(broker, scorer)
    assert not [call for call in broker.done if call[0] == "commit"]


def test_the_other_blocks_run_in_order(
    keyed: Path, lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(keyed)
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(lines[:200]))
    exec(MAKE.replace("rate=0.001", "rate=0.05") + FROM_PYTHON, {})  # noqa: S102
    assert capsys.readouterr().out.split()[0] == "200"
    assert (
        json.loads((tmp_path / "scores.ndjson").read_text().splitlines()[-1])["id"]
        == json.loads(lines[199])["id"]
    )

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from stillwatch.errors import InputError
from stillwatch.serve.access import Token, open_socket, read_token
from tests.serve.conftest import TOKEN

GUARDED = [
    "/v2",
    "/v2/models/mixed",
    "/v2/models/mixed/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/nothing",
]


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
def test_row_16_without_the_token_nothing_but_health_is_open(make_ask: Any, header: str | None) -> None:
    ask = make_ask(token=TOKEN)
    headers = {} if header is None else {"authorization": header}
    for path in GUARDED:
        answer = ask("GET", path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask("POST", "/v2/models/mixed/infer", headers=headers, content=b"{}").status_code == 401
    for path in ("/v2/health/live", "/v2/health/ready", "/ping"):
        assert ask("GET", path, headers=headers).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens(make_ask: Any, scheme: str) -> None:
    ask = make_ask(token=TOKEN)
    assert ask("GET", "/v2/models/mixed", headers={"authorization": f"{scheme} {TOKEN}"}).status_code == 200


def test_tokens_are_compared_by_digests_of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that neither content nor length of a wrong token shows in the time it takes."""
    lengths = set()

    def compare(a: bytes, b: bytes) -> bool:
        lengths.add((len(a), len(b)))
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    token = Token(TOKEN)
    assert token.opens(f"Bearer {TOKEN}".encode())
    assert not any(token.opens(header) for header in (None, b"", b"Bearer x", b"Bearer " + b"y" * 5_000))
    assert lengths == {(32, 32)}


def test_where_a_token_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    from_file = read_token(file, {})
    assert from_file is not None
    assert from_file.opens(f"Bearer {TOKEN}".encode())
    assert read_token(None, {}) is None
    assert read_token(None, {"STILLWATCH_TOKEN": TOKEN}) is not None


@pytest.mark.parametrize("secret", ["", "short", "with space and long enough", "ü" * 20])
def test_a_token_that_is_none_is_refused(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "token"
    file.write_text(secret)
    with pytest.raises(InputError, match="token"):
        read_token(file, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - that is the point
def test_a_public_address_needs_a_token(host: str) -> None:
    with pytest.raises(InputError, match="--token-file"):
        open_socket(host, 0, guarded=False)


def test_the_loopback_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("127.0.0.1", "localhost"):
        open_socket(host, 0, guarded=False).close()


def test_row_27_a_taken_port_and_an_unknown_address_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}: Address already in use"):
            open_socket("127.0.0.1", port, guarded=False)
    with pytest.raises(InputError, match="unknown"):
        open_socket("no-such-host.invalid", 0, guarded=True)

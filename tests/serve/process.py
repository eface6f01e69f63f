"""The service as users run it: a process, an address, a log."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

PROGRAM = Path(sys.executable).with_name("stillwatch")


class Process:
    """Starts `stillwatch serve` at a free port of the loopback, and ends it."""

    def __init__(
        self, models: Sequence[Path], *flags: str, environment: dict[str, str] | None = None
    ) -> None:
        command = [str(PROGRAM), "serve", *map(str, models), "--port", "0", *flags]
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        assert self._process.stderr is not None
        self._stderr = self._process.stderr
        self._said = b""
        self.lines: list[dict[str, Any]] = []
        self.address = urlsplit(self.wait_for("listening")["url"])

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=10)
        self._stderr.close()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        assert self.address.hostname is not None
        return self.address.hostname

    @property
    def port(self) -> int:
        assert self.address.port is not None
        return self.address.port

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next line of the log with this event and these fields."""
        while (line := self._next_line(60)) is not None:
            if line["event"] == event and fields.items() <= line.items():
                return line
        raise AssertionError(f"the service ended without {event}; it said {self.lines[-3:]}")

    def _next_line(self, seconds: float) -> dict[str, Any] | None:
        """The next line of the log; None once it has ended."""
        while b"\n" not in self._said:
            readable, _, _ = select.select([self._stderr], [], [], seconds)
            assert readable, f"the service said nothing for {seconds:g} s; before, {self.lines[-3:]}"
            part = os.read(self._stderr.fileno(), 65_536)
            if not part:
                return None
            self._said += part
        raw, _, self._said = self._said.partition(b"\n")
        line: dict[str, Any] = json.loads(raw)
        self.lines.append(line)
        return line

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        """Its exit code."""
        while self._next_line(seconds) is not None:
            pass
        return self._process.wait(timeout=seconds)

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def connect(self, seconds: float = 10) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def say(self, data: bytes, seconds: float = 10) -> bytes:
        """Send bytes as they are, and read until the service closes."""
        with self.connect(seconds) as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def post(path: str, body: bytes, *headers: str, close: bool = False) -> bytes:
    """A request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body)}", *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def until(condition: Any, seconds: float = 10) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.02)

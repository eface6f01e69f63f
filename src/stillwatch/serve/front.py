"""What every request passes: its id, the token, the measure, the log line, and where an unforeseen error was raised."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillwatch.serve.access import Token, of_another_site
from stillwatch.serve.log import Log, place_of
from stillwatch.serve.metrics import Metrics

OPEN = frozenset(("/v2/health/live", "/v2/health/ready", "/ping"))
"""Paths that need no token: they tell nothing but that the service is there."""

_READING = frozenset(("GET", "HEAD", "OPTIONS"))

NOTE = "stillwatch.note"
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


@dataclass
class Note:
    """What a route tells about a request, for the log and the metrics; no feature value ever."""

    identity: str = ""
    model: str = ""
    version: str = ""
    rows: int = 0
    ignored: int = 0


class Front:
    """The outermost application.

    Parameters
    ----------
    token
        None: every request may pass.
    open_too
        further paths that need none.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, log: Log, token: Token | None, open_too: Iterable[str] = ()
    ) -> None:
        self._app, self._metrics, self._log, self._token = app, metrics, log, token
        self._open = OPEN.union(open_too)
        self._ids = (
            f"{prefix}-{number}" for prefix in (secrets.token_hex(4),) for number in itertools.count(1)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, come what may."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        identity = given if _ID.fullmatch(given) else next(self._ids).encode()
        note = scope[NOTE] = Note(identity.decode())
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identity)]
            await send(message)

        self._metrics.inflight += 1
        problem = None
        try:
            if scope["method"] not in _READING and of_another_site(headers):
                self._metrics.refused("site")
                await _refuse(answer, 403, "a page of another site sent this request, which is not taken.")
            elif (
                self._token is None
                or scope["path"] in self._open
                or self._token.opens(headers.get(b"authorization"))
            ):
                await self._app(scope, receive, answer)
            else:
                self._metrics.refused("token")
                said = "the token is missing or wrong. Send it as `Authorization: Bearer TOKEN`."
                await _refuse(answer, 401, said, (b"www-authenticate", b"Bearer"))
        except Exception as exc:
            problem = place_of(exc)  # the answer has been given; see `app`
        finally:
            self._metrics.inflight -= 1
            seconds = time.perf_counter() - began
            self._metrics.answered(note.model, status, seconds)
            if self._log.requests or status >= 500:
                self._note_down(scope, note, status, seconds, problem)

    def _note_down(self, scope: Scope, note: Note, status: int, seconds: float, problem: str | None) -> None:
        fields: dict[str, Any] = {
            "request_id": note.identity,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": status,
            "milliseconds": round(seconds * 1e3, 3),
        }
        if note.model:
            fields |= {"model": note.model, "version": note.version, "rows": note.rows}
        if problem:
            fields["error"] = problem
        self._log.write("request", **fields)


async def _refuse(send: Send, status: int, said: str, *headers: tuple[bytes, bytes]) -> None:
    content = msgspec.json.encode({"error": said})
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})

"""The body of a request: read within its limits, counted as it comes and never by what the client announced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from stillwatch.serve.limits import Limits, RefusedError, overloaded, too_large


class Intake:
    """Reads bodies, and knows how many bytes of all of them are held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, which counts as held until the block ends.

        Raises
        ------
        RefusedError
            the body is too large or packed, or too many are held.
        ClientDisconnect
            the client has gone.
        """
        self._check(request)
        parts: list[bytes] = []
        mine = 0
        try:
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part, more = message["body"], message["more_body"]
                mine += len(part)
                self.held += len(part)
                if mine > self._limits.body_bytes:
                    raise too_large(self._limits)
                if self.held > self._limits.held_bytes:
                    raise overloaded("the bodies of other requests fill its memory")
                parts.append(part)
            yield b"".join(parts) if len(parts) > 1 else parts[0]
        finally:
            self.held -= mine

    def _check(self, request: Request) -> None:
        """Refuse by the head what need not be read."""
        packing = request.headers.get("content-encoding", "identity")
        if packing.lower() != "identity":
            raise RefusedError(
                415,
                "the body is compressed, and only plain bodies are read. Leave Content-Encoding away.",
                "encoding",
            )
        if announced(request) > self._limits.body_bytes:
            raise too_large(self._limits)


def announced(request: Request) -> int:
    """What the client says that the body will have, in bytes; 0 where it says nothing to be read."""
    length = request.headers.get("content-length", "")
    return int(length[:20]) if length.isdecimal() else 0

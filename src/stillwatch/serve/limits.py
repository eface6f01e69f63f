"""What the service takes at most, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.errors import StillwatchError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the service; nothing in it grows without one.

    Attributes
    ----------
    body_bytes, decoded_bytes, rows
        of one request: its body as sent, what the body unfolds to, and its rows.
    columns
        of one request, used or not; a model with more than half as many may have twice its own.
    held_bytes
        of all bodies that are being read or answered.
    waiting
        requests that wait to be scored, and of these, requests large enough for a thread of their own.
    waiting_large
        see `waiting`.
    connections, head_bytes, pipelined
        open connections; bytes of a request before its body; requests sent ahead on one connection.
    idle_seconds
        until a connection without a request is closed.
    read_seconds
        from the first byte of a request to the last of its body.
    answer_seconds
        from there to the answer.
    write_seconds
        until the client has taken the answer.
    drain_seconds
        from SIGTERM to the end, at most.
    """

    body_bytes: int = 8 << 20
    decoded_bytes: int = 128 << 20
    rows: int = 65_536
    columns: int = 20_000
    held_bytes: int = 128 << 20
    waiting: int = 256
    waiting_large: int = 8
    connections: int = 800
    head_bytes: int = 32 << 10
    pipelined: int = 16
    idle_seconds: float = 30.0
    read_seconds: float = 10.0
    answer_seconds: float = 5.0
    write_seconds: float = 30.0
    drain_seconds: float = 20.0


class RefusedError(StillwatchError):
    """A request that is answered with an error; the message is for the client.

    Parameters
    ----------
    status
        HTTP status.
    reason
        one word for the metrics.
    retry_after
        seconds after which the same request may succeed; None: it will not.
    """

    def __init__(self, status: int, message: str, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


def too_many_rows(rows: int, limits: Limits) -> RefusedError:
    """More rows in one request than allowed."""
    return RefusedError(
        413,
        f"{rows:,} rows came in one request, at most {limits.rows:,} are taken. Send them in parts.",
        "rows",
    )


def too_many_columns(columns: int, limits: Limits) -> RefusedError:
    """More columns in one request than allowed, whether the model uses them or not."""
    return RefusedError(
        413,
        f"{columns:,} columns came in one request, at most {limits.columns:,} are taken. "
        "Leave out those that the model does not use.",
        "columns",
    )


def too_large(limits: Limits) -> RefusedError:
    """A body beyond its limit."""
    return RefusedError(
        413, f"the body is larger than {limits.body_bytes:,} bytes. Send the rows in parts.", "body"
    )


def unfolds_too_far(limits: Limits) -> RefusedError:
    """A body that would take too much memory once it is read."""
    return RefusedError(
        413,
        f"the body unfolds to more than {limits.decoded_bytes:,} bytes. Send the rows in parts.",
        "decoded",
    )


def overloaded(what: str) -> RefusedError:
    """Too much to do; the client should come back."""
    return RefusedError(
        503, f"the service has too much to do: {what}. Try again in a second.", "overload", retry_after=1
    )


def late() -> RefusedError:
    """The deadline of a request has passed."""
    return RefusedError(
        503,
        "the request waited longer than its deadline. Try again in a second, or send fewer rows at once.",
        "late",
        retry_after=1,
    )

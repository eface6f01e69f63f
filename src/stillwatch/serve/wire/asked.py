"""What a request asks, and what it gets, whatever format it came in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillwatch.errors import CalibrationError, InputError
from stillwatch.explain.reasons import Reason
from stillwatch.serve.limits import Limits, RefusedError, too_many_columns, too_many_rows
from stillwatch.serve.models import Model
from stillwatch.table.rows import Rows
from stillwatch.table.values import shown

DEFAULT_OUTPUTS = ("score", "p_value", "alert")
OUTPUTS = (*DEFAULT_OUTPUTS, "low_evidence", "reasons")
TOP = 3  # reasons a row
MOST_REASONED = 1_000  # rows of one request with reasons: one takes as long as scoring some thirty


@dataclass(frozen=True)
class Answer:
    """Judged rows; see `stillwatch.scorer.Verdict`.

    Attributes
    ----------
    reasons
        per row, where they were asked for.
    """

    score: NDArray[np.float32]
    p_value: NDArray[np.float64]
    alert: NDArray[np.bool_]
    low_evidence: NDArray[np.bool_]
    reasons: Sequence[tuple[Reason, ...]] = ()

    def column(self, name: str) -> list[Any]:
        """One output as Python values."""
        if name == "reasons":
            return list(self.reasons)
        values = getattr(self, name)
        # float64 would be written with digits that no score has.
        values = values.astype(np.float32) if name == "p_value" else values
        return list(values.tolist())


class Reply(NamedTuple):
    """Bytes for the client."""

    content: bytes
    media: str
    headers: tuple[tuple[str, str], ...] = ()


Cell = Callable[[str, int], Any]
"""The value that a request has in a column (by name) and row (from 0), whether the model uses the column or not; None: none."""


def no_cell(column: str, row: int) -> None:
    """`Cell` of a request whose columns have no names."""


@dataclass(frozen=True)
class Asked:
    """A request, read.

    Attributes
    ----------
    rows
        packed for the model.
    ignored
        number of columns that the model does not use.
    rate
        alert rate; see `checked_rate`.
    outputs
        names out of `OUTPUTS`.
    reply
        writes the answer in the format of the request.
    cell
        looks up what was sent, such as the key of a row.
    """

    rows: Rows
    ignored: int
    rate: float
    outputs: tuple[str, ...]
    reply: Callable[[Answer], Reply]
    cell: Cell = no_cell


class Head(NamedTuple):
    """What stands beside a body.

    Attributes
    ----------
    alert_rate, outputs
        from the query; formats that say it in the body need not look.
    binary_header
        `Inference-Header-Content-Length`.
    accept
        the format of the answer, where there is a choice.
    """

    alert_rate: str | None = None
    outputs: str | None = None
    binary_header: str | None = None
    accept: str = ""


Reader = Callable[[bytes, Head, Model, Limits], Asked]


def checked_rate(given: Any, model: Model) -> float:
    """The alert rate that was asked for, or the model's.

    Raises
    ------
    InputError
        it is no share, or finer than the calibration rows support.
    """
    if given is None:
        return model.rate
    try:
        rate = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        rate = math.nan
    if not 0 < rate < 1:
        raise CalibrationError(f"alert_rate {shown(given)} came; expected a number between 0 and 1.")
    model.check_rate(rate)
    return rate


def checked_outputs(given: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs that were asked for, each once.

    Raises
    ------
    InputError
        a name is unknown.
    """
    if not given:
        return DEFAULT_OUTPUTS
    for name in given:
        if name not in OUTPUTS:
            raise InputError(f"there is no output {shown(name)}. There are {', '.join(OUTPUTS)}.")
    return tuple(dict.fromkeys(given))


def check_size(rows: int, outputs: tuple[str, ...], limits: Limits) -> None:
    """Refuse more rows than are taken, before anything is made of them."""
    if rows > limits.rows:
        raise too_many_rows(rows, limits)
    if "reasons" in outputs and rows > MOST_REASONED:
        raise RefusedError(
            413,
            f"reasons were asked for {rows:,} rows, and {MOST_REASONED:,} are explained at once. "
            "Score first, and ask for the reasons of the alerts.",
            "rows",
        )


def check_columns(columns: int, model: Model, limits: Limits) -> None:
    """Refuse more columns than are taken, before a table is made of them: each costs kilobytes, however short it is."""
    if columns > max(limits.columns, 2 * len(model.columns)):
        raise too_many_columns(columns, limits)


def asked_by_query(head: Head, model: Model) -> tuple[float, tuple[str, ...]]:
    """Rate and outputs from the query: `?alert_rate=0.001&outputs=score,reasons`."""
    outputs = head.outputs.split(",") if head.outputs else None
    return checked_rate(head.alert_rate, model), checked_outputs(outputs)

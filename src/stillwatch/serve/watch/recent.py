"""What the live page shows of the last half hour: alarms, and rows and scores over time. Bounded, and gone with the process."""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stillwatch.errors import StillwatchError
from stillwatch.explain.reasons import Reason
from stillwatch.serve.batch import Judged, Part
from stillwatch.serve.models import Model
from stillwatch.serve.wire.asked import TOP
from stillwatch.table.rows import Rows

SPAN = 10  # seconds of a step
STEPS = 180
MOST_ALERTS = 50  # kept of a model
_MOST_OF_A_CALL = 8  # alarms of rows that were scored together
_LONGEST_KEY = 1_000

Key = tuple[Any, ...]


@dataclass(eq=False)
class Alert:
    """One row that raised an alarm.

    Attributes
    ----------
    identity
        names it on the page; never used twice, by another process neither.
    moment
        seconds since 1970.
    request_id, row
        where it came from; the row's number counts from 1.
    key
        values of the model's key columns; None: the request lacked one.
    reasons
        found when they are asked for.
    """

    identity: str
    model: Model
    moment: float
    request_id: str
    row: int
    key: Key | None
    score: float
    p_value: float
    packed: Rows
    reasons: tuple[Reason, ...] | None = None

    def explain(self) -> tuple[Reason, ...]:
        """The reasons; none where the model holds no reference values."""
        if self.reasons is None:
            try:
                (self.reasons,) = self.model.scorer.explain_packed(self.packed, TOP)
            except StillwatchError:
                self.reasons = ()
        return self.reasons


@dataclass
class Step:
    """Some seconds of a model.

    Attributes
    ----------
    start
        seconds since 1970.
    total, highest
        of the scores.
    """

    start: int
    rows: int = 0
    alerts: int = 0
    total: float = 0.0
    highest: float = -math.inf


@dataclass
class _Past:
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=MOST_ALERTS))
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=STEPS))


class Recent:
    """Alarms and steps of all models."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def judged(self, judged: Judged) -> None:
        """Take what is to be seen of judged rows."""
        now, score = time.time(), judged.verdict.score
        past = self._past.setdefault(judged.model.name, _Past())
        start = int(now) // SPAN * SPAN
        if not past.steps or past.steps[-1].start < start:
            past.steps.append(Step(start))
        if not len(score):
            return
        step = past.steps[-1]
        single = (
            len(score) == 1
        )  # worth its own words: it is most calls, and NumPy's reductions are slow to begin
        step.rows += len(score)
        step.total += float(score[0]) if single else float(score.sum(dtype=np.float64))
        step.highest = max(step.highest, float(score[0] if single else score.max()))
        if single and not judged.verdict.alert[0]:
            return
        alarms = np.flatnonzero(judged.verdict.alert)
        step.alerts += len(alarms)
        if len(alarms) > _MOST_OF_A_CALL:
            strongest = np.argpartition(-score[alarms], _MOST_OF_A_CALL)[:_MOST_OF_A_CALL]
            alarms = np.sort(alarms[strongest])
        past.alerts.extend(self._alert(judged, int(at), now) for at in alarms)

    def alerts(self, name: str) -> list[Alert]:
        """The last alarms of a model, the newest first."""
        return list(reversed(self._past[name].alerts)) if name in self._past else []

    def steps(self, name: str) -> list[Step]:
        """The steps of a model in which it was asked, the oldest first."""
        oldest = time.time() - SPAN * STEPS
        return [step for step in self._past[name].steps if step.start > oldest] if name in self._past else []

    def find(self, identity: str) -> Alert | None:
        """The alarm of that name, if it is still kept."""
        every = (alert for past in self._past.values() for alert in past.alerts)
        return next((alert for alert in every if alert.identity == identity), None)

    def _alert(self, judged: Judged, at: int, now: float) -> Alert:
        part = max((part for part in judged.parts if part.start <= at), key=lambda part: part.start)
        row = at - part.start
        return Alert(
            identity=f"{self._prefix}-{next(self._numbers)}",
            model=judged.model,
            moment=now,
            request_id=part.origin,
            row=row + 1,
            key=_key(judged.model, part, row),
            score=float(judged.verdict.score[at]),
            p_value=float(judged.verdict.p_value[at]),
            packed=judged.rows.take(slice(at, at + 1)).copied(),
        )


def _key(model: Model, part: Part, row: int) -> Key | None:
    found = tuple(_plain(part.asked.cell(name, row)) for name in model.manifest.schema.keys)
    return None if None in found else found


def _plain(value: Any) -> str | int | float | bool | None:
    """A key's value as JSON can hold it; None: there is none, or it is too long to be one."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if not isinstance(value, str | int | float):
        value = str(value)
    return None if isinstance(value, str) and len(value) > _LONGEST_KEY else value

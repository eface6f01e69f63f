"""`/watch`: the live page, what it asks for, and what it says.

The page, its script and its style hold no value of any row and need no token; everything else does. The token is typed into the
page and sent as a header, never as a cookie, so that no other site can make a browser ask in its user's name; that requests of
other sites are refused as well is `front`'s.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any, Literal

import msgspec

from stillwatch.calibration.conformal import threshold
from stillwatch.drift.report import Change
from stillwatch.explain.reasons import Value
from stillwatch.serve.batch import Judged
from stillwatch.serve.limits import RefusedError
from stillwatch.serve.metrics import label
from stillwatch.serve.models import Model, Models
from stillwatch.serve.watch.feedback import FeedbackFolder, key_of, why_not
from stillwatch.serve.watch.monitors import LEVEL, Monitors
from stillwatch.serve.watch.recent import SPAN, STEPS, Alert, Recent

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
PARTS = {
    "/watch": ("page.html", "text/html"),
    "/watch/page.css": ("page.css", "text/css"),
    "/watch/page.js": ("page.js", "text/javascript"),
}
_MOST_DRIFTED = 20
_MOST_BARS = 12


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody found in an alarm: 1 = an anomaly, 0 = a false alarm, None = take it back."""

    alert: str
    known: Literal[0, 1] | None


_said = msgspec.json.Decoder(Said)


def part(path: str) -> bytes:
    """A file of the page."""
    return resources.files("stillwatch.serve.watch").joinpath(PARTS[path][0]).read_bytes()


class LivePage:
    """What stands behind the page."""

    def __init__(self, models: Models, monitors: Monitors, feedback: FeedbackFolder) -> None:
        self._models, self._monitors, self._feedback = models, monitors, feedback
        self._recent = Recent()
        self._known: dict[tuple[Any, ...], int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._saying = asyncio.Lock()

    def judged(self, judged: Judged) -> None:
        """Take what is to be seen of judged rows."""
        self._recent.judged(judged)

    def close(self) -> None:
        """Wait for nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def data(self) -> bytes:
        """What the page shows, as of the last refresh of the monitors."""
        alerts = {model.name: self._recent.alerts(model.name) for model in self._models}
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, _explain, [a for every in alerts.values() for a in every])
        said = {
            "span": SPAN,
            "steps": STEPS,
            "level": LEVEL,
            "models": [self._model(model, alerts[model.name]) for model in self._models],
        }
        return msgspec.json.encode(said)

    async def say(self, body: bytes) -> None:
        """Note what was found in an alarm.

        Raises
        ------
        RefusedError
            it cannot be noted.
        """
        try:
            said = _said.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise RefusedError(400, 'expected {"alert": NAME, "known": 1, 0 or null}.', "feedback") from exc
        alert = self._recent.find(said.alert)
        if alert is None:
            raise RefusedError(404, "this alarm is not kept any more.", "feedback")
        async with self._saying:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._feedback.judge, alert, said.known)
        name = _name(alert)
        self._known.pop(name, None)
        if said.known is not None:
            self._known[name] = said.known
            while len(self._known) > 10_000:
                del self._known[next(iter(self._known))]

    def _model(self, model: Model, alerts: list[Alert]) -> dict[str, Any]:
        watched, drift = self._monitors.of(model), self._monitors.of(model).drift
        return {
            "name": model.name,
            "version": model.version,
            "rate": model.rate,
            "threshold": float(threshold(model.manifest.calibration, model.rate)),
            "keys": [label(name) for name in model.manifest.schema.keys],
            "series": [
                {
                    "at": step.start,
                    "rows": step.rows,
                    "alerts": step.alerts,
                    "mean": step.total / step.rows if step.rows else None,
                    "highest": step.highest if step.rows else None,
                }
                for step in self._recent.steps(model.name)
            ],
            "watched": {
                "rows": watched.rows,
                "since": watched.since,
                "evidence": watched.evidence,
                "alarm_row": watched.alarm_row,
                "direction": watched.direction if watched.alarm_row else None,
            },
            "drift": None
            if drift is None
            else {
                "rows": drift.rows,
                "advice": drift.advice,
                "why": drift.why,
                "alert_rate": drift.alarms.found,
                "alerts_drifted": drift.alarms.drifted,
                "score_drifted": drift.score is not None and drift.score.drifted,
                "columns": len({change.column for change in drift.columns}),
                "drifted": [_change(change) for change in drift.columns if change.drifted][:_MOST_DRIFTED],
                "many": len(drift.drifted),
            },
            "alerts": [self._alert(alert) for alert in alerts],
        }

    def _alert(self, alert: Alert) -> dict[str, Any]:
        key = key_of(alert)
        return {
            "id": alert.identity,
            "at": alert.moment,
            "version": alert.model.version,
            "key": None if alert.key is None else [label(value) for value in alert.key],
            "request_id": alert.request_id,
            "row": alert.row,
            "score": alert.score,
            "p_value": alert.p_value,
            "reasons": [
                {
                    "column": label(reason.column),
                    "effect": reason.effect,
                    "value": _shown(reason.value),
                    "normal": _shown(reason.normal),
                }
                for reason in alert.reasons or ()
            ],
            "known": self._known.get(_name(alert)),
            "why_not": why_not(alert) if key is None else None,
        }


def _explain(alerts: list[Alert]) -> None:
    for alert in alerts:
        alert.explain()


def _name(alert: Alert) -> tuple[Any, ...]:
    return (alert.model.name, *(key_of(alert) or {"": alert.identity}).values())


def _change(change: Change) -> dict[str, Any]:
    return {
        "column": label(change.column),
        "kind": change.kind,
        "psi": change.psi,
        "size": change.size,
        "missing": change.missing,
        "unseen": change.unseen,
        "bars": [
            {"label": label(bar.label), "before": bar.before, "now": bar.now}
            for bar in change.bars[:_MOST_BARS]
        ],
    }


def _shown(value: Value) -> str:
    """A value in a few signs."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "infinite"
        return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.5g}"
    return label(value)

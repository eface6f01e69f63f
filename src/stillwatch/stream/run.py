"""A stream from its first line to its last: what came is scored and written before more is read, so memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from stillwatch.errors import InputError
from stillwatch.scorer import Scorer
from stillwatch.stream.events import EventScorer, header_of
from stillwatch.stream.outlet import Outlet, Position

_BOM = b"\xef\xbb\xbf"
_Batch = tuple[int, Sequence[bytes]]  # number of the first line, lines


@dataclass
class Totals:
    """What a stream came to.

    Attributes
    ----------
    rows, alerts
        events that were scored, and those of them that raised an alarm.
    refused
        lines that went to the dead letters.
    """

    rows: int = 0
    alerts: int = 0
    refused: int = 0


def score_stream(
    scorer: Scorer,
    batches: Iterable[Sequence[bytes]],
    outlet: Outlet,
    *,
    rate: float | None = None,
    delimiter: str | None = None,
    absent_is_missing: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Totals:
    """Score lines as they come and write the answers, batch by batch.

    Parameters
    ----------
    scorer
        a loaded model.
    batches
        lines without their ends, such as `Lines(0).batches()`; NDJSON if the first one begins with "{", otherwise CSV whose
        first line is the header.
    outlet
        where scores and dead letters go. If it resumes, `batches` must come from where they did before, or from any later
        point up to the event that was answered last.
    rate
        share of normal rows that may raise an alarm; None: the model's default.
    delimiter
        of CSV; None: found out from the header.
    absent_is_missing
        see `EventScorer`.
    progress
        called with the number of events that were scored, after every batch.

    Raises
    ------
    CalibrationError
        the rate is finer than the calibration rows support.
    SchemaError
        the header lacks a column.
    InputError
        the source ended before the event that was answered last, or the outlet cannot be written.
    """
    totals = Totals()
    events, numbered = _opened(scorer, _numbered(batches), rate, delimiter, absent_is_missing)
    for first, lines in _unanswered(numbered, outlet.position, events):
        scored = events.score(lines, first)
        key = events.key(lines[scored.places[-1]]) if scored.places and events.keys else None
        outlet.put(lines, scored, first, key)
        totals.rows += len(scored.lines)
        totals.alerts += scored.alerts
        totals.refused += len(scored.refused)
        if progress is not None:
            progress(totals.rows)
    return totals


def _numbered(batches: Iterable[Sequence[bytes]]) -> Iterator[_Batch]:
    first = 1
    for lines in batches:
        yield first, lines
        first += len(lines)


def _opened(
    scorer: Scorer,
    batches: Iterator[_Batch],
    rate: float | None,
    delimiter: str | None,
    absent_is_missing: bool,
) -> tuple[EventScorer, Iterator[_Batch]]:
    """What reads the events, by the first line that is not blank, and the batches of events."""
    for first, lines in batches:
        at = next((at for at, line in enumerate(lines) if line.strip()), None)
        if at is None:
            continue
        lines = [lines[at].removeprefix(_BOM), *lines[at + 1 :]]  # noqa: PLW2901
        header: list[str] | None = None
        if not lines[0].lstrip().startswith((b"{", b"[")):
            header, delimiter = header_of(lines[0], delimiter)
            at, lines = at + 1, lines[1:]  # noqa: PLW2901
        events = EventScorer(
            scorer, rate=rate, header=header, delimiter=delimiter or ",", absent_is_missing=absent_is_missing
        )
        return events, chain([(first + at, lines)], batches)
    return EventScorer(scorer, rate=rate), iter(())


def _unanswered(batches: Iterator[_Batch], position: Position, events: EventScorer) -> Iterator[_Batch]:
    """The batches without what was answered before."""
    key: tuple[Any, ...] | None = None if position.key is None else tuple(position.key)
    after, answered = position.after, 0
    for first, lines in batches:
        start = 0
        if key is not None:
            found = next((at for at, line in enumerate(lines) if events.key(line) == key), None)
            if found is None:
                answered += len(lines)
                continue
            start, key = found + 1, None
        passed = min(after, len(lines) - start)
        start, after = start + passed, after - passed
        if lines[start:]:
            yield first + start, lines[start:]
    if key is not None or after:
        what = f"the event with key {list(key)!r:.100}" if key is not None else f"{after:,} lines more"
        raise InputError(
            f"the source ended before {what}, where the scores end that are to be resumed. Let it begin earlier, or begin anew."
        )
